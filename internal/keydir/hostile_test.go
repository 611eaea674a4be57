//go:build unix

package keydir_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// A trick replaces the file at a path by something that must be refused.
type trick struct {
	name string
	do   func(t *testing.T, path string)
}

func replaceBy(make func(path string) error) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		require.NoError(t, os.Rename(path, path+".moved"))
		require.NoError(t, make(path))
	}
}

func fileTricks() []trick {
	return []trick{
		{"symbolic link inside", replaceBy(func(path string) error { return os.Symlink(filepath.Base(path)+".moved", path) })},
		{"symbolic link outside", replaceBy(func(path string) error { return os.Symlink("/etc/hostname", path) })},
		{"dangling symbolic link", replaceBy(func(path string) error { return os.Symlink("nowhere", path) })},
		{"named pipe", replaceBy(func(path string) error { return unix.Mkfifo(path, 0o600) })},
		{"directory", replaceBy(func(path string) error { return os.Mkdir(path, 0o700) })},
		{"socket", replaceByNode(unix.S_IFSOCK)},
		{"character device", replaceByNode(unix.S_IFCHR)},
		{"block device", replaceByNode(unix.S_IFBLK)},
		{"mode 0640", func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o640)) }},
		{"mode 0604", func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o604)) }},
		{"mode 0700", func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o700)) }},
		{"foreign owner", giveAway},
	}
}

// replaceByNode puts a socket or a device in the place of a file. The devices are not there: opening one would be an error of its own.
func replaceByNode(kind uint32) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		require.NoError(t, os.Rename(path, path+".moved"))
		if err := unix.Mknod(path, kind|0o600, 0); err != nil {
			t.Skipf("wanted to make a socket or a device, which takes root: %v", err)
		}
	}
}

func giveAway(t *testing.T, path string) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	require.NoError(t, os.Chown(path, 65534, 65534))
}

// hostileDir returns a directory with the record "a", the record "b" and root.json.
func hostileDir(t *testing.T) string {
	dir := newDir(t)
	d := open(t, dir)
	store(t, d, "a", "one")
	store(t, d, "b", "two")
	require.NoError(t, d.CreateFile(t.Context(), "root.json", []byte("root")))
	require.NoError(t, d.Close())
	return dir
}

func TestHostileRecordIsRefusedAndHidesNoOther(t *testing.T) {
	huge := trick{"huge", func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 1<<40)) }}
	for _, tt := range append(fileTricks(), huge) {
		t.Run(tt.name, func(t *testing.T) {
			dir := hostileDir(t)
			tt.do(t, recordPath(dir, "a"))
			d := open(t, dir)
			_, err := d.Get(t.Context(), "a")
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			if tt.name != "huge" {
				require.ErrorIs(t, err, kms.ErrPermission)
			}
			require.ErrorIs(t, d.Mutate(t.Context(), "a", set([]byte("three"))), kms.ErrKeyMaterial)
			require.Equal(t, "two", content(t, d, "b"))
			ids, err := d.List(t.Context(), "", 10)
			require.NoError(t, err)
			require.Equal(t, []string{"a", "b"}, ids)
			require.NoError(t, d.HealthCheck(t.Context()))
			require.Empty(t, strays(t, dir))
		})
	}
}

func TestHostileFileBesideTheRecordsIsRefused(t *testing.T) {
	for _, tt := range fileTricks() {
		t.Run(tt.name, func(t *testing.T) {
			dir := hostileDir(t)
			tt.do(t, filepath.Join(dir, "root.json"))
			d := open(t, dir)
			_, err := d.ReadFile(t.Context(), "root.json")
			require.ErrorIs(t, err, kms.ErrPermission)
			require.ErrorIs(t, d.CreateFile(t.Context(), "root.json", nil), kms.ErrKeyExists)
		})
	}
}

func TestHostileLockFileIsRefused(t *testing.T) {
	for _, tt := range fileTricks() {
		t.Run(tt.name, func(t *testing.T) {
			dir := hostileDir(t)
			tt.do(t, lockPath(dir))
			d := open(t, dir)
			_, _, err := d.Stamp(t.Context())
			require.ErrorIs(t, err, kms.ErrPermission)
			_, err = d.Get(t.Context(), "a")
			require.ErrorIs(t, err, kms.ErrPermission)
			require.ErrorIs(t, d.Mutate(t.Context(), "a", set(nil)), kms.ErrPermission)
			require.ErrorIs(t, d.HealthCheck(t.Context()), kms.ErrPermission)
			require.FileExists(t, recordPath(dir, "a"))
		})
	}
}

// Whatever lies where the file of a cut-off batch would: it is not followed, not opened and not removed.
func TestHostileBatchFileIsRefused(t *testing.T) {
	for _, tt := range fileTricks() {
		t.Run(tt.name, func(t *testing.T) {
			dir := batchDir(t)
			batch := filepath.Join(dir, "batch")
			require.NoError(t, os.WriteFile(batch, []byte(strings.Repeat("A", 26)+"\n"), 0o600))
			tt.do(t, batch)
			d := open(t, dir)
			require.ErrorIs(t, d.Complete(t.Context()), kms.ErrPermission)
			require.ErrorIs(t, d.Recover(t.Context()), kms.ErrPermission)
			_, err := os.Lstat(batch)
			require.NoError(t, err)
			require.NoError(t, os.RemoveAll(batch))
			require.NoError(t, d.Recover(t.Context()))
			require.Equal(t, "old", batchState(t, d))
		})
	}
}

// What bears the name of a temporary file and is none stays, and so does what it points to.
func TestHostileTemporaryNamesAreLeftAlone(t *testing.T) {
	for _, tt := range fileTricks() {
		if strings.HasPrefix(tt.name, "mode") || tt.name == "foreign owner" {
			continue // a file by that name is removed, whoever may read it
		}
		t.Run(tt.name, func(t *testing.T) {
			dir := hostileDir(t)
			path := filepath.Join(dir, "keys", tempName)
			require.NoError(t, os.WriteFile(path, []byte("target"), 0o600))
			tt.do(t, path)
			d := open(t, dir)
			require.NoError(t, d.Recover(t.Context()))
			store(t, d, "a", "three")
			_, err := os.Lstat(path)
			require.NoError(t, err)
			target, err := os.ReadFile(path + ".moved")
			require.NoError(t, err)
			require.Equal(t, "target", string(target))
		})
	}
}

// A resizingFS lets a file have another size once it was looked at.
type resizingFS struct {
	keydir.FS
	resize func()
}

func (f resizingFS) Sub(name string) (keydir.FS, error) {
	sub, err := f.FS.Sub(name)
	return resizingFS{sub, f.resize}, err
}

func (f resizingFS) Open(name string, flag int, perm os.FileMode) (keydir.File, error) {
	file, err := f.FS.Open(name, flag, perm)
	if err == nil && name == "a.json" {
		return resizingFile{file, f.resize}, nil
	}
	return file, err
}

type resizingFile struct {
	keydir.File
	resize func()
}

func (f resizingFile) Stat() (os.FileInfo, error) {
	info, err := f.File.Stat()
	f.resize()
	return info, err
}

func TestFileThatChangesItsSizeWhileItIsRead(t *testing.T) {
	for name, tt := range map[string]struct {
		size int64
		want error
	}{
		"grows without end": {1 << 40, nil},
		"grows by a byte":   {4, nil},
		"shrinks":           {2, io.ErrUnexpectedEOF},
		"vanishes":          {0, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			dir := hostileDir(t)
			fsys, err := keydir.OpenFS(dir)
			require.NoError(t, err)
			resize := func() { require.NoError(t, os.Truncate(recordPath(dir, "a"), tt.size)) }
			d, err := keydir.New(resizingFS{fsys, resize}, keydir.Options{})
			require.NoError(t, err)
			t.Cleanup(func() { d.Close() })
			record, err := d.Get(t.Context(), "a")
			if tt.want == nil {
				require.NoError(t, err)
				require.Equal(t, "one", string(record), "as much as there was")
				return
			}
			require.ErrorIs(t, err, tt.want)
			require.ErrorIs(t, err, kms.ErrUnavailable)
			require.Nil(t, record)
		})
	}
}

// A swappingFS lets something else take the place of a file once it was looked at, before it is opened.
type swappingFS struct {
	keydir.FS
	swap func()
}

func (f swappingFS) Sub(name string) (keydir.FS, error) {
	sub, err := f.FS.Sub(name)
	return swappingFS{sub, f.swap}, err
}

func (f swappingFS) Lstat(name string) (os.FileInfo, error) {
	info, err := f.FS.Lstat(name)
	if err == nil && name == "a.json" {
		f.swap()
	}
	return info, err
}

// What was opened is looked at again. It is not waited for, and nothing outside is read.
func TestFileThatIsSwappedWhileItIsOpened(t *testing.T) {
	for _, tt := range fileTricks() {
		t.Run(tt.name, func(t *testing.T) {
			dir := hostileDir(t)
			tt.do(t, recordPath(dir, "b")) // skips where it takes root
			fsys, err := keydir.OpenFS(dir)
			require.NoError(t, err)
			d, err := keydir.New(swappingFS{fsys, sync.OnceFunc(func() { tt.do(t, recordPath(dir, "a")) })}, keydir.Options{})
			require.NoError(t, err)
			t.Cleanup(func() { d.Close() })
			_, _, err = d.Stamp(t.Context()) // opens the lock file
			require.NoError(t, err)
			before := descriptors(t)
			record, err := d.Get(t.Context(), "a")
			require.Equal(t, before, descriptors(t))
			switch tt.name {
			case "symbolic link inside":
				require.Contains(t, []string{"", "one"}, string(record), "the file itself, if it is followed")
			case "symbolic link outside", "dangling symbolic link", "socket", "character device", "block device":
				require.Error(t, err, "it cannot be opened")
			default:
				require.ErrorIs(t, err, kms.ErrPermission)
				require.ErrorIs(t, err, kms.ErrKeyMaterial)
			}
			ids, err := d.List(t.Context(), "", 10)
			require.NoError(t, err)
			require.Equal(t, []string{"a", "b"}, ids)
		})
	}
}

func TestHostileDirectoriesAreRefused(t *testing.T) {
	tricks := []struct {
		trick
		want error
	}{
		{trick{"symbolic link", replaceBy(func(path string) error { return os.Symlink(filepath.Base(path)+".moved", path) })}, kms.ErrInvalidConfig},
		{trick{"dangling symbolic link", replaceBy(func(path string) error { return os.Symlink("nowhere", path) })}, kms.ErrInvalidConfig},
		{trick{"file", replaceBy(func(path string) error { return os.WriteFile(path, nil, 0o600) })}, kms.ErrInvalidConfig},
		{trick{"named pipe", replaceBy(func(path string) error { return unix.Mkfifo(path, 0o600) })}, kms.ErrInvalidConfig},
		{trick{"mode 0750", func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o750)) }}, kms.ErrPermission},
		{trick{"mode 0701", func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o701)) }}, kms.ErrPermission},
		{trick{"foreign owner", giveAway}, kms.ErrPermission},
	}
	for _, tt := range tricks {
		for _, sub := range []string{"", "keys"} {
			t.Run(tt.name+" for /"+sub, func(t *testing.T) {
				dir := hostileDir(t)
				tt.do(t, filepath.Join(dir, sub))
				before := descriptors(t)
				for _, mustExist := range []bool{false, true} {
					for _, tail := range []string{"", "/", "/."} {
						_, err := keydir.Open(dir+tail, keydir.Options{MustExist: mustExist})
						require.ErrorIs(t, err, tt.want)
					}
				}
				require.Equal(t, before, descriptors(t))
			})
		}
	}
}

func TestPathMayLeadThroughSymbolicLinks(t *testing.T) {
	dir := newDir(t)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(filepath.Dir(dir), link))
	store(t, open(t, filepath.Join(link, filepath.Base(dir))), "a", "one")
	require.Equal(t, "one", content(t, open(t, dir), "a"))
}

func TestMissingParentThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := keydir.Open(filepath.Join(file, "a", "b"), keydir.Options{})
	require.Error(t, err)
	if os.Geteuid() != 0 {
		closed := filepath.Join(t.TempDir(), "closed")
		require.NoError(t, os.Mkdir(closed, 0o500))
		_, err := keydir.Open(filepath.Join(closed, "a"), keydir.Options{})
		require.ErrorIs(t, err, kms.ErrPermission)
	}
}
