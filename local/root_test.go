//go:build unix

package local_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/local"
)

func passphrase(text string) *kms.Secret { return kms.NewSecret([]byte(text)) }

// usedDir returns a directory that has the key "a", closed, and a blob of that key.
func usedDir(t testing.TB, c local.Config) []byte {
	t.Helper()
	b := open(t, c)
	create(t, b, "a")
	blob := wrap(t, b, "a")
	require.NoError(t, b.Close())
	return blob
}

func TestWrongRootKeyChangesNothing(t *testing.T) {
	c := config(newDir(t))
	blob := usedDir(t, c)
	for i := range 32 {
		wrong := rootKey()
		wrong.Bytes()[i] ^= 1
		mustFail(t, local.Config{Dir: c.Dir, RootKey: wrong, AllowUnlockedMemory: true}, kms.ErrKeyMaterial)
	}
	mustFail(t, local.Config{Dir: c.Dir, Passphrase: passphrase("x")}, kms.ErrInvalidConfig)
	_, err := unwrap(t, open(t, c), "a", blob)
	require.NoError(t, err)
}

func TestPassphrase(t *testing.T) {
	c := local.Config{Dir: newDir(t), Passphrase: passphrase("correct horse"), AllowUnlockedMemory: true}
	blob := usedDir(t, c)
	text, err := os.ReadFile(rootPath(c.Dir))
	require.NoError(t, err)
	require.Contains(t, string(text), `"kdf":"argon2id","params":"m=65536,t=3,p=4"`)
	_, err = unwrap(t, open(t, c), "a", blob)
	require.NoError(t, err)
	wrong := c
	wrong.Passphrase = passphrase("correct horse ")
	mustFail(t, wrong, kms.ErrKeyMaterial)
	mustFail(t, config(c.Dir), kms.ErrInvalidConfig)
}

func TestLostRootIsNotReplaced(t *testing.T) {
	for _, with := range []string{"everything else", "nothing but the record"} {
		c := config(newDir(t))
		usedDir(t, c)
		require.NoError(t, os.Remove(rootPath(c.Dir)))
		if with != "everything else" {
			require.NoError(t, os.Remove(filepath.Join(c.Dir, "lock")))
		}
		mustFail(t, c, kms.ErrKeyMaterial)
		file := filepath.Join(t.TempDir(), "root.key")
		mustFail(t, local.Config{Dir: c.Dir, RootKeyFile: file}, kms.ErrKeyMaterial)
		require.NoFileExists(t, file)
	}
}

func TestEveryChangedByteOfTheRootIsSeen(t *testing.T) {
	c := config(newDir(t))
	usedDir(t, c)
	good, err := os.ReadFile(rootPath(c.Dir))
	require.NoError(t, err)
	for at := range good {
		for _, bit := range []byte{1, 0x20, 0x80} {
			bad := append([]byte(nil), good...)
			bad[at] ^= bit
			require.NoError(t, os.WriteFile(rootPath(c.Dir), bad, 0o600))
			_, err := c.Open(t.Context())
			require.ErrorIs(t, err, kms.ErrKeyMaterial, "byte %d, bit %#x", at, bit)
		}
	}
	for _, bad := range []string{"", "{}", "null", string(good[:len(good)-1]), string(good) + "\n", " " + string(good)} {
		require.NoError(t, os.WriteFile(rootPath(c.Dir), []byte(bad), 0o600))
		mustFail(t, c, kms.ErrKeyMaterial)
	}
	require.NoError(t, os.WriteFile(rootPath(c.Dir), good, 0o600))
	open(t, c)
}

func TestRootOfAnotherDirectoryIsRefusedWithItsKeys(t *testing.T) {
	c, other := config(newDir(t)), config(newDir(t))
	usedDir(t, c)
	usedDir(t, other)
	root, err := os.ReadFile(rootPath(other.Dir))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(rootPath(c.Dir), root, 0o600))
	mustFail(t, c, kms.ErrKeyMaterial) // it is a root of this root key, with another salt
}

func TestHealthCheckSeesALostOrChangedRoot(t *testing.T) {
	c := config(newDir(t))
	for _, first := range []bool{true, false} {
		b := open(t, c)
		require.NoError(t, b.HealthCheck(t.Context()), "made just now: %v", first)
		good, err := os.ReadFile(rootPath(c.Dir))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(rootPath(c.Dir), flipped(good, len(good)/2), 0o600))
		require.ErrorIs(t, b.HealthCheck(t.Context()), kms.ErrKeyMaterial)
		require.NoError(t, os.Remove(rootPath(c.Dir)))
		require.ErrorIs(t, b.HealthCheck(t.Context()), kms.ErrKeyMaterial)
		require.NoError(t, os.WriteFile(rootPath(c.Dir), good, 0o600))
		require.NoError(t, b.HealthCheck(t.Context()))
		require.NoError(t, b.Close())
		require.ErrorIs(t, b.HealthCheck(t.Context()), kms.ErrClosed)
	}
}

// twoRoots makes a root.json of two roots out of those of two directories.
func twoRoots(t *testing.T, first, second string) string {
	t.Helper()
	a, err := os.ReadFile(rootPath(first))
	require.NoError(t, err)
	b, err := os.ReadFile(rootPath(second))
	require.NoError(t, err)
	head, ok := strings.CutSuffix(string(a), "]}\n")
	require.True(t, ok)
	return head + "," + strings.Replace(strings.TrimPrefix(string(b), `{"format":1,"roots":[`), `"version":1`, `"version":2`, 1)
}

func TestOfTwoRootsTheOneThatOpensIsUsed(t *testing.T) {
	c, other := config(newDir(t)), config(newDir(t))
	other.RootKey.Bytes()[0] ^= 1
	blob := usedDir(t, c)
	usedDir(t, other)
	both := twoRoots(t, c.Dir, other.Dir)
	require.NoError(t, os.WriteFile(rootPath(c.Dir), []byte(both), 0o600))
	_, err := unwrap(t, open(t, c), "a", blob)
	require.NoError(t, err)
	// The second entry says version 2 but its check value was made for version 1.
	mustFail(t, local.Config{Dir: c.Dir, RootKey: other.RootKey}, kms.ErrKeyMaterial)
	for _, bad := range []string{
		strings.Replace(both, `"version":2`, `"version":1`, 1),
		strings.Replace(both, `"version":1`, `"version":3`, 1),
		strings.Replace(both, `"version":1`, `"version":0`, 1),
	} {
		require.NoError(t, os.WriteFile(rootPath(c.Dir), []byte(bad), 0o600))
		mustFail(t, c, kms.ErrKeyMaterial)
	}
}

// A slowDir lets another process do something after one of its calls.
type slowDir struct {
	*keydir.Dir
	after int
	do    func()
}

func (d *slowDir) step() {
	if d.after--; d.after == 0 {
		d.do()
	}
}

func (d *slowDir) List(ctx context.Context, after string, n int) ([]string, error) {
	defer d.step()
	return d.Dir.List(ctx, after, n)
}

func (d *slowDir) ReadFile(ctx context.Context, name string) ([]byte, error) {
	defer d.step()
	return d.Dir.ReadFile(ctx, name)
}

func TestFirstOpenBesideAQuickerOneUsesItsRoot(t *testing.T) {
	for _, after := range []int{1, 2} {
		c := config(newDir(t))
		dir, err := keydir.Open(c.Dir, keydir.Options{})
		require.NoError(t, err)
		defer dir.Close()
		root, err := local.OpenRoot(t.Context(), c, &slowDir{dir, after, func() { usedDir(t, c) }})
		require.NoError(t, err)
		again, err := local.OpenRoot(t.Context(), c, dir)
		require.NoError(t, err)
		require.Equal(t, again, root)

		c = config(newDir(t))
		other, err := keydir.Open(c.Dir, keydir.Options{})
		require.NoError(t, err)
		defer other.Close()
		quicker := config(c.Dir)
		quicker.RootKey.Bytes()[0] ^= 1
		_, err = local.OpenRoot(t.Context(), c, &slowDir{other, after, func() { usedDir(t, quicker) }})
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
	}
}

func TestRootVersionIsTheOneThatOpens(t *testing.T) {
	c := config(newDir(t))
	dir, err := keydir.Open(c.Dir, keydir.Options{})
	require.NoError(t, err)
	defer dir.Close()
	text, err := local.RootFile(c, 2)
	require.NoError(t, err)
	require.NoError(t, dir.CreateFile(t.Context(), "root.json", text))
	root, err := local.OpenRoot(t.Context(), c, dir)
	require.NoError(t, err)
	require.Equal(t, uint32(2), root.Version)
	blob := usedDir(t, c)
	record, err := os.ReadFile(recordPath(c.Dir, "a"))
	require.NoError(t, err)
	require.Contains(t, string(record), `"root":2`)
	_, err = unwrap(t, open(t, c), "a", blob)
	require.NoError(t, err)
}

func TestFirstOpenThatWasKilledGoesOn(t *testing.T) {
	dir := newDir(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "keys"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27"), []byte(`{"format"`), 0o600))
	b := open(t, config(dir))
	create(t, b, "a")
	require.NoFileExists(t, filepath.Join(dir, ".objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27"))
}

func TestOpenRemovesWhatAKilledProcessLeft(t *testing.T) {
	c := config(newDir(t))
	usedDir(t, c)
	for _, name := range []string{".objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27", "keys/.objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27", "keys/.objectkms-old-ABCDEFGHIJKLMNOPQRSTUVWX27"} {
		require.NoError(t, os.WriteFile(filepath.Join(c.Dir, name), []byte("half"), 0o600))
	}
	wrong := rootKey()
	wrong.Bytes()[0] ^= 1
	mustFail(t, local.Config{Dir: c.Dir, RootKey: wrong}, kms.ErrKeyMaterial)
	open(t, c)
	for _, name := range []string{".objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27", "keys/.objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27", "keys/.objectkms-old-ABCDEFGHIJKLMNOPQRSTUVWX27"} {
		require.NoFileExists(t, filepath.Join(c.Dir, name))
	}
}

func TestRootFileHasOneForm(t *testing.T) {
	c := config(newDir(t))
	usedDir(t, c)
	text, err := os.ReadFile(rootPath(c.Dir))
	require.NoError(t, err)
	require.Regexp(t, `^\{"format":1,"roots":\[\{"version":1,"kdf":"hkdf-sha512","params":"","salt":"[A-Za-z0-9+/]{43}=","check":"[A-Za-z0-9+/]{96}"\}\]\}\n$`, string(text))
	var v map[string]any
	require.NoError(t, json.Unmarshal(text, &v))
}
