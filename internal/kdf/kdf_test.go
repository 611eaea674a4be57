package kdf_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/kdf"
)

func spec(params string) kdf.Spec {
	return kdf.Spec{Name: kdf.Passphrase, Params: params, Salt: make([]byte, kdf.SaltSize)}
}

func TestParametersAreBoundedAndHaveOneForm(t *testing.T) {
	for _, good := range []string{"m=65536,t=3,p=4", "m=19456,t=1,p=1", "m=1048576,t=16,p=16"} {
		require.NoError(t, spec(good).Validate(), good)
	}
	for _, bad := range []string{
		"", "m=65536", "m=65536,t=3", "m=65536,t=3,p=", "m=65536,t=3,p=4,", "m=65536,t=3,p=4 ", " m=65536,t=3,p=4",
		"m=19455,t=3,p=4", "m=1048577,t=3,p=4", "m=4294967296,t=3,p=4", "m=0,t=3,p=4",
		"m=65536,t=0,p=4", "m=65536,t=17,p=4", "m=65536,t=3,p=0", "m=65536,t=3,p=17", "m=65536,t=3,p=260",
		"m=065536,t=3,p=4", "m=+65536,t=3,p=4", "m=-1,t=3,p=4", "m=65536, t=3,p=4", "m=65536,p=4,t=3", "M=65536,t=3,p=4", "m=0x10000,t=3,p=4",
	} {
		require.Error(t, spec(bad).Validate(), bad)
		_, err := spec(bad).Derive([]byte("x"), "")
		require.Error(t, err, bad)
	}
}

func TestSpecsAreReadStrictly(t *testing.T) {
	for _, name := range []string{kdf.Raw, kdf.Passphrase} {
		good := kdf.New(name)
		require.NoError(t, good.Validate())
		for _, bad := range []kdf.Spec{
			{Name: name + "x", Params: good.Params, Salt: good.Salt},
			{Name: name, Params: good.Params + "m=65536,t=3,p=4", Salt: good.Salt},
			{Name: name, Params: good.Params, Salt: good.Salt[1:]},
			{Name: name, Params: good.Params, Salt: append(good.Salt, 0)},
		} {
			require.Error(t, bad.Validate())
		}
	}
}

func TestEverySaltIsNew(t *testing.T) {
	require.NotEqual(t, kdf.New(kdf.Raw).Salt, kdf.New(kdf.Raw).Salt)
}

// The values are frozen: keys are sealed under what is derived. The first is RFC 5869 written out with HMAC.
func TestDerivedKeysAreFrozen(t *testing.T) {
	salt := bytes.Repeat([]byte{1}, kdf.SaltSize)
	tests := []struct {
		spec   kdf.Spec
		secret string
		info   string
		want   string
	}{
		{kdf.Spec{Name: kdf.Raw, Salt: salt}, string(bytes.Repeat([]byte{7}, 32)), "objectkms/v1/root-key", "8e3ab95985d711944825bc47f7e49b29c3d1d25e26db54c80bc99c0e2f8b7b90"},
		{kdf.Spec{Name: kdf.Passphrase, Params: "m=19456,t=1,p=1", Salt: salt}, "correct horse", "any", "89bd0f57ff5986d7798f0acf4966451e43867b6c3a9733d7abbac811bdd54a50"},
	}
	for _, tt := range tests {
		key, err := tt.spec.Derive([]byte(tt.secret), tt.info)
		require.NoError(t, err)
		require.Equal(t, tt.want, hex.EncodeToString(key))
	}
}

func TestInfoTellsUsesApart(t *testing.T) {
	s := kdf.New(kdf.Raw)
	a, err := s.Derive(make([]byte, 32), "a")
	require.NoError(t, err)
	b, err := s.Derive(make([]byte, 32), "b")
	require.NoError(t, err)
	require.NotEqual(t, a, b)
}

func TestRawSecretsAreChecked(t *testing.T) {
	require.NoError(t, kdf.CheckRaw("root key", bytes.Repeat([]byte{1}, 32)))
	for _, bad := range [][]byte{nil, make([]byte, 32), bytes.Repeat([]byte{1}, 31), bytes.Repeat([]byte{1}, 33)} {
		err := kdf.CheckRaw("root key", bad)
		require.ErrorIs(t, err, kms.ErrInvalidConfig)
		require.ErrorContains(t, err, "root key")
	}
}

func FuzzParameters(f *testing.F) {
	f.Add("m=65536,t=3,p=4")
	f.Fuzz(func(t *testing.T, text string) {
		if spec(text).Validate() == nil {
			require.Regexp(t, `^m=[1-9][0-9]{4,6},t=[1-9][0-9]?,p=[1-9][0-9]?$`, text)
		}
	})
}
