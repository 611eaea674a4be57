//go:build unix

package local_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// The golden bundles are frozen. They hold the keys of testdata/v1, and were made at the time at which a bubble starts.

// goldenBundleKey is the key of testdata/v1-bundle/key.bundle: the bytes 32 to 63.
func goldenBundleKey() *kms.Secret {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(32 + i)
	}
	return kms.NewSecret(raw)
}

func readBundle(t testing.TB, name string) []byte {
	t.Helper()
	bundle, err := os.ReadFile(filepath.Join("testdata", "v1-bundle", name))
	require.NoError(t, err)
	return bundle
}

func TestGoldenBundlesOpen(t *testing.T) {
	for name, opts := range map[string]kms.ImportOptions{
		"key.bundle":        {Key: goldenBundleKey()},
		"passphrase.bundle": {Passphrase: passphrase("correct horse battery staple")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				golden := open(t, goldenConfig(t))
				defer golden.Close()
				b := open(t, config(newDir(t)))
				defer b.Close()
				report, err := b.Import(t.Context(), bytes.NewReader(readBundle(t, name)), opts)
				require.NoError(t, err)
				require.Equal(t, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), report.Created)
				checkBlobs(t, b, readBlobs(t, "v1"))
				want, err := golden.ListKeys(t.Context(), &kms.ListKeysRequest{})
				require.NoError(t, err)
				got, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
				require.NoError(t, err)
				require.Equal(t, want, got)

				report, err = golden.Import(t.Context(), bytes.NewReader(readBundle(t, name)), opts)
				require.NoError(t, err)
				for _, key := range report.Keys {
					require.Equal(t, kms.ImportUnchanged, key.Outcome)
				}
			})
		})
	}
}

// Two directories may compare their generations, as both follow the clock.
func TestLaterBundleUpdatesAnotherDirectory(t *testing.T) {
	first, second := open(t, config(newDir(t))), open(t, config(newDir(t)))
	create(t, first, "k")
	copyKeys(t, first, second, kms.ImportAdded)
	copyKeys(t, first, second, kms.ImportUnchanged)
	_, err := first.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	copyKeys(t, first, second, kms.ImportUpdated)
	key, err := second.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.Equal(t, kms.KeyDisabled, key.Key.State)
	_, err = second.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	copyKeys(t, first, second, kms.ImportKept)
	copyKeys(t, second, first, kms.ImportUpdated)
}

func copyKeys(t testing.TB, from, to kms.KeyBundler, want kms.ImportOutcome) {
	t.Helper()
	var bundle bytes.Buffer
	_, err := from.Export(t.Context(), &bundle, kms.ExportOptions{Key: otherKey()})
	require.NoError(t, err)
	report, err := to.Import(t.Context(), &bundle, kms.ImportOptions{Key: otherKey()})
	require.NoError(t, err)
	require.Equal(t, want, report.Keys[0].Outcome, report.Keys[0].Detail)
}

func TestRefusedBundleChangesNothing(t *testing.T) {
	c := config(newDir(t))
	usedDir(t, c)
	bundle, before := readBundle(t, "key.bundle"), fingerprint(t, c.Dir)
	b := open(t, c)
	changed := bytes.Clone(bundle)
	changed[len(changed)/2] ^= 1
	for _, bad := range [][]byte{changed, bundle[:len(bundle)-1], nil} {
		_, err := b.Import(t.Context(), bytes.NewReader(bad), kms.ImportOptions{Key: goldenBundleKey()})
		require.Error(t, err)
	}
	_, err := b.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: otherKey()})
	require.ErrorIs(t, err, kms.ErrDecrypt)
	_, err = b.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: goldenBundleKey(), DryRun: true})
	require.NoError(t, err)
	require.Equal(t, before, fingerprint(t, c.Dir))
}

func TestImportKilledAtAnyCallIsDoneOrNot(t *testing.T) {
	bundle, opts := readBundle(t, "key.bundle"), kms.ImportOptions{Key: goldenBundleKey()}
	olds, news := 0, 0
	for n, killed := 0, true; killed; n++ {
		c := config(newDir(t))
		blob := usedDir(t, c)
		old := listOf(t, c)
		d, reaper := openMortal(t, c.Dir, n)
		b, err := local.OpenIn(t.Context(), d, c)
		require.NoError(t, err)
		_, err = b.Import(t.Context(), bytes.NewReader(bundle), opts)
		killed = reaper.dead
		require.NoError(t, b.Close())
		found := listOf(t, c)
		if len(found) == len(old) {
			require.Equal(t, old, found)
			require.Error(t, err)
			olds++
		} else {
			require.Len(t, found, len(old)+6)
			news++
		}
		b = open(t, c)
		_, err = unwrap(t, b, "a", blob)
		require.NoError(t, err)
		if n%5 == 0 {
			_, err = b.Import(t.Context(), bytes.NewReader(bundle), opts)
			require.NoError(t, err)
			require.Len(t, listOf(t, c), len(old)+6)
		}
		require.NoError(t, b.Close())
	}
	require.Greater(t, olds, 30)
	require.Greater(t, news, 5)
}
