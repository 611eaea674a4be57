//go:build !unix

package local_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

func TestOpenIsUnsupported(t *testing.T) {
	c := local.Config{Dir: t.TempDir(), RootKey: kms.NewSecret(bytes.Repeat([]byte{1}, 32))}
	require.NoError(t, c.Validate())
	_, err := c.Open(t.Context())
	require.ErrorIs(t, err, kms.ErrUnsupported)
}
