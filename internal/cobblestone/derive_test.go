package cobblestone_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha512"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

// TestBothDerivationsAgree tries every length of context up to and past the limit of the one on the stack.
func TestBothDerivationsAgree(t *testing.T) {
	key, salt := randomBytes(cobblestone.KeySize), randomBytes(cobblestone.SaltSize)
	context := randomBytes(cobblestone.MaxStackContext + 300)
	for n := range len(context) {
		fast, err := cobblestone.Derive(key, salt, context[:n])
		require.NoError(t, err)
		standard, err := cobblestone.DeriveStandard(key, salt, context[:n])
		require.NoError(t, err)
		require.Equal(t, standard, fast, "context of %d bytes", n)
	}
}

func TestExpandIsHKDF(t *testing.T) {
	prk, info := randomBytes(sha512.BlockSize), randomBytes(cobblestone.MaxStackInfo)
	for n := range len(prk) + 1 {
		requireExpand(t, prk[:n], info[:n])
	}
	for n := range len(info) + 1 {
		requireExpand(t, prk[:cobblestone.KeySize], info[:n])
	}
	require.Panics(t, func() { cobblestone.Expand(make([]byte, sha512.BlockSize+1), nil) })
	require.Panics(t, func() { cobblestone.Expand(nil, make([]byte, cobblestone.MaxStackInfo+1)) })
}

func requireExpand(t *testing.T, prk, info []byte) {
	t.Helper()
	want, err := hkdf.Expand(sha512.New, prk, string(info), cobblestone.DerivedSize)
	require.NoError(t, err)
	got := cobblestone.Expand(prk, info)
	require.Equal(t, want, got[:], "%d bytes of key, %d of info", len(prk), len(info))
}

func TestDerivationDoesNotAllocate(t *testing.T) {
	key, salt, context := make([]byte, 32), make([]byte, cobblestone.SaltSize), make([]byte, cobblestone.MaxStackContext)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		_, err := cobblestone.Derive(key, salt, context)
		require.NoError(t, err)
	}))
}

func TestLongContexts(t *testing.T) {
	for _, n := range []int{cobblestone.MaxStackContext, cobblestone.MaxStackContext + 1, 100_000} {
		context := randomBytes(n)
		message, err := cobblestone.Seal(nil, testKey, context, []byte("secret"))
		require.NoError(t, err)
		plain, err := cobblestone.Open(nil, testKey, context, message)
		require.NoError(t, err)
		require.Equal(t, "secret", string(plain))
		context[n-1] ^= 1
		_, err = cobblestone.Open(nil, testKey, context, message)
		require.Equal(t, cobblestone.ErrOpen, err)
	}
}

// TestFIPS runs this test binary again in the two FIPS 140-3 modes, which are chosen when a program starts.
func TestFIPS(t *testing.T) {
	for mode, test := range map[string]string{"on": "TestFrozenMessage", "only": "TestWithFIPSOnly"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "fips140=%s: %s", mode, out)
		require.Contains(t, string(out), "--- PASS: "+test)
	}
}

func TestWithFIPSOnly(t *testing.T) {
	if os.Getenv("GODEBUG") != "fips140=only" {
		t.Skip("TestFIPS runs this test with GODEBUG=fips140=only")
	}
	message, err := os.ReadFile("testdata/two-chunks.message")
	require.NoError(t, err)
	key := make([]byte, cobblestone.KeySize)
	for i := range key {
		key[i] = byte(i)
	}
	context := []byte("objectkms/v1/object\x00")

	const want = "AES-256-GCM is not available"
	_, err = cobblestone.Seal(nil, key, context, nil)
	require.ErrorContains(t, err, want)
	require.NotErrorIs(t, err, cobblestone.ErrOpen)
	_, err = cobblestone.Open(nil, key, context, message)
	require.ErrorContains(t, err, want)
	_, err = cobblestone.NewEncryptReader(key, context, bytes.NewReader(nil))
	require.ErrorContains(t, err, want)
	_, err = cobblestone.NewDecryptReader(key, context, bytes.NewReader(message))
	require.ErrorContains(t, err, want)
	_, err = cobblestone.NewDecrypter(key, context, message[:header])
	require.ErrorContains(t, err, want)
}
