package local

import (
	"path/filepath"
	"strconv"

	"github.com/objectkms/kms"
)

var _ kms.ConfigDescriber = Config{}

// Identity returns the absolute path of the directory, links unresolved. It implements [kms.ConfigDescriber].
func (c Config) Identity() string {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c.Dir
	}
	return dir
}

// Settings returns which kind of secret there is, and what else is configured. It implements [kms.ConfigDescriber].
func (c Config) Settings() map[string]string {
	settings := map[string]string{"allow_unlocked_memory": strconv.FormatBool(c.AllowUnlockedMemory)}
	switch {
	case c.RootKey != nil:
		settings["root"] = "key"
	case c.Passphrase != nil:
		settings["root"] = "passphrase"
	case c.RootKeyFile != "":
		settings["root"] = "key file"
		settings["root_key_file"] = c.RootKeyFile
	}
	return settings
}
