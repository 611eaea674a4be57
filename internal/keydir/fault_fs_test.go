//go:build unix

package keydir_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/keydir"
)

// A tape records the calls that reach a file system, and lets some of them fail.
type tape struct {
	mu    sync.Mutex
	calls []string
	fault func(n int, call string) error // asked before call number n, from 0
	half  bool                           // a write that fails writes half of it first
}

func (t *tape) call(format string, args ...any) error {
	call := randomPart.ReplaceAllString(fmt.Sprintf(format, args...), ".$1")
	t.mu.Lock()
	n := len(t.calls)
	t.calls = append(t.calls, call)
	fault := t.fault
	t.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(n, call)
}

var randomPart = regexp.MustCompile(`\.objectkms-(new|old|set)-[A-Z2-7]{26}`)

// reset forgets the calls and sets the fault.
func (t *tape) reset(fault func(n int, call string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls, t.fault = nil, fault
}

// changes returns the calls that write, in their order.
func (t *tape) changes() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var changes []string
	for _, call := range t.calls {
		if isChange(call) {
			changes = append(changes, call)
		}
	}
	return changes
}

func isChange(call string) bool {
	verb, _, _ := strings.Cut(call, " ")
	return slices.Contains([]string{"create", "chmod", "write", "writeat", "sync", "link", "rename", "remove", "mkdir"}, verb)
}

// openTaped opens a directory whose calls go through the tape.
func openTaped(t testing.TB, dir string, tp *tape, opts keydir.Options) *keydir.Dir {
	t.Helper()
	fsys, err := keydir.OpenFS(dir)
	require.NoError(t, err)
	d, err := keydir.New(&tapedFS{fsys, tp, ""}, opts)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

type tapedFS struct {
	keydir.FS
	tape *tape
	path string
}

func (f *tapedFS) Open(name string, flag int, perm fs.FileMode) (keydir.File, error) {
	verb := "open"
	if perm != 0 {
		verb = "create"
	}
	if err := f.tape.call("%s %s%s", verb, f.path, name); err != nil {
		return nil, err
	}
	file, err := f.FS.Open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &tapedFile{file, f.tape, f.path + name}, nil
}

func (f *tapedFS) Lstat(name string) (fs.FileInfo, error) {
	if err := f.tape.call("lstat %s%s", f.path, name); err != nil {
		return nil, err
	}
	return f.FS.Lstat(name)
}

func (f *tapedFS) Mkdir(name string, perm fs.FileMode) error {
	if err := f.tape.call("mkdir %s%s", f.path, name); err != nil {
		return err
	}
	return f.FS.Mkdir(name, perm)
}

func (f *tapedFS) Chmod(name string, mode fs.FileMode) error {
	if err := f.tape.call("chmod %s%s", f.path, name); err != nil {
		return err
	}
	return f.FS.Chmod(name, mode)
}

func (f *tapedFS) Link(oldname, newname string) error {
	if err := f.tape.call("link %s%s %s%s", f.path, oldname, f.path, newname); err != nil {
		return err
	}
	return f.FS.Link(oldname, newname)
}

func (f *tapedFS) Rename(oldname, newname string) error {
	if err := f.tape.call("rename %s%s %s%s", f.path, oldname, f.path, newname); err != nil {
		return err
	}
	return f.FS.Rename(oldname, newname)
}

func (f *tapedFS) Remove(name string) error {
	if err := f.tape.call("remove %s%s", f.path, name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f *tapedFS) Sub(name string) (keydir.FS, error) {
	if err := f.tape.call("sub %s%s", f.path, name); err != nil {
		return nil, err
	}
	sub, err := f.FS.Sub(name)
	if err != nil {
		return nil, err
	}
	return &tapedFS{sub, f.tape, f.path + name + "/"}, nil
}

type tapedFile struct {
	keydir.File
	tape *tape
	path string
}

func (f *tapedFile) Read(p []byte) (int, error) {
	if err := f.tape.call("read %s", f.path); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *tapedFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.tape.call("readat %s", f.path); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *tapedFile) Write(p []byte) (n int, err error) {
	if err := f.tape.call("write %s", f.path); err != nil {
		if f.tape.half {
			n, _ = f.File.Write(p[:len(p)/2])
		}
		return n, err
	}
	return f.File.Write(p)
}

func (f *tapedFile) WriteAt(p []byte, off int64) (n int, err error) {
	if err := f.tape.call("writeat %s %x", f.path, p[7]&1|p[16]<<4); err != nil {
		if f.tape.half {
			n, _ = f.File.WriteAt(p[:len(p)/2], off)
		}
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *tapedFile) Stat() (fs.FileInfo, error) {
	if err := f.tape.call("stat %s", f.path); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

func (f *tapedFile) Chmod(mode fs.FileMode) error {
	if err := f.tape.call("chmod %s", f.path); err != nil {
		return err
	}
	return f.File.Chmod(mode)
}

func (f *tapedFile) Sync() error {
	if err := f.tape.call("sync %s", f.path); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *tapedFile) Readdirnames(n int) ([]string, error) {
	if err := f.tape.call("readdir %s", f.path); err != nil {
		return nil, err
	}
	return f.File.Readdirnames(n)
}

func (f *tapedFile) TryLock() (bool, error) {
	if err := f.tape.call("lock %s", f.path); err != nil {
		return false, err
	}
	return f.File.TryLock()
}

func (f *tapedFile) Unlock() error {
	if err := f.tape.call("unlock %s", f.path); err != nil {
		return err
	}
	return f.File.Unlock()
}

// Close closes the file even where it is made to fail, as close(2) does.
func (f *tapedFile) Close() error {
	err := f.tape.call("close %s", f.path)
	if closeErr := f.File.Close(); closeErr != nil {
		return closeErr
	}
	return err
}
