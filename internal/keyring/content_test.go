package keyring_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

const someKey = `{"id":"a","state":"Enabled","created":"2000-01-01T00:00:00Z","origin":"KMS","versions":["2000-01-01T00:00:00Z"],"generation":7}`

// contentOf returns the content of a bundle with these keys, which are JSON, and so many materials.
func contentOf(materials int, keys ...string) []byte {
	return contentOfText(`{"created":"2000-01-01T00:00:00Z","clock":true,"keys":[`+strings.Join(keys, ",")+`]}`, materials)
}

func contentOfText(text string, materials int) []byte {
	content := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	content = append(content, text...)
	return append(content, bytes.Repeat([]byte{1}, 32*materials)...)
}

// edited returns someKey with a part replaced.
func edited(old, new string) string {
	if !strings.Contains(someKey, old) {
		panic("not in the key: " + old)
	}
	return strings.Replace(someKey, old, new, 1)
}

func TestContentIsReadStrictly(t *testing.T) {
	for _, good := range [][]byte{
		contentOf(0),
		contentOf(1, someKey),
		contentOf(2, someKey, edited(`"a"`, `"b"`)),
		contentOf(2, edited(`["`, `["2000-01-01T00:00:00Z","`)),
		contentOf(1, edited(`"Enabled"`, `"PendingDeletion","deletion":"2000-02-01T00:00:00Z"`)),
	} {
		_, _, again, err := keyring.ParseContent(good)
		require.NoError(t, err)
		require.NotEmpty(t, again)
	}
	bad := map[string][]byte{
		"nothing":                {},
		"no length":              {0, 0, 0},
		"a length of too much":   {0, 0, 0, 3, '{', '}'},
		"the largest length":     {255, 255, 255, 255, '{', '}'},
		"no object":              contentOfText("7", 0),
		"more than an object":    contentOfText(`{"created":"2000-01-01T00:00:00Z","clock":true,"keys":[]}{}`, 0),
		"an unknown field":       contentOfText(`{"created":"2000-01-01T00:00:00Z","clock":true,"keys":[],"x":1}`, 0),
		"a time with a fraction": contentOfText(`{"created":"2000-01-01T00:00:00.5Z","keys":[]}`, 0),
		"a time with a zone":     contentOfText(`{"created":"2000-01-01T00:00:00+01:00","keys":[]}`, 0),
		"too few materials":      contentOf(0, someKey),
		"too many materials":     contentOf(2, someKey),
		"half a material":        contentOf(1, someKey)[:len(contentOf(1, someKey))-1],
		"zero material":          append(contentOf(0, someKey), make([]byte, 32)...),
		"keys twice":             contentOf(2, someKey, someKey),
		"keys out of order":      contentOf(2, edited(`"a"`, `"b"`), someKey),
	}
	for name, change := range map[string][2]string{
		"an id that leaves the directory": {`"a"`, `"../a"`},
		"no id":                           {`"a"`, `""`},
		"an unknown state":                {`"Enabled"`, `"Unavailable"`},
		"pending without a date":          {`"Enabled"`, `"PendingDeletion"`},
		"a date without pending":          {`"Enabled"`, `"Enabled","deletion":"2000-02-01T00:00:00Z"`},
		"a date with a fraction":          {`"Enabled"`, `"PendingDeletion","deletion":"2000-02-01T00:00:00.1Z"`},
		"an unknown origin":               {`"KMS"`, `"AWS"`},
		"no versions":                     {`["2000-01-01T00:00:00Z"]`, `[]`},
		"a version with a fraction":       {`["2000-01-01T00:00:00Z"]`, `["2000-01-01T00:00:00.1Z"]`},
		"generation 0":                    {`:7`, `:0`},
		"a negative generation":           {`:7`, `:-7`},
		"a long description":              {`"state"`, `"description":"` + strings.Repeat("x", 8193) + `","state"`},
		"an empty tag name":               {`"state"`, `"tags":{"":"x"},"state"`},
		"material":                        {`"state"`, `"material":"AAAA","state"`},
	} {
		bad[name] = contentOf(1, edited(change[0], change[1]))
	}
	many := make([]string, 4001)
	for i := range many {
		many[i] = `"2000-01-01T00:00:00Z"`
	}
	bad["a key of null"] = contentOf(1, someKey, "null")
	bad["a key larger than any record"] = contentOf(1, edited(`"generation"`, strings.Repeat(" ", keyring.MaxRecordSize)+`"generation"`))
	bad["too many versions"] = contentOf(4001, edited(`["2000-01-01T00:00:00Z"]`, "["+strings.Join(many, ",")+"]"))
	for name, content := range bad {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := keyring.ParseContent(content)
			require.Error(t, err)
			store := newStore()
			bundle, err := keyring.SealBundle(bundleKey(), content)
			require.NoError(t, err)
			_, err = openOther(t, store).Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			require.Zero(t, store.writes)
		})
	}
}

// A key has 150 bytes at least, and what stands for one in memory has no more. Two bytes that are none would have as much.
func TestManyKeysThatAreNoneTakeLittleMemory(t *testing.T) {
	const count = 1 << 20
	none := strings.TrimSuffix(strings.Repeat("{},", count), ",")
	nulls := edited(`["2000-01-01T00:00:00Z"]`, "["+strings.TrimSuffix(strings.Repeat("null,", count), ",")+"]")
	for name, tt := range map[string]struct{ keys, problem string }{
		"keys without anything":   {none, `malformed manifest: key "": the id is malformed`},
		"versions without a time": {nulls, fmt.Sprintf("malformed manifest: a key has %d bytes, want at most %d", len(nulls), keyring.MaxRecordSize)},
	} {
		t.Run(name, func(t *testing.T) {
			content := contentOf(0, tt.keys)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, _, err := keyring.ParseContent(content)
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, tt.problem)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16*len(content)))
		})
	}
	var good []string
	for i := range 1000 {
		good = append(good, edited(`"a"`, fmt.Sprintf(`"k%04d"`, i)))
	}
	keys, _, _, err := keyring.ParseContent(contentOf(len(good), good...))
	require.NoError(t, err)
	require.Equal(t, len(good), keys)
}

func TestHeadIsReadStrictly(t *testing.T) {
	good := exportAll(t, openRing(t, newStore()))
	again, message, err := keyring.CutHead(good)
	require.NoError(t, err)
	require.Equal(t, good, append(again, message...))
	line := string(again)
	for name, bad := range map[string]string{
		"nothing":          "",
		"no line feed":     strings.TrimSuffix(line, "\n"),
		"another format":   strings.Replace(line, `:1,`, `:2,`, 1),
		"another KDF":      strings.Replace(line, `sha512`, `sha256`, 1),
		"parameters":       strings.Replace(line, `"params":""`, `"params":"m=65536,t=3,p=4"`, 1),
		"a space":          strings.Replace(line, `:1,`, `: 1,`, 1),
		"a field more":     strings.Replace(line, `"kdf"`, `"x":1,"kdf"`, 1),
		"another spelling": strings.Replace(line, `"kdf"`, `"KDF"`, 1),
		"a short salt":     strings.Replace(line, `"salt":"`, `"salt":"AAAA`, 1),
		"a long line":      strings.Repeat(" ", 300) + line,
	} {
		_, _, err := keyring.CutHead([]byte(bad + string(message)))
		require.Error(t, err, name)
	}
}

// What is too costly to stretch is refused before it is.
func TestParametersOfABundleAreBounded(t *testing.T) {
	ring := openRing(t, newStore())
	for _, params := range []string{"m=4194304,t=3,p=4", "m=65536,t=99,p=4", "m=65536,t=3,p=200", "m=1,t=1,p=1"} {
		head := fmt.Sprintf(`{"bundle":1,"kdf":"argon2id","params":"%s","salt":"%s"}`+"\n", params, strings.Repeat("A", 43)+"=")
		_, err := ring.Import(t.Context(), strings.NewReader(head+strings.Repeat("x", 200)), kms.ImportOptions{Passphrase: kms.NewSecret([]byte("x"))})
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
	}
}

// Of a bundle nothing is taken that was not sealed under its key, and of what was sealed all or nothing.
func FuzzBundle(f *testing.F) {
	for _, content := range [][]byte{contentOf(0), contentOf(1, someKey), contentOf(2, someKey, edited(`"a"`, `"b"`)), contentOf(2, someKey, edited(`:7`, `:0`))} {
		f.Add(content, []byte("x"))
	}
	f.Add([]byte{0, 0, 0, 2, '{', '}'}, []byte(`{"bundle":1,"kdf":"hkdf-sha512","params":"","salt":"`+strings.Repeat("A", 43)+"=\"}\n"))
	f.Add([]byte(nil), []byte(`{"bundle":1,"kdf":"argon2id","params":"m=65536,t=3,p=4","salt":"`+strings.Repeat("A", 43)+"=\"}\n"))
	f.Fuzz(func(t *testing.T, content, raw []byte) {
		keys, materials, again, parseErr := keyring.ParseContent(content)
		if parseErr == nil {
			_, twice, same, err := keyring.ParseContent(again)
			require.NoError(t, err)
			require.Equal(t, materials, twice)
			require.Equal(t, again, same)
			require.GreaterOrEqual(t, materials, keys)
		}
		if again, message, err := keyring.CutHead(raw); err == nil {
			require.Equal(t, raw, append(again, message...))
		}

		store := newStore()
		ring := openOther(t, store)
		_, err := ring.Import(t.Context(), bytes.NewReader(raw), kms.ImportOptions{Key: bundleKey()})
		require.True(t, errors.Is(err, kms.ErrKeyMaterial) || errors.Is(err, kms.ErrDecrypt) || errors.Is(err, kms.ErrInvalidConfig), err)
		require.Zero(t, store.writes)

		sealed, err := keyring.SealBundle(bundleKey(), content)
		require.NoError(t, err)
		report, err := ring.Import(t.Context(), bytes.NewReader(sealed), kms.ImportOptions{Key: bundleKey()})
		require.Equal(t, parseErr == nil, err == nil, "%v, and as a bundle %v", parseErr, err)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			require.Zero(t, store.writes)
			return
		}
		require.Len(t, report.Keys, keys)
		require.Len(t, listKeys(t, ring), min(keys, 100), "none is damaged")
	})
}
