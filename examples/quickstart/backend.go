package main

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

// A keyStore is where the master key is kept. The rest of the program does not know which one it is.
type keyStore struct {
	title   string
	lines   []string // about it, for the reader
	backend kms.BackendConfig
	keyID   string
}

func chooseKeys(inVault bool, dir string) (keyStore, error) {
	if inVault {
		return vaultKeys()
	}
	return localKeys(dir), nil
}

// localKeys keeps keys in a new directory. The root key never lies in the directory that it protects.
func localKeys(dir string) keyStore {
	config := local.Config{
		Dir:         filepath.Join(dir, "keys"),
		RootKeyFile: filepath.Join(dir, "root.key"),
	}
	return keyStore{
		title:   "A directory for master keys, and beside it the root key that seals them",
		lines:   []string{config.Dir, config.RootKeyFile + " (for development: see local.Config for passphrases and raw keys)"},
		backend: config,
		keyID:   "photos",
	}
}

// vaultKeys uses the server that Vault's own variables name, with the Transit engine at "transit" and a KV engine of version 2 at "secret".
func vaultKeys() (keyStore, error) {
	address, token := os.Getenv("VAULT_ADDR"), os.Getenv("VAULT_TOKEN")
	if address == "" || token == "" {
		return keyStore{}, errors.New("-vault needs VAULT_ADDR and VAULT_TOKEN")
	}
	return keyStore{
		title: "A Vault or OpenBao server, which keeps master keys in its Transit engine",
		lines: []string{address + ", with the engines transit and secret"},
		backend: vault.Config{
			Address:   address,
			Auth:      vault.TokenAuth{Token: kms.NewSecret([]byte(token))},
			Namespace: os.Getenv("VAULT_NAMESPACE"),
			TLS:       vault.TLS{CAFile: os.Getenv("VAULT_CACERT")},
		},
		keyID: "photos-" + strings.ToLower(rand.Text()[:8]), // the key of an earlier run is still there
	}, nil
}
