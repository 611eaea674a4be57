package history

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// A Disk is a Directory on a real file system.
type Disk string

// Config returns the configuration with a root key.
func (d Disk) Config(root int) local.Config {
	return local.Config{Dir: string(d), RootKey: kms.NewSecret(bytes.Repeat([]byte{byte(root + 1)}, 32)), AllowUnlockedMemory: true}
}

// Open implements [Directory].
func (d Disk) Open(ctx context.Context, root int) (Backend, error) {
	b, err := local.New(ctx, d.Config(root))
	if err != nil {
		return nil, err
	}
	return b, nil
}

// ChangeRoot implements [Directory].
func (d Disk) ChangeRoot(ctx context.Context, from, to int) error {
	return local.ChangeRootKey(ctx, d.Config(from), d.Config(to))
}

// CheckFiles checks that there is a file for each key of the state, and nothing that nobody needs.
func (d Disk) CheckFiles(s State) error {
	want := []string{"keys", "lock", "root.json"}
	for id := range s.Keys {
		want = append(want, filepath.Join("keys", id+".json"))
	}
	var got []string
	for _, sub := range []string{"", "keys"} {
		entries, err := os.ReadDir(filepath.Join(string(d), sub))
		if err != nil {
			return err
		}
		for _, e := range entries {
			got = append(got, filepath.Join(sub, e.Name()))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return fmt.Errorf("found files %v, want %v", got, want)
	}
	return nil
}

// NewDisk returns an empty directory, in memory where the system has a file system there: a process that is killed takes nothing with it
// that it has written, whether it was synced or not.
func NewDisk(t testing.TB) Disk {
	t.Helper()
	const memory = "/dev/shm"
	dir, err := os.MkdirTemp(memory, "kms-destruction-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Disk(filepath.Join(dir, "kms"))
}

// Litter returns how many temporary files lie about.
func (d Disk) Litter() (n int) {
	for _, sub := range []string{"", "keys"} {
		entries, _ := os.ReadDir(filepath.Join(string(d), sub)) // what is not there yet has none
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || e.Name() == "batch" {
				n++
			}
		}
	}
	return n
}

// CopyTo copies the directory to another place, which must not exist.
func (d Disk) CopyTo(to Disk) error {
	for _, sub := range []string{"", "keys"} {
		if err := os.Mkdir(filepath.Join(string(to), sub), 0o700); err != nil {
			return err
		}
		entries, err := os.ReadDir(filepath.Join(string(d), sub))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			data, err := os.ReadFile(filepath.Join(string(d), sub, e.Name()))
			if err == nil {
				err = os.WriteFile(filepath.Join(string(to), sub, e.Name()), data, 0o600)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
