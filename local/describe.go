package local

import (
	"path/filepath"
	"strconv"

	"github.com/objectkms/kms"
)

var _ kms.ConfigDescriber = Config{}

// Identity returns the absolute path of the directory: whatever opens it, it holds the same keys.
func (c Config) Identity() string {
	path, err := filepath.Abs(c.Dir)
	if err != nil {
		return filepath.Clean(c.Dir)
	}
	return path
}

// Settings returns what kind of secret opens the directory, and whether keys may be in memory that is not locked.
func (c Config) Settings() map[string]string {
	kind := "raw"
	switch {
	case c.Passphrase != nil:
		kind = "passphrase"
	case c.RootKeyFile != "":
		kind = "file"
	}
	return map[string]string{"root key": kind, "unlocked memory": strconv.FormatBool(c.AllowUnlockedMemory)}
}
