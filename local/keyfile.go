package local

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/kdf"
	"github.com/objectkms/kms/internal/keydir"
)

// readKeyFile returns the raw key of the root key file. Where there is no file it is made, if nothing was sealed yet.
func (c Config) readKeyFile(fresh bool) ([]byte, error) {
	if err := c.checkKeyFilePlace(); err != nil {
		return nil, err
	}
	text, err := keydir.ReadSecretFile(c.RootKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		if !fresh {
			return nil, fmt.Errorf("%w: there is no root key file %s, and the directory is set up already", kms.ErrKeyMaterial, c.RootKeyFile)
		}
		text, err = makeKeyFile(c.RootKeyFile)
	}
	defer clear(text)
	if err == nil && fresh {
		// Keys that are sealed under it are answered soon, and it may be another process that has made the file, or was killed over it.
		err = keydir.SyncSecretFile(c.RootKeyFile)
	}
	if err != nil {
		return nil, err
	}
	return parseKeyFile(text)
}

// checkKeyFilePlace refuses a root key file in the key directory or below it, whatever links or mounts its
// path goes through, and one in a directory where anybody may replace it.
func (c Config) checkKeyFilePlace() error {
	var protected []os.FileInfo
	for _, dir := range []string{c.Dir, filepath.Join(c.Dir, "keys")} {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("%w: %w", kms.ErrUnavailable, err)
		}
		protected = append(protected, info)
	}
	place, err := filepath.Abs(filepath.Dir(c.RootKeyFile))
	if err == nil {
		place, err = filepath.EvalSymlinks(place)
	}
	if err != nil {
		return errKeyFilePlace(err)
	}
	if err := checkOutside(place, protected); err != nil {
		return err
	}
	info, err := os.Stat(place)
	if err != nil {
		return errKeyFilePlace(err)
	}
	const writable = 0o002 // by everybody; groups of one user are common
	if mode := info.Mode(); mode&writable != 0 && mode&fs.ModeSticky == 0 {
		return fmt.Errorf("%w: the directory of the root key file has mode %#o, and anybody may replace the file", kms.ErrPermission, mode.Perm())
	}
	return nil
}

// checkOutside refuses a place that is one of the directories or below one.
func checkOutside(place string, protected []os.FileInfo) error {
	for {
		info, err := os.Stat(place)
		if err != nil {
			return errKeyFilePlace(err)
		}
		for _, dir := range protected {
			if os.SameFile(info, dir) {
				return errKeyFileInside()
			}
		}
		above := filepath.Dir(place)
		if above == place {
			return nil
		}
		place = above
	}
}

func errKeyFilePlace(err error) error {
	return fmt.Errorf("%w: the directory of the root key file: %w", kms.ErrInvalidConfig, err)
}

// makeKeyFile makes the file, unless another process does so first, and returns what it holds.
func makeKeyFile(path string) ([]byte, error) {
	raw := make([]byte, kdf.RawSize)
	defer clear(raw)
	rand.Read(raw)
	text := renderKeyFile(raw)
	err := keydir.CreateSecretFile(path, text)
	if err == nil {
		return text, nil
	}
	clear(text)
	if errors.Is(err, fs.ErrExist) {
		return keydir.ReadSecretFile(path)
	}
	return nil, err
}

// renderKeyFile returns the raw key as one line of base64.
func renderKeyFile(raw []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(nil, raw), '\n')
}

// parseKeyFile reads what renderKeyFile wrote. The line feed may be missing.
func parseKeyFile(text []byte) ([]byte, error) {
	line := bytes.TrimSuffix(text, []byte("\n"))
	raw, err := base64.StdEncoding.Strict().AppendDecode(nil, line)
	again := renderKeyFile(raw)
	defer clear(again)
	if err != nil || !bytes.Equal(again[:len(again)-1], line) {
		clear(raw)
		return nil, fmt.Errorf("%w: the root key file is not one line of base64", kms.ErrInvalidConfig)
	}
	if err := kdf.CheckRaw("root key", raw); err != nil {
		clear(raw)
		return nil, err
	}
	return raw, nil
}
