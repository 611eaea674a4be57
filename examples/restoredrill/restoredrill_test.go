//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, `backed up 2 keys
Added: invoices, Enabled, 3 versions
Added: photos, Enabled, 3 versions
sample 1 opens under invoices, version 1
sample 2 opens under invoices, version 2
sample 3 opens under photos, version 1
sample 4 opens under photos, version 2
the backup can be restored
`, out.String())
}

// The drill fails where the restore would.
func TestDrillFindsABackupThatIsOfNoUse(t *testing.T) {
	base, phrase := t.TempDir(), kms.NewSecret([]byte("phrase"))
	service := local.Config{Dir: filepath.Join(base, "keys"), RootKeyFile: filepath.Join(base, "root.key")}
	samples, err := serve(t.Context(), service)
	require.NoError(t, err)
	bundle := filepath.Join(base, "bundle")
	require.NoError(t, backUp(t.Context(), service, bundle, phrase, io.Discard))
	require.ErrorIs(t, backUp(t.Context(), service, bundle, phrase, io.Discard), os.ErrExist, "a bundle is not overwritten")

	keys, err := local.New(t.Context(), service)
	require.NoError(t, err)
	_, err = keys.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "photos"})
	require.NoError(t, err)
	later, err := wrapSample(t.Context(), keys, "photos")
	require.NoError(t, err)
	require.NoError(t, keys.Close())

	dir := filepath.Join(base, "drill")
	require.NoError(t, drill(t.Context(), dir, bundle, phrase, samples, io.Discard))
	require.ErrorIs(t, drill(t.Context(), dir, bundle, phrase, append(samples, later), io.Discard), kms.ErrDecrypt, "it is older than the object")
	require.ErrorIs(t, drill(t.Context(), dir, bundle, kms.NewSecret([]byte("phrasf")), samples, io.Discard), kms.ErrDecrypt)
	require.NoError(t, os.Truncate(bundle, 500))
	require.ErrorIs(t, drill(t.Context(), dir, bundle, phrase, samples, io.Discard), kms.ErrDecrypt)
	require.NoDirExists(t, dir)
	require.NoFileExists(t, dir+".root.key")
}
