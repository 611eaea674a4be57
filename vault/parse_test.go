package vault

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

func TestTextsOfTransitHaveOneSpelling(t *testing.T) {
	code := base64.StdEncoding.EncodeToString(make([]byte, sealOverhead+1)) // ends in one "=": it has bits to spare
	good := "vault:v12:" + code
	s, err := parseSealed(good)
	require.NoError(t, err)
	require.Equal(t, sealed{12, 1}, s)
	for _, bad := range []string{
		"", "vault:", "vault:v", "vault:v12", "vault:v12:", "vault:v0:" + code, "vault:v012:" + code, "vault:v+12:" + code, "vault:v-1:" + code, "vault:v 12:" + code,
		"vault:v4294967296:" + code, "vault:v12x:" + code, "Vault:v12:" + code, " " + good, good + " ", good + "\n", good[:20] + "\n" + good[20:], good[:20] + "\r" + good[20:],
		"vault:v12:" + strings.TrimRight(code, "="), "vault:v12:" + code[:len(code)-2] + "B=", "vault:v12:" + strings.ReplaceAll(code, "A", "-"),
		"vault:v12:" + base64.StdEncoding.EncodeToString(make([]byte, sealOverhead)),
	} {
		_, err := parseSealed(bad)
		require.Error(t, err, bad)
	}
}

// AES Key Wrap with Padding: the examples of RFC 5649, section 6.
func TestWrapKey(t *testing.T) {
	kek := unhex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	for material, want := range map[string]string{
		"c37b7e6492584340bed12207808941155068f738": "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
		"466f7250617369": "afbeb0f07dfbf5419200f2ccb50bb24f",
	} {
		plain := unhex(t, material)
		got, err := wrapKey(kek, plain)
		require.NoError(t, err)
		require.Equal(t, want, hex.EncodeToString(got))
		require.Equal(t, material, hex.EncodeToString(plain), "the material is not changed")
	}
	_, err := wrapKey(kek[1:], []byte("x"))
	require.Error(t, err)
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestAWrappingKeyMustBeALargeRSAKey(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&small.PublicKey)
	require.NoError(t, err)
	sized := func(bits uint) string {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: math.MaxInt32})
		require.NoError(t, err)
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	for _, good := range []uint{3072, 4096, 16384} {
		_, err := parseWrappingKey(sized(good))
		require.NoError(t, err, "%d bits", good)
	}
	for _, bad := range []string{
		sized(3071), sized(16385), sized(1 << 20),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		`-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END PUBLIC KEY-----
`,
	} {
		_, err := parseWrappingKey(bad)
		require.Error(t, err)
	}
}

const goodRecord = `{"format":1,"id":"k","transit":"k","derived":true,"state":"Enabled","created":"2026-01-02T03:04:05Z","origin":"KMS","generation":7}`

func TestRecordsThatAreNotOursAreRefused(t *testing.T) {
	rec, err := parseKeyRecord([]byte(goodRecord), "k", 7)
	require.NoError(t, err)
	require.Equal(t, kms.KeyEnabled, rec.State)
	for _, change := range [][2]string{
		{`"format":1`, `"format":2`}, {`"format":1,`, ``}, {`"id":"k"`, `"id":"l"`}, {`"transit":"k"`, `"transit":"l"`}, {`"transit":"k"`, `"transit":"../k"`},
		{`"transit":"k"`, `"transit":"_k_"`}, {`"transit":"k"`, `"transit":"_k_0123456789abcdeF"`}, {`"transit":"k"`, `"transit":"_l_0123456789abcdef"`},
		{`"Enabled"`, `"enabled"`}, {`"Enabled"`, `"PendingDeletion"`}, {`"Enabled"`, `"Unavailable"`}, {`"state":"Enabled"`, `"state":"Enabled","deletion":"2026-01-02T03:04:05Z"`},
		{`"KMS"`, `"kms"`}, {`"generation":7`, `"generation":6`}, {`"generation":7`, `"generation":8`}, {`"generation":7`, `"generation":-7`},
		{`"created":"2026-01-02T03:04:05Z",`, ``}, {`{`, `{"phase":"done",`}, {`{`, `{"more":1,`}, {`}`, ``}, {`}`, `}{}`},
	} {
		text := strings.Replace(goodRecord, change[0], change[1], 1)
		require.NotEqual(t, goodRecord, text)
		_, err := parseKeyRecord([]byte(text), "k", 7)
		require.ErrorIs(t, err, kms.ErrKeyMaterial, text)
	}
	fresh := strings.Replace(goodRecord, `"transit":"k"`, `"transit":"_k_0123456789abcdef"`, 1)
	_, err = parseKeyRecord([]byte(fresh), "k", 7)
	require.NoError(t, err)
}

func FuzzKeyRecord(f *testing.F) {
	f.Add([]byte(goodRecord), "k", uint64(7))
	f.Add([]byte(strings.Replace(goodRecord, `"k","derived"`, `"_k_0123456789abcdef","derived"`, 1)), "k", uint64(7))
	f.Add([]byte(`{}`), "a..b", uint64(1))
	for _, change := range [][2]string{
		{`05Z"`, `05+00:00"`}, {`05Z"`, `05.123456789+05:30"`}, {`"2026-01-02T03:04:05Z"`, `"9999-12-31T23:59:59-01:00"`},
		{`"id":"k"`, `"id":"k","tags":{}`}, {`"id":"k"`, `"id":"k","deletion":"0001-01-01T01:00:00+01:00"`},
		{`"id":"k"`, `"id":"k","description":"\ud800<"`}, {`"id":"k"`, `"id":"k","tags":{"b":"","a":"` + "\xff" + `"}`},
	} {
		f.Add([]byte(strings.Replace(goodRecord, change[0], change[1], 1)), "k", uint64(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, id string, version uint64) {
		if kms.ValidateKeyID(id) != nil || len(data) > maxRecordSize/6 { // a byte may be written as six
			return
		}
		rec, err := parseKeyRecord(data, id, version)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			return
		}
		require.Equal(t, id, rec.ID)
		require.True(t, isSegment(rec.Name), "the name leads nowhere else")
		text, err := json.Marshal(rec)
		require.NoError(t, err)
		again, err := parseKeyRecord(text, id, version)
		require.NoError(t, err)
		// The texts are compared: no tags and no deletion date have more than one form in memory, and so has UTC.
		same, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(text), string(same))
	})
}

func FuzzStoredRecord(f *testing.F) {
	f.Add([]byte(`{"record":"{}"}`), uint64(1))
	f.Add([]byte(`{"deleted":true,"destroyed":true}`), uint64(3))
	f.Add([]byte(`{"destroyed":true}`), uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, version uint64) {
		stored, err := parseStored(data, version)
		if err != nil {
			require.Equal(t, storedRecord{}, stored)
			return
		}
		require.NotEqual(t, stored.Deleted, stored.Record != "")
	})
}

func FuzzRoot(f *testing.F) {
	f.Add([]byte(`{"format":1,"key":"WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo="}`))
	f.Add([]byte(`{"format":1,"key":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := parseRoot(data)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			require.Nil(t, root)
			return
		}
		require.Len(t, root, rootSize)
		require.False(t, allZero(root))
	})
}

func FuzzTransitKey(f *testing.F) {
	f.Add([]byte(`{"type":"aes256-gcm96","derived":true,"latest_version":2,"keys":{"1":1795642914,"2":1795642915}}`))
	f.Add([]byte(`{"type":"rsa-2048","derived":false,"latest_version":1,"keys":{"1":{"creation_time":"2026-11-25T21:47:32.968018723Z"}}}`))
	f.Add([]byte(`{"type":"","derived":null,"latest_version":-1,"keys":{"x":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		key := new(transitKey)
		if json.Unmarshal(data, key) != nil || string(data) == "null" {
			return
		}
		require.NotEmpty(t, key.Type)
		require.NotZero(t, key.Latest)
		require.False(t, key.last.IsZero() && key.first.After(key.last))
		require.False(t, key.newest.After(key.last))
		v := view{rec: &keyRecord{ID: "k"}, key: key}
		require.Equal(t, key.Latest, v.describe().Version)
	})
}

func FuzzWrapped(f *testing.F) {
	blob := keyring.Blob{Kind: keyring.KindTransitDerived, KeyID: "k", Version: 3}
	text := "vault:v3:" + base64.StdEncoding.EncodeToString(make([]byte, 60))
	f.Add(append(blob.AppendHeader(nil), text...))
	f.Add(append(blob.AppendHeader(nil), "vault:v4:AAAA"...))
	f.Add([]byte(text))
	f.Fuzz(func(t *testing.T, ciphertext []byte) {
		w, err := parseWrapped(ciphertext)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrDecrypt)
			return
		}
		again, version, err := makeBlob(w.Kind, w.KeyID, w.text, w.size)
		require.NoError(t, err)
		require.Equal(t, w.Version, version)
		require.Equal(t, ciphertext, again, "there is one form of each")
	})
}

// Bytes that stand for an encryption context in Vault are for ever. These were computed apart from this code, from the definition: the label, and the key
// id and the canonical context behind their lengths.
func TestBindingIsFrozen(t *testing.T) {
	require.Equal(t, "20e6d29158404fea094825f4227f3e72e815f05c8039a985b151a3f6a2cd94e2", hex.EncodeToString(binding("k", nil)))
	require.Equal(t, "a89a4dee534b26bb3594c2e0e7485bb15e8086039c3de833e52001406e60d6e6", hex.EncodeToString(binding("k", kms.EncryptionContext{"c": "", "a": "b"})))
}
