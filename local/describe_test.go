package local_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

func TestConfigsOfOneDirectoryHaveOneIdentity(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	for _, dir := range []string{"keys", "./keys", "x/../keys/", filepath.Join(here, "keys")} {
		require.Equal(t, filepath.Join(here, "keys"), local.Config{Dir: dir, RootKeyFile: "f"}.Identity())
	}
	require.NotEqual(t, local.Config{Dir: "keys"}.Identity(), local.Config{Dir: "keys2"}.Identity())
}

func TestSettingsSayNoSecret(t *testing.T) {
	text := kms.NewSecret([]byte("SENSITIVE"))
	for kind, c := range map[string]local.Config{
		"raw":        {RootKey: text},
		"passphrase": {Passphrase: text, AllowUnlockedMemory: true},
		"file":       {RootKeyFile: "SENSITIVE"},
	} {
		unlocked := map[bool]string{true: "true", false: "false"}[c.AllowUnlockedMemory]
		require.Equal(t, map[string]string{"root key": kind, "unlocked memory": unlocked}, c.Settings())
	}
}
