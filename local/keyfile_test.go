//go:build unix

package local_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

func TestRootKeyFileIsMadeAtFirstUse(t *testing.T) {
	base := t.TempDir()
	c := local.Config{Dir: filepath.Join(base, "keys"), RootKeyFile: filepath.Join(base, "root.key"), AllowUnlockedMemory: true}
	blob := usedDir(t, c)
	info, err := os.Lstat(c.RootKeyFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	text, err := os.ReadFile(c.RootKeyFile)
	require.NoError(t, err)
	require.Regexp(t, `^[A-Za-z0-9+/]{43}=\n$`, string(text))
	_, err = unwrap(t, open(t, c), "a", blob)
	require.NoError(t, err)
	// The file is a raw root key in base64, and can be given as one.
	raw, err := local.ParseKeyFile(text)
	require.NoError(t, err)
	_, err = unwrap(t, open(t, local.Config{Dir: c.Dir, RootKey: kms.NewSecret(raw), AllowUnlockedMemory: true}), "a", blob)
	require.NoError(t, err)
}

func TestLostRootKeyFileIsNotReplaced(t *testing.T) {
	base := t.TempDir()
	c := local.Config{Dir: filepath.Join(base, "keys"), RootKeyFile: filepath.Join(base, "root.key"), AllowUnlockedMemory: true}
	usedDir(t, c)
	text, err := os.ReadFile(c.RootKeyFile)
	require.NoError(t, err)
	require.NoError(t, os.Remove(c.RootKeyFile))
	mustFail(t, c, kms.ErrKeyMaterial)
	require.NoFileExists(t, c.RootKeyFile)
	require.NoError(t, os.WriteFile(c.RootKeyFile, text[1:], 0o600))
	mustFail(t, c, kms.ErrInvalidConfig)
	require.NoError(t, os.WriteFile(c.RootKeyFile, text, 0o600))
	open(t, c)
}

func TestMissingRootKeyFileOfADirectoryThatWasSetUpWithoutOne(t *testing.T) {
	for want, c := range map[string]local.Config{
		"the directory was set up with a passphrase": {Dir: newDir(t), Passphrase: passphrase("x"), AllowUnlockedMemory: true},
		"the directory is set up already":            config(newDir(t)),
	} {
		usedDir(t, c)
		file := filepath.Join(t.TempDir(), "root.key")
		_, err := local.New(t.Context(), local.Config{Dir: c.Dir, RootKeyFile: file, AllowUnlockedMemory: true})
		require.ErrorContains(t, err, want)
		require.NoFileExists(t, file)
	}
}

func TestRootKeyFileInADirectoryThatAnybodyWritesToIsRefused(t *testing.T) {
	base, place := t.TempDir(), t.TempDir()
	c := local.Config{Dir: filepath.Join(base, "keys"), RootKeyFile: filepath.Join(place, "root.key"), AllowUnlockedMemory: true}
	for _, mode := range []os.FileMode{0o777, 0o707, 0o702} {
		require.NoError(t, os.Chmod(place, mode))
		_, err := c.Open(t.Context())
		require.ErrorIs(t, err, kms.ErrPermission)
		require.NoFileExists(t, c.RootKeyFile)
	}
	require.NoError(t, os.Chmod(place, 0o777|os.ModeSticky))
	require.NoError(t, open(t, c).Close())
	require.NoError(t, os.Chmod(place, 0o777))
	mustFail(t, c, kms.ErrPermission)
	for _, mode := range []os.FileMode{0o755, 0o775} {
		require.NoError(t, os.Chmod(place, mode))
		require.NoError(t, open(t, c).Close())
	}
}

func TestRootKeyFileInsideTheDirectoryIsRefusedThroughLinks(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "keys")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	require.NoError(t, os.Symlink(dir, filepath.Join(base, "link")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "sub"), filepath.Join(base, "sublink")))
	for _, file := range []string{"link/root.key", "sublink/root.key", "link/sub/root.key", "keys/sub/../root.key"} {
		path := base + "/" + file
		_, err := local.Config{Dir: dir, RootKeyFile: path, AllowUnlockedMemory: true}.Open(t.Context())
		require.ErrorIs(t, err, kms.ErrInvalidConfig, file)
		require.NoFileExists(t, path)
		require.NoFileExists(t, rootPath(dir))
	}
}

func TestRelativeRootKeyFile(t *testing.T) {
	t.Chdir(t.TempDir())
	usedDir(t, local.Config{Dir: "keys", RootKeyFile: "root.key", AllowUnlockedMemory: true})
	require.FileExists(t, "root.key")
	t.Chdir("keys")
	_, err := local.Config{Dir: "../keys", RootKeyFile: "root.key"}.Open(t.Context())
	require.ErrorIs(t, err, kms.ErrInvalidConfig, "it lies in the directory")
}

func TestRootKeyFileThatIsNotPrivateIsRefused(t *testing.T) {
	base := t.TempDir()
	c := local.Config{Dir: filepath.Join(base, "keys"), RootKeyFile: filepath.Join(base, "root.key"), AllowUnlockedMemory: true}
	usedDir(t, c)
	require.NoError(t, os.Chmod(c.RootKeyFile, 0o644))
	mustFail(t, c, kms.ErrPermission)
	require.NoError(t, os.Chmod(c.RootKeyFile, 0o400))
	open(t, c)
	require.NoError(t, os.Rename(c.RootKeyFile, c.RootKeyFile+".moved"))
	require.NoError(t, os.Symlink("root.key.moved", c.RootKeyFile))
	mustFail(t, c, kms.ErrPermission)
}

func TestRootKeyFileNeedsItsDirectory(t *testing.T) {
	base := t.TempDir()
	c := local.Config{Dir: filepath.Join(base, "keys"), RootKeyFile: filepath.Join(base, "missing", "root.key"), AllowUnlockedMemory: true}
	_, err := c.Open(t.Context())
	require.ErrorIs(t, err, kms.ErrInvalidConfig)
	require.NoFileExists(t, rootPath(c.Dir))
}
