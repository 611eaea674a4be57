package keyring_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

func describeErr(t testing.TB, ring *keyring.Ring, id string) error {
	t.Helper()
	_, err := ring.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
	return err
}

// sealRecord seals any text under the root key, as only somebody who has it can.
func sealRecord(t testing.TB, text string) []byte {
	t.Helper()
	seal, err := cobblestone.Seal(nil, testRoot().Key, encctx.Bind(nil, "record", []byte(text)), nil)
	require.NoError(t, err)
	return []byte(`{"record":` + text + `,"seal":"` + base64.StdEncoding.EncodeToString(seal) + "\"}\n")
}

// recordText returns the sealed text of a stored record.
func recordText(t testing.TB, raw []byte) string {
	t.Helper()
	text, ok := strings.CutPrefix(string(raw), `{"record":`)
	require.True(t, ok)
	text, _, ok = strings.Cut(text, `,"seal":"`)
	require.True(t, ok)
	return text
}

func TestGoldenRecordAndBlobOpen(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		return b
	}
	store := newStore()
	store.put("golden", read("record-v1.json"))
	ring := openRing(t, store)
	require.Equal(t, kms.Key{
		ID:           "golden",
		Description:  "a key <&> \u00e9\n",
		State:        kms.KeyPendingDeletion,
		Usage:        kms.EncryptDecrypt,
		Origin:       kms.OriginKMS,
		Version:      2,
		Tags:         map[string]string{"a": "b", "c": ""},
		CreatedAt:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		RotatedAt:    time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC),
		DeletionDate: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	}, describeKey(t, ring, "golden"))
	for _, name := range []string{"blob-v1-version1.txt", "blob-v1-version2.txt"} {
		blob, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(read(name))))
		require.NoError(t, err)
		require.NoError(t, decrypt(t, ring, blob, kms.EncryptionContext{"user": "anna"}))
		require.Equal(t, kms.ErrDecrypt, decrypt(t, ring, blob, nil))
	}
}

func TestStoredFormIsExact(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	key := createKey(t, ring, "k")
	text := recordText(t, store.raw("k"))
	_, sealed, ok := strings.Cut(text, `"sealed":"`)
	require.True(t, ok)
	sealed, _, _ = strings.Cut(sealed, `"`)
	at := key.CreatedAt.Format(time.RFC3339)
	require.Equal(t, `{"format":1,"id":"k","state":"Enabled","created":"`+at+`","origin":"KMS","versions":[{"version":1,"created":"`+at+
		`","sealed":"`+sealed+`"}],"root":1,"generation":1}`, text)
	require.True(t, strings.HasSuffix(at, "Z"))
	message, err := base64.StdEncoding.DecodeString(sealed)
	require.NoError(t, err)
	material, err := cobblestone.Open(nil, testRoot().Key, encctx.Bind(nil, "master-key", []byte("k"), encctx.Uint32(1)), message)
	require.NoError(t, err)
	require.Len(t, material, 32)
	require.Len(t, store.raw("k"), len(`{"record":`)+len(text)+len(`,"seal":"`)+96+len("\"}\n"))
}

func TestMaterialIsRandom(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	seen := map[string]bool{string(make([]byte, 32)): true}
	for _, id := range []string{"a", "b"} {
		createKey(t, ring, id)
		rotateKey(t, ring, id)
		for number, part := range strings.Split(recordText(t, store.raw(id)), `"sealed":"`)[1:] {
			sealed, _, _ := strings.Cut(part, `"`)
			message, err := base64.StdEncoding.DecodeString(sealed)
			require.NoError(t, err)
			context := encctx.Bind(nil, "master-key", []byte(id), encctx.Uint32(uint32(number)+1))
			material, err := cobblestone.Open(nil, testRoot().Key, context, message)
			require.NoError(t, err)
			require.Len(t, material, 32)
			require.False(t, seen[string(material)])
			seen[string(material)] = true
		}
	}
	require.Len(t, seen, 5)
}

func TestEveryChangedByteOfARecordIsSeen(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	blob := encrypt(t, ring, "k", nil)
	good := store.raw("k")
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		store.put("k", bad)
		require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial, "byte %d", i)
		_, err := ring.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
		require.Equal(t, bad, store.raw("k"), "a damaged record is not written over")
	}
	for n := range good {
		store.put("k", good[:n])
		require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial, "cut to %d", n)
	}
	for _, more := range []string{"\n", " ", "x"} {
		store.put("k", append(bytes.Clone(good), more...))
		require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
	}
	store.put("k", good)
	require.NoError(t, decrypt(t, ring, blob, nil))
}

func TestTheGenerationOfARecordIsReadWithoutItsRing(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	rotateKey(t, ring, "k")
	generation, err := keyring.RecordGeneration(store.raw("k"))
	require.NoError(t, err)
	require.Equal(t, store.generation, generation)
	for _, raw := range []string{"", "{}", recordText(t, store.raw("k")), string(store.raw("k")[1:]), string(sealRecord(t, `{"generation":-1}`))} {
		_, err := keyring.RecordGeneration([]byte(raw))
		require.ErrorIs(t, err, kms.ErrKeyMaterial, raw)
	}
}

func TestARecordUnderAnotherIDIsRefused(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "one")
	createKey(t, ring, "two")
	one, two := store.raw("one"), store.raw("two")
	store.put("one", two)
	store.put("two", one)
	store.put("three", one)
	for _, id := range []string{"one", "two", "three"} {
		require.ErrorIs(t, describeErr(t, ring, id), kms.ErrKeyMaterial)
		require.ErrorIs(t, describeErr(t, openRing(t, store), id), kms.ErrKeyMaterial)
	}
}

func TestMaterialOfAnotherVersionOrKeyIsRefused(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	rotateKey(t, ring, "k")
	blob := encrypt(t, ring, "k", nil)
	text := recordText(t, store.raw("k"))
	parts := strings.Split(text, `"sealed":"`)
	require.Len(t, parts, 3)
	first, second := parts[1][:140], parts[2][:140]
	swapped := parts[0] + `"sealed":"` + second + parts[1][140:] + `"sealed":"` + first + parts[2][140:]
	store.put("k", sealRecord(t, swapped))
	require.NoError(t, describeErr(t, ring, "k"), "the seal of the record is sound")
	require.ErrorIs(t, decrypt(t, ring, blob, nil), kms.ErrKeyMaterial)
	_, err := ring.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
}

func TestSealedNonsenseIsRefused(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	text := recordText(t, store.raw("k"))
	store.put("k", sealRecord(t, text))
	require.NoError(t, describeErr(t, ring, "k"))
	_, versions, _ := strings.Cut(text, `"versions":[`)
	versions, _, _ = strings.Cut(versions, `]`)
	for _, replace := range [][2]string{
		{`"format":1`, `"format":2`},
		{`"format":1`, `"format":1,"more":1`},
		{`"id":"k"`, `"id":"K"`},
		{`"Enabled"`, `"Unavailable"`},
		{`"Enabled"`, `""`},
		{`"Enabled"`, `"PendingDeletion"`},
		{`"origin"`, `"deletion":"2026-01-01T00:00:00Z","origin"`},
		{`"KMS"`, `"AWS"`},
		{`"root":1`, `"root":2`},
		{`"generation":1`, `"generation":0`},
		{versions, ``},
		{versions, versions + "," + versions},
		{`"version":1`, `"version":2`},
		{`"version":1`, `"version":0`},
		{`"version":1`, `"version":4294967297`},
		{`"sealed":"`, `"sealed":"AAAA`},
		{`"sealed":"`, `"sealed":"*`},
		{`}],`, `}],"versions":null,`},
		{`,"root"`, `} {"root"`},
		{text, text + text},
		{text, ``},
		{text, `null`},
		{text, `[]`},
		{text, `{`},
		{text, `{}`},
	} {
		bad := strings.Replace(text, replace[0], replace[1], 1)
		require.NotEqual(t, text, bad)
		store.put("k", sealRecord(t, bad))
		require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial, "%q for %q", replace[1], replace[0])
	}
}

func TestSealsHaveOneSpelling(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	good := string(store.raw("k"))
	for _, replace := range [][2]string{
		{`{"record":`, `{"record": `},
		{`,"seal":"`, `, "seal":"`},
		{"\"}\n", "\"}"},
		{"\"}\n", "\"}\r\n"},
		{"\"}\n", "\"}\n\n"},
	} {
		store.put("k", []byte(strings.Replace(good, replace[0], replace[1], 1)))
		require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
	}
	for _, code := range []string{strings.Repeat("=", 96), strings.Repeat("\n", 96), strings.Repeat("-", 96)} {
		at := len(good) - len("\"}\n") - 96
		store.put("k", []byte(good[:at]+code+"\"}\n"))
		require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
	}
}

func TestARecordAboveTheLargestSizeIsRefused(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	text := recordText(t, store.raw("k"))
	fill := keyring.MaxRecordSize - len(sealRecord(t, text))
	store.put("k", sealRecord(t, strings.Repeat(" ", fill)+text))
	require.NoError(t, describeErr(t, ring, "k"))
	store.put("k", sealRecord(t, strings.Repeat(" ", fill+1)+text))
	require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
}

func TestAnotherRootKeyOpensNothing(t *testing.T) {
	store := newStore()
	createKey(t, openRing(t, store), "k")
	before := store.raw("k")
	root := testRoot()
	root.Key[31] ^= 1
	ring, err := keyring.Open(store, root, keyring.Options{Memory: secret.Plain})
	require.NoError(t, err)
	require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
	_, err = ring.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	_, err = ring.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyExists)
	require.Equal(t, before, store.raw("k"))
}

// The largest key of all, with every byte of its texts escaped, has its last version made by rotation.
func TestTheLargestRecordFitsAndGrowsNoFurther(t *testing.T) {
	const maxVersions = 4000
	id := strings.Repeat("k", 128)
	tags := make(map[string]string)
	for i := range 50 {
		tags[strings.Repeat("\x01", 127)+string(rune('0'+i))] = strings.Repeat("\x01", 256)
	}
	store := newStore()
	ring := openRing(t, store)
	_, err := ring.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id, Description: strings.Repeat("\x01", 8192), Tags: tags})
	require.NoError(t, err)
	store.put(id, sealRecord(t, withVersions(t, recordText(t, store.raw(id)), id, maxVersions-1)))

	require.Equal(t, uint32(maxVersions), rotateKey(t, ring, id).Version)
	before := store.raw(id)
	require.Less(t, len(before), keyring.MaxRecordSize)
	require.NoError(t, decrypt(t, ring, encrypt(t, ring, id, nil), nil))
	_, err = ring.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: id})
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	require.ErrorContains(t, err, "key has 4000 versions")
	require.Equal(t, before, store.raw(id))
}

// withVersions returns the text of a record of one version with n of them.
func withVersions(t testing.TB, text, id string, n uint32) string {
	t.Helper()
	head, tail, ok := strings.Cut(text, `"versions":[`)
	require.True(t, ok)
	_, tail, ok = strings.Cut(tail, `]`)
	require.True(t, ok)
	var versions []string
	for number := uint32(1); number <= n; number++ {
		sealed, err := cobblestone.Seal(nil, testRoot().Key, encctx.Bind(nil, "master-key", []byte(id), encctx.Uint32(number)), make([]byte, 32))
		require.NoError(t, err)
		versions = append(versions, fmt.Sprintf(`{"version":%d,"created":"2026-01-01T00:00:00Z","sealed":%q}`, number, base64.StdEncoding.EncodeToString(sealed)))
	}
	return head + `"versions":[` + strings.Join(versions, ",") + `]` + tail
}
