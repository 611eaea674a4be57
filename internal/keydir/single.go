package keydir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/objectkms/kms"
)

// ReadSecretFile returns the content of a single file, in whatever directory, that is refused in the same
// cases as the files of a Dir. Where there is none, the error is fs.ErrNotExist.
func ReadSecretFile(path string) (data []byte, err error) {
	err = inParent(path, func(parent FS, name string) error {
		data, err = readFile(parent, name)
		return err
	})
	return data, err
}

// SyncSecretFile makes a single file durable, with its name, for whoever is about to depend on it: the one who has made it may have been killed
// before that, or not be so far yet. The temporary name that it may have left is removed. A file system that cannot be written to has nothing that is not durable.
func SyncSecretFile(path string) error {
	return inParent(path, func(parent FS, name string) error {
		f, info, err := openFile(parent, name, readFlag)
		if err != nil {
			return err
		}
		if err = errors.Join(f.Sync(), f.Close(), removeTemps(parent, info), syncDir(parent)); readOnly(err) {
			return nil
		}
		return err
	})
}

// removeTemps removes the temporary names of a file, and of no other: the directory may be anybody's.
func removeTemps(parent FS, file fs.FileInfo) error {
	names, err := readNames(parent)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !isTemp(name) {
			continue
		}
		if info, err := parent.Lstat(name); err == nil && os.SameFile(info, file) {
			if err := removeTemp(parent, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeTemp removes a temporary name, which holds a second copy of a secret.
func removeTemp(parent FS, name string) error {
	if err := parent.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds a second copy, remove it: %w", parent.Path(name), err)
	}
	return nil
}

// CreateSecretFile stores a single file of mode 0600, whole and durable before it has its name. Where there is
// one by this name already, it stays, and the error is fs.ErrExist. The directory must exist.
func CreateSecretFile(path string, data []byte) error {
	return inParent(path, func(parent FS, name string) error { return createSecretFile(parent, name, data) })
}

func createSecretFile(parent FS, name string, data []byte) error {
	temp := tempName(newPrefix)
	err := writeFile(parent, temp, data)
	if err == nil {
		if err = parent.Link(temp, name); err == nil {
			err = syncDir(parent)
		}
	}
	if left := removeTemp(parent, temp); err == nil {
		err = left
	}
	return err
}

// inParent runs do with the directory of a path and the name in it.
func inParent(path string, do func(parent FS, name string) error) error {
	if !supported {
		return fmt.Errorf("%w: secret files need a Unix system", kms.ErrUnsupported)
	}
	dir, name := filepath.Split(filepath.Clean(path))
	parent, err := OpenFS(filepath.Clean(dir))
	if err == nil {
		err = errors.Join(do(parent, name), parent.Close())
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || err == nil {
		return err
	}
	return failed("secret file "+path, err)
}
