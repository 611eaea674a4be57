//go:build unix

package local_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend/backendtest"
	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/local"
)

func TestConformance(t *testing.T) {
	dirs := map[kms.Backend]string{}
	start := func(t *testing.T, dir string) kms.Backend {
		b := open(t, config(dir))
		dirs[b] = dir
		return b
	}
	backendtest.Run(t, backendtest.Harness{
		Open: func(t *testing.T) kms.Backend { return start(t, newDir(t)) },
		Reopen: func(t *testing.T, b kms.Backend) kms.Backend {
			require.NoError(t, b.Close())
			return start(t, dirs[b])
		},
		Damage: func(t *testing.T, b kms.Backend, keyID string) {
			damage(t, dirs[b], keyID)
		},
	})
}

// damage changes a record so that running processes notice.
func damage(t testing.TB, dir, id string) {
	t.Helper()
	d, err := keydir.Open(dir, keydir.Options{MustExist: true})
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, d.Mutate(t.Context(), id, func(record []byte, _ uint64) ([]byte, error) {
		record[len(record)/2] ^= 1
		return record, nil
	}))
}

func TestConfigValidation(t *testing.T) {
	short := kms.NewSecret(make([]byte, 31))
	zero := kms.NewSecret(make([]byte, 32))
	destroyed := rootKey()
	destroyed.Destroy()
	passphrase := kms.NewSecret([]byte("correct horse"))
	tests := []struct {
		name   string
		config local.Config
		want   string
	}{
		{"no directory", local.Config{RootKey: rootKey()}, "no directory"},
		{"no root key", local.Config{Dir: "d"}, "0 of root key"},
		{"two kinds", local.Config{Dir: "d", RootKey: rootKey(), Passphrase: passphrase}, "2 of root key"},
		{"two other kinds", local.Config{Dir: "d", RootKeyFile: "f", Passphrase: passphrase}, "2 of root key"},
		{"three kinds", local.Config{Dir: "d", RootKey: rootKey(), Passphrase: passphrase, RootKeyFile: "f"}, "3 of root key"},
		{"short root key", local.Config{Dir: "d", RootKey: short}, "has 31 bytes, want 32"},
		{"destroyed root key", local.Config{Dir: "d", RootKey: destroyed}, "has 0 bytes, want 32"},
		{"all-zero root key", local.Config{Dir: "d", RootKey: zero}, "all zero"},
		{"empty passphrase", local.Config{Dir: "d", Passphrase: kms.NewSecret(nil)}, "passphrase is empty"},
		{"root key file inside", local.Config{Dir: "d", RootKeyFile: "d/root.key"}, "lies in the directory"},
		{"root key file deep inside", local.Config{Dir: "d", RootKeyFile: "d/x/../y/root.key"}, "lies in the directory"},
		{"root key file is the directory", local.Config{Dir: "d", RootKeyFile: "./d"}, "lies in the directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.config.Validate()
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			require.ErrorContains(t, err, tt.want)
			_, openErr := tt.config.Open(t.Context())
			require.Equal(t, err, openErr)
			require.NoDirExists(t, "d")
		})
	}
	for _, good := range []local.Config{
		{Dir: "d", RootKey: rootKey()},
		{Dir: "d", Passphrase: passphrase},
		{Dir: "d", RootKeyFile: "d.key"},
		{Dir: "d", RootKeyFile: "..key"},
		{Dir: "d/keys", RootKeyFile: "d/root.key"},
		{Dir: "d/keys", RootKeyFile: "d"},
	} {
		require.NoError(t, good.Validate())
	}
	require.Equal(t, "local", local.Config{}.BackendType())
}

func TestConfigNeverShowsSecrets(t *testing.T) {
	c := local.Config{Dir: "d", RootKey: kms.NewSecret([]byte("SENSITIVE")), Passphrase: kms.NewSecret([]byte("SENSITIVE"))}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "c", c, "p", &c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("config", "c", c, "p", &c)
	text, err := json.Marshal(c)
	require.NoError(t, err)
	all := log.String() + string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &c) + fmt.Sprintf(verb, []local.Config{c})
	}
	for _, form := range []string{"SENSITIVE", "53454e", "U0VOU0lUSVZF", "83 69 78", "0x53"} {
		require.NotContains(t, all, form)
	}
}

func TestSecretsStayTheCallers(t *testing.T) {
	c := config(newDir(t))
	for range 3 {
		require.NoError(t, open(t, c).Close())
		require.Equal(t, rootKey().Bytes(), c.RootKey.Bytes())
	}
	b := open(t, c)
	c.RootKey.Destroy()
	create(t, b, "a")
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := newDir(t)
	first := open(t, config(dir))
	create(t, first, "a")
	blob := wrap(t, first, "a")
	before, err := first.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "a"})
	require.NoError(t, err)
	require.NoError(t, first.Close())
	_, err = first.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "a"})
	require.ErrorIs(t, err, kms.ErrClosed)

	second := open(t, config(dir))
	after, err := second.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "a"})
	require.NoError(t, err)
	require.Equal(t, before, after)
	_, err = unwrap(t, second, "a", blob)
	require.NoError(t, err)
	require.Equal(t, "local", second.BackendType())
}

func TestOpeningAgainWritesNothing(t *testing.T) {
	dir := newDir(t)
	b := open(t, config(dir))
	create(t, b, "a")
	blob := wrap(t, b, "a")
	require.NoError(t, b.Close())
	before := fingerprint(t, dir)
	b = open(t, config(dir))
	_, err := unwrap(t, b, "a", blob)
	require.NoError(t, err)
	require.NoError(t, b.HealthCheck(t.Context()))
	require.NoError(t, b.Close())
	require.Equal(t, before, fingerprint(t, dir))
}

func TestOneProcessSeesTheOtherAtOnce(t *testing.T) {
	dir := newDir(t)
	a, b := open(t, config(dir)), open(t, config(dir))
	create(t, a, "k")
	for want := uint32(1); want < 6; want++ {
		version, err := unwrap(t, a, "k", wrap(t, b, "k"))
		require.NoError(t, err)
		require.Equal(t, want, version)
		_, err = a.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
	}
	_, err := a.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	_, err = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyDisabled)
	_, err = a.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
	require.NoError(t, err)
	_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
}

func TestFirstOpensAgreeOnOneRoot(t *testing.T) {
	for range 10 {
		dir := newDir(t)
		c := local.Config{Dir: dir, RootKeyFile: filepath.Join(filepath.Dir(dir), "root.key"), AllowUnlockedMemory: true}
		blobs := make([][]byte, 8)
		var wg sync.WaitGroup
		for i := range blobs {
			wg.Go(func() { blobs[i] = firstUse(t, c, fmt.Sprint("k", i)) })
		}
		wg.Wait()
		b := open(t, c)
		for i, blob := range blobs {
			_, err := unwrap(t, b, fmt.Sprint("k", i), blob)
			require.NoError(t, err)
		}
		require.NoError(t, b.Close())
	}
}

// firstUse opens a backend, creates a key at once, and returns what it has wrapped.
func firstUse(t *testing.T, c local.Config, id string) []byte {
	b, err := local.New(t.Context(), c)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer b.Close()
	if _, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id}); err != nil {
		t.Error(err)
		return nil
	}
	return wrap(t, b, id)
}

func TestHostileDirectoryIsRefused(t *testing.T) {
	dir := newDir(t)
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Chmod(dir, 0o755))
	mustFail(t, config(dir), kms.ErrPermission)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	_, err := config(link).Open(t.Context())
	require.ErrorIs(t, err, kms.ErrInvalidConfig)
}
