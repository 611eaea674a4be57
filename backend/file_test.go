package backend_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/backend"
)

func TestConfigFromFile(t *testing.T) {
	cfg, err := backend.ConfigFromFile(fileWith(t, `{"backend_type":"local","key_dir":"/keys","passphrase":"hush-hush"}`+"\n"))
	require.NoError(t, err)
	require.Equal(t, hush, string(localOf(t, cfg.Backend).Passphrase.Bytes()))

	cfg, err = withStatic().ConfigFromFile(fileWith(t, `{"backend_type":"static","Name":"n"}`))
	require.NoError(t, err)
	require.Equal(t, staticConfig{"n", ""}, cfg.Backend)
}

func TestFilesThatAreRefused(t *testing.T) {
	_, err := backend.ConfigFromFile(fileWith(t, ""))
	requireInvalid(t, err, "not JSON")
	_, err = backend.ConfigFromFile(fileWith(t, `{"backend_type":"local","passphrase":"hush-hush"}`))
	requireInvalid(t, err, "key_dir: missing")
	_, err = backend.ConfigFromFile(fileWith(t, strings.Repeat(" ", 1<<20+1)))
	requireInvalid(t, err, "more than 1048576 bytes")
	_, err = backend.ConfigFromFile(t.TempDir())
	requireInvalid(t, err, "is a directory")
	_, err = backend.ConfigFromFile("/does/not/exist")
	requireInvalid(t, err, "/does/not/exist")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
