//go:build unix

package power_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/internal/history"
	"github.com/objectkms/kms/e2e/destruction/internal/overfs"
)

// A machine has a key directory on a disk that, when the power is cut, may forget whatever was not synced: names and data, each
// on its own. Its processes see a real directory; a file system in memory goes along with it and knows what is durable.
type machine struct {
	overfs.Directory
	disk *vfs.MemFS
	// renamed has the new name for each that was taken away by a rename: of the two changes not only the first is kept.
	renamed map[string]string
	lie     lie

	left int // how many calls are made until the power is cut; -1: it is not cut
	keep int // per cent of what was not synced that is kept all the same
	rng  *rand.Rand
	off  bool
	next *vfs.MemFS // what is on the disk after the cut
}

var errOff = errors.New("the power is off")

// A lie is a sync that the disk says it has done, and has not.
type lie func(path string) bool

func never(string) bool { return false }

// newMachine returns a machine whose disk holds what is in the directory, durably. The directory need not exist.
func newMachine(t testing.TB, dir history.Disk, lie lie) *machine {
	t.Helper()
	disk := vfs.NewCrashableMem()
	for _, sub := range []string{".", "keys"} {
		entries, _ := os.ReadDir(filepath.Join(string(dir), sub)) // what is not there has no files
		for _, e := range entries {
			name := path.Join("/", sub, e.Name())
			if e.IsDir() {
				require.NoError(t, disk.MkdirAll(name, 0o700))
				continue
			}
			data, err := os.ReadFile(filepath.Join(string(dir), name))
			require.NoError(t, err)
			writeSynced(t, disk, name, data)
		}
		if entries != nil {
			require.NoError(t, syncPath(disk, path.Join("/", sub)))
		}
	}
	return start(t, dir, disk, lie)
}

func writeSynced(t testing.TB, disk *vfs.MemFS, name string, data []byte) {
	t.Helper()
	f, err := disk.Create(name, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(data)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func start(t testing.TB, dir history.Disk, disk *vfs.MemFS, lie lie) *machine {
	t.Helper()
	m := &machine{disk: disk, renamed: map[string]string{}, lie: lie, left: -1}
	m.Directory = overfs.Directory{Disk: dir, Watch: m.watch}
	require.NoError(t, m.Make())
	return m
}

// arm lets the power be cut at a call from now.
func (m *machine) arm(call, keep int, rng *rand.Rand) { m.left, m.keep, m.rng = call, keep, rng }

// watch is what all calls go through. After the cut none is made.
func (m *machine) watch(c overfs.Call, do func() error) error {
	if m.left == 0 && !m.off {
		m.cut(c)
	}
	if m.off {
		return errOff
	}
	if m.left > 0 {
		m.left--
	}
	if c.Verb == "sync" {
		return m.sync(c.Path)
	}
	if err := do(); err != nil {
		return err
	}
	return m.follow(c)
}

// follow lets the disk do what has been done to the directory.
func (m *machine) follow(c overfs.Call) error {
	from, to := path.Join("/", c.Path), path.Join("/", c.To)
	switch c.Verb {
	case "create":
		f, err := m.disk.Create(from, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		return f.Close()
	case "write":
		return writeAt(m.disk, from, c.Data, c.Off)
	case "mkdir":
		return m.disk.MkdirAll(from, 0o700)
	case "link":
		return m.disk.Link(from, to)
	case "rename":
		m.renamed[from] = to
		return m.disk.Rename(from, to)
	case "remove":
		delete(m.renamed, from)
		return m.disk.Remove(from)
	}
	return nil
}

func writeAt(disk *vfs.MemFS, name string, data []byte, off int64) error {
	f, err := disk.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(data, off)
	return err
}

func (m *machine) sync(name string) error {
	if m.lie(name) {
		return nil
	}
	return syncPath(m.disk, path.Join("/", name))
}

func syncPath(disk *vfs.MemFS, name string) error {
	f, err := disk.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// cut cuts the power at a call, of which a write may be half done.
func (m *machine) cut(c overfs.Call) {
	m.off = true
	if c.Verb == "write" && m.rng.IntN(2) == 0 {
		_ = writeAt(m.disk, path.Join("/", c.Path), c.Data[:len(c.Data)/2], c.Off)
	}
	m.next = m.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: m.keep, RNG: m.rng})
	for _, dir := range []string{"/", "/keys"} {
		m.forget(dir)
	}
}

// forget takes away some of the names that were taken away before the cut, and not synced: the clone has all of them.
func (m *machine) forget(dir string) {
	names, err := m.next.List(dir)
	if err != nil {
		return // there is no such directory
	}
	for _, name := range names {
		name = path.Join(dir, name)
		if m.rng.IntN(100) >= m.keep || exists(m.disk, name) {
			continue
		}
		if to, ok := m.renamed[name]; ok && !bytes.Equal(content(m.next, to), content(m.disk, to)) {
			continue
		}
		_ = m.next.Remove(name)
	}
	_ = syncPath(m.next, dir)
}

func exists(disk *vfs.MemFS, name string) bool {
	_, err := disk.Stat(name)
	return err == nil
}

// content returns what is in a file, or nil where there is none.
func content(disk *vfs.MemFS, name string) []byte {
	f, err := disk.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	return data
}

// restart returns the machine after its power was cut, with a directory that holds what is on the disk.
func (m *machine) restart(t testing.TB) *machine {
	t.Helper()
	require.True(t, m.off)
	dir := history.NewDisk(t)
	next := start(t, dir, m.next, m.lie)
	for _, sub := range []string{"/", "/keys"} {
		names, err := m.next.List(sub)
		if err != nil {
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Join(string(dir), sub), 0o700))
		for _, name := range names {
			name = path.Join(sub, name)
			if info, err := m.next.Stat(name); err == nil && !info.IsDir() {
				require.NoError(t, os.WriteFile(filepath.Join(string(dir), name), content(m.next, name), 0o600))
			}
		}
	}
	require.NoError(t, os.RemoveAll(filepath.Dir(string(m.Disk))))
	return next
}
