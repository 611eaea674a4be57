//go:build !unix

package keydir_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

func TestOpenIsUnsupported(t *testing.T) {
	dir := t.TempDir()
	_, err := keydir.Open(dir, keydir.Options{})
	require.ErrorIs(t, err, kms.ErrUnsupported)
	_, err = keydir.ReadSecretFile(dir + "/x")
	require.ErrorIs(t, err, kms.ErrUnsupported)
	require.ErrorIs(t, keydir.CreateSecretFile(dir+"/x", nil), kms.ErrUnsupported)
	require.ErrorIs(t, keydir.SyncSecretFile(dir+"/x"), kms.ErrUnsupported)
}
