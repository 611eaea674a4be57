package local_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

func TestTheIdentityOfAConfigurationIsItsDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	abs, err := filepath.Abs("keys")
	require.NoError(t, err)
	for _, dir := range []string{"keys", "./keys/", abs, filepath.Join("x", "..", "keys")} {
		require.Equal(t, abs, local.Config{Dir: dir}.Identity())
	}
	require.NotEqual(t, abs, local.Config{Dir: "other"}.Identity())
}

func TestSettingsSayNoSecret(t *testing.T) {
	secret := strings.Repeat("s", 32)
	tests := []struct {
		name string
		cfg  local.Config
		want string
	}{
		{"root key", local.Config{RootKey: kms.NewSecret([]byte(secret))}, "map[allow_unlocked_memory:false root:key]"},
		{"passphrase", local.Config{Passphrase: kms.NewSecret([]byte(secret))}, "map[allow_unlocked_memory:false root:passphrase]"},
		{"key file", local.Config{RootKeyFile: "f", AllowUnlockedMemory: true}, "map[allow_unlocked_memory:true root:key file root_key_file:f]"},
		{"nothing", local.Config{}, "map[allow_unlocked_memory:false]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, fmt.Sprint(tt.cfg.Settings()))
		})
	}
}
