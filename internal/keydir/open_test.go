//go:build unix

package keydir_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

const (
	tempName = ".objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27"
	setName  = ".objectkms-set-ABCDEFGHIJKLMNOPQRSTUVWX27" // of a batch, without its target
)

func TestMissingKeysAreMadeOnlyInAnEmptyDirectory(t *testing.T) {
	tests := []struct {
		names []string
		want  error
	}{
		{nil, nil},
		{[]string{tempName}, nil},
		{[]string{"lost+found"}, nil},
		{[]string{"lock"}, kms.ErrKeyMaterial},
		{[]string{"root.json"}, kms.ErrKeyMaterial},
		{[]string{"aaa", "root.json", "zzz"}, kms.ErrKeyMaterial},
		{[]string{"photo.jpg"}, kms.ErrInvalidConfig},
		{[]string{tempName + "A"}, kms.ErrInvalidConfig},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.names, ","), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "kms")
			require.NoError(t, os.Mkdir(dir, 0o700))
			for _, name := range tt.names {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
			}
			before := descriptors(t)
			d, err := keydir.Open(dir, keydir.Options{})
			if tt.want == nil {
				require.NoError(t, err)
				require.NoError(t, d.Close())
				return
			}
			require.ErrorIs(t, err, tt.want)
			require.NoDirExists(t, filepath.Join(dir, "keys"))
			require.Equal(t, before, descriptors(t))
			_, err = keydir.Open(dir, keydir.Options{MustExist: true})
			require.ErrorIs(t, err, tt.want)
		})
	}
}

func TestFirstOpensAtTheSameTimeAllSucceed(t *testing.T) {
	for range 20 {
		dir := filepath.Join(t.TempDir(), "above", "kms")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				d, err := keydir.Open(dir, keydir.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				defer d.Close()
				if err := d.Mutate(t.Context(), "a", set([]byte("x"))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

func TestFirstOpenOfAnotherInTheMiddleIsSeen(t *testing.T) {
	dir, tp := filepath.Join(t.TempDir(), "kms"), &tape{}
	require.NoError(t, os.Mkdir(dir, 0o700))
	tp.reset(once("open .", func() { store(t, open(t, dir), "a", "one") }))
	require.Equal(t, "one", content(t, openTaped(t, dir, tp, keydir.Options{}), "a"))
}

func TestOnlyOwnTemporaryFilesAreSwept(t *testing.T) {
	dir := newDir(t)
	kept := []string{
		".new-X", ".old-X", ".objectkms-new-", tempName + "A", strings.ToLower(tempName), "x" + tempName,
		strings.Replace(tempName, "27", "01", 1), strings.Replace(tempName, "new", "tmp", 1),
		setName + "-", setName, setName + "-.x", setName + "-a b", strings.Replace(setName, "27", "01", 1) + "-a.json",
	}
	for _, name := range append(kept, tempName, setName+"-a.json") {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", name), nil, 0o600))
	}
	link := filepath.Join(dir, strings.Replace(tempName, "A", "B", 1))
	require.NoError(t, os.Symlink("nowhere", link))
	require.NoError(t, os.Mkdir(filepath.Join(dir, tempName), 0o700))
	require.NoError(t, open(t, dir).Recover(t.Context()))
	for _, name := range kept {
		require.FileExists(t, filepath.Join(dir, "keys", name))
	}
	require.NoFileExists(t, filepath.Join(dir, "keys", tempName))
	require.NoFileExists(t, filepath.Join(dir, "keys", setName+"-a.json"))
	require.DirExists(t, filepath.Join(dir, tempName))
	_, err := os.Lstat(link)
	require.NoError(t, err)
}

func TestImpossiblePathsAreInvalid(t *testing.T) {
	base := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(base, "file"), nil, 0o600))
	require.NoError(t, os.Symlink("loop", filepath.Join(base, "loop")))
	for _, path := range []string{"file/a", "file/a/b", "loop/a", strings.Repeat("x", 256), strings.Repeat("x/", 5000), "a\x00b"} {
		for _, mustExist := range []bool{false, true} {
			_, err := keydir.Open(filepath.Join(base, path), keydir.Options{MustExist: mustExist})
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			require.NotErrorIs(t, err, kms.ErrUnavailable)
		}
	}
}
