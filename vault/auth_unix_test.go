//go:build unix

package vault

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

func TestAPipeIsNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err := readCredential("token", pipe)
	require.ErrorIs(t, err, kms.ErrPermission)
	require.ErrorContains(t, err, "is no regular file")
}
