package local_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// rootText returns a root.json of one root with the parts given.
func rootText(version, kdf, params string, salt, check int) string {
	return `{"format":1,"roots":[{"version":` + version + `,"kdf":"` + kdf + `","params":"` + params + `","salt":"` + zeros(salt) + `","check":"` + zeros(check) + `"}]}` + "\n"
}

func zeros(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }

func TestRootFileIsReadStrictly(t *testing.T) {
	for _, good := range []string{
		rootText("1", "hkdf-sha512", "", 32, 72),
		rootText("4294967295", "argon2id", "m=65536,t=3,p=4", 32, 72),
	} {
		_, err := local.ParseRoots([]byte(good))
		require.NoError(t, err, good)
	}
	for _, bad := range []string{
		rootText("0", "hkdf-sha512", "", 32, 72),
		rootText("4294967296", "hkdf-sha512", "", 32, 72),
		rootText("1.0", "hkdf-sha512", "", 32, 72),
		rootText("1", "hkdf-sha512", "m=65536,t=3,p=4", 32, 72),
		rootText("1", "hkdf-sha256", "", 32, 72),
		rootText("1", "", "", 32, 72),
		rootText("1", "argon2id", "", 32, 72),
		rootText("1", "argon2id", "m=1,t=3,p=4", 32, 72),
		rootText("1", "hkdf-sha512", "", 31, 72),
		rootText("1", "hkdf-sha512", "", 33, 72),
		rootText("1", "hkdf-sha512", "", 32, 71),
		rootText("1", "hkdf-sha512", "", 32, 73),
		`{"format":1,"roots":[]}` + "\n",
		`{"format":2,"roots":[{"version":1}]}` + "\n",
		`{"format":1,"roots":[{},{},{}]}` + "\n",
	} {
		_, err := local.ParseRoots([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestKeyFileIsReadStrictly(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
	for _, text := range []string{good, good + "\n"} {
		raw, err := local.ParseKeyFile([]byte(text))
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{1}, 32), raw)
	}
	for _, bad := range []string{
		"", "\n", good + "\n\n", " " + good, good + "\r\n", good[:43], good[:20] + "\n" + good[20:], good[:42] + "F=",
		zeros(32), zeros(31), zeros(33), string(bytes.Repeat([]byte{1}, 32)),
	} {
		_, err := local.ParseKeyFile([]byte(bad))
		require.ErrorIs(t, err, kms.ErrInvalidConfig, "%q", bad)
	}
}

func FuzzRootFile(f *testing.F) {
	f.Add([]byte(rootText("1", "hkdf-sha512", "", 32, 72)))
	f.Add([]byte(rootText("7", "argon2id", "m=65536,t=3,p=4", 32, 72)))
	f.Add([]byte(`{"format":1,"roots":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if again, err := local.ParseRoots(raw); err == nil {
			require.Equal(t, raw, again)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)) + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if raw, err := local.ParseKeyFile(text); err == nil {
			require.Equal(t, base64.StdEncoding.EncodeToString(raw), string(bytes.TrimSuffix(text, []byte("\n"))))
		}
	})
}
