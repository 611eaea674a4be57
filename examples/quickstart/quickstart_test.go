package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// quickstart runs the program and returns what it printed.
func quickstart(t *testing.T, terminal bool, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := run(t.Context(), args, console{out: &out, terminal: terminal})
	return out.String(), err
}

func needsKeyDirectories(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("key directories are not supported on Windows")
	}
}

// newFile makes a file of random bytes that takes a few chunks.
func newFile(t *testing.T, size int) string {
	t.Helper()
	content := make([]byte, size)
	rand.Read(content)
	path := filepath.Join(t.TempDir(), "holiday.raw")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func TestQuickstart(t *testing.T) {
	needsKeyDirectories(t)
	for _, size := range []int{0, 1, 16384, 100_003} {
		temporary := t.TempDir()
		t.Setenv("TMPDIR", temporary)
		out, err := quickstart(t, false, newFile(t, size))
		require.NoError(t, err, out)
		for _, line := range []string{
			"1. A directory for master keys",
			"   photos: Enabled, version 1\n",
			"   SHA-256 ",
			"   photos: version 2; version 1 still decrypts\n",
			"   one bit of the body changed: decryption failed\n",
			"   another object's name: kms: Decrypt: decryption failed\n",
			"All of it took ",
			"Where to look next: ",
		} {
			require.Contains(t, out, line)
		}
		require.Equal(t, 2, strings.Count(out, " are those of the file\n"))
		require.Equal(t, 2, strings.Count(out, "   envelope -> "))
		require.NotContains(t, out, "\r", "a bar is for terminals only")

		left, err := os.ReadDir(temporary)
		require.NoError(t, err)
		require.Empty(t, left, "it cleans up after itself")
	}
}

func TestQuickstartDrawsABarOnATerminal(t *testing.T) {
	needsKeyDirectories(t)
	out, err := quickstart(t, true, newFile(t, 100_003))
	require.NoError(t, err)
	require.Contains(t, out, "\r   [")
}

func TestQuickstartKeepsWhatItMade(t *testing.T) {
	needsKeyDirectories(t)
	dir := filepath.Join(t.TempDir(), "kept")
	file := newFile(t, 50_000)
	out, err := quickstart(t, false, "-dir", dir, file)
	require.NoError(t, err)
	require.Contains(t, out, "Everything is kept in "+dir)

	plain, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, name := range []string{"root.key", "keys/root.json", "keys/keys/photos.json", "objects/holiday.raw", "objects/holiday.raw.envelope"} {
		stored, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.False(t, bytes.Contains(stored, plain[:32]), name)
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		require.Zero(t, info.Mode().Perm()&0o077, path)
		return err
	})
	require.NoError(t, err)
}

func TestQuickstartOfAMissingFile(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("TMP", temporary)
	_, err := quickstart(t, false, filepath.Join(t.TempDir(), "missing"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestQuickstartOfADirectory(t *testing.T) {
	_, err := quickstart(t, false, t.TempDir())
	require.ErrorContains(t, err, "is not a regular file")
}

func TestQuickstartInADirectoryThatIsNotEmpty(t *testing.T) {
	file := newFile(t, 10)
	_, err := quickstart(t, false, "-dir", filepath.Dir(file), file)
	require.ErrorContains(t, err, "is not empty")
	_, err = os.Stat(file)
	require.NoError(t, err, "what was there stays")
}

func TestQuickstartInADirectoryThatCannotBeMade(t *testing.T) {
	file := newFile(t, 10)
	_, err := quickstart(t, false, "-dir", filepath.Join(file, "below"), file)
	require.Error(t, err)
}

func TestQuickstartInADirectoryThatCannotBeWritten(t *testing.T) {
	needsKeyDirectories(t)
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o500))
	_, err := quickstart(t, false, "-dir", dir, newFile(t, 10))
	require.Error(t, err)
}

// The walk over a real server is a test of the module e2e.
func TestQuickstartWithoutAVault(t *testing.T) {
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	t.Setenv("VAULT_TOKEN", "")
	_, err := quickstart(t, false, "-vault", newFile(t, 10))
	require.ErrorContains(t, err, "-vault needs VAULT_ADDR and VAULT_TOKEN")
	t.Setenv("VAULT_TOKEN", "the-token")
	out, err := quickstart(t, false, "-vault", newFile(t, 10))
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.Contains(t, out, "1. A Vault or OpenBao server")
	require.NotContains(t, out+err.Error(), "the-token")
}

func TestQuickstartWithWrongArguments(t *testing.T) {
	_, err := quickstart(t, false, "one", "two")
	require.ErrorContains(t, err, "2 files given")
	out, err := quickstart(t, false, "-nonsense")
	require.Error(t, err)
	require.Contains(t, out, "-dir")
	_, err = quickstart(t, false, "-h")
	require.ErrorIs(t, err, flag.ErrHelp)
}

func TestQuickstartChoosesARealFile(t *testing.T) {
	path, err := chooseFile("", t.TempDir())
	require.NoError(t, err)
	require.NoError(t, checkFile(path))

	t.Setenv("PATH", "")
	dir := t.TempDir()
	path, err = chooseFile("", dir)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "random"), path)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 64<<20, info.Size())
}

func TestReadingStopsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := watch(ctx, strings.NewReader("abc"), 3, console{out: io.Discard})
	var b [1]byte
	_, err := r.Read(b[:])
	require.NoError(t, err)
	cancel()
	_, err = r.Read(b[:])
	require.ErrorIs(t, err, context.Canceled)
}

func TestSizesForPeople(t *testing.T) {
	for size, want := range map[int64]string{0: "0 bytes", 9_999: "9999 bytes", 10_000: "10.0 kB", 999_949: "999.9 kB", 1_000_000: "1.0 MB", 12_340_000: "12.3 MB"} {
		require.Equal(t, want, bytesText(size))
	}
}
