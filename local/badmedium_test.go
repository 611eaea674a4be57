//go:build unix

package local_test

import (
	"bytes"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/local"
)

// A badSectorFS cannot read the files whose names begin with bad, wherever they are.
type badSectorFS struct {
	keydir.FS
	bad string
	err error
}

func (f badSectorFS) Open(name string, flag int, perm fs.FileMode) (keydir.File, error) {
	file, err := f.FS.Open(name, flag, perm)
	if err == nil && strings.HasPrefix(name, f.bad) {
		return badFile{file, f.err}, nil
	}
	return file, err
}

func (f badSectorFS) Sub(name string) (keydir.FS, error) {
	sub, err := f.FS.Sub(name)
	return badSectorFS{sub, f.bad, f.err}, err
}

type badFile struct {
	keydir.File
	err error
}

func (f badFile) Read([]byte) (int, error) { return 0, f.err }

// openBad opens a directory on a disk of which some files cannot be read.
func openBad(t *testing.T, c local.Config, bad string, errno error) (*local.Backend, error) {
	fsys, err := keydir.OpenFS(c.Dir)
	require.NoError(t, err)
	dir, err := keydir.New(badSectorFS{fsys, bad, errno}, keydir.Options{})
	require.NoError(t, err)
	b, err := local.OpenIn(t.Context(), dir, c)
	if err != nil {
		require.NoError(t, dir.Close())
		return nil, err
	}
	t.Cleanup(func() { b.Close() })
	return b, nil
}

// One bad sector costs one key, also where it is the first one.
func TestABadSectorIsADamagedRecord(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.EBADMSG} {
		for _, id := range []string{"a", "b", "c"} {
			c, blobs := threeKeys(t)
			b, err := openBad(t, c, id+".json", errno)
			require.NoError(t, err)
			requireDamaged(t, b, blobs, id)
			_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
			require.ErrorIs(t, err, kms.ErrUnavailable, "it may be read the next time")
			require.ErrorIs(t, err, errno)
			create(t, b, "new")
			blobs["new"] = wrap(t, b, "new")
			requireDamaged(t, b, blobs, id)
		}
	}
}

// A disk of which no record can be read says nothing about the root key, which root.json shows to be the right one.
func TestADiskOfBadSectorsOpens(t *testing.T) {
	c, blobs := threeKeys(t)
	b, err := openBad(t, c, "", syscall.EIO)
	require.ErrorIs(t, err, kms.ErrUnavailable, "not even root.json can be read")
	require.Nil(t, b)
	fsys, err := keydir.OpenFS(c.Dir)
	require.NoError(t, err)
	dir, err := keydir.New(badKeysFS{fsys}, keydir.Options{})
	require.NoError(t, err)
	b, err = local.OpenIn(t.Context(), dir, c)
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	requireDamaged(t, b, blobs, "a", "b", "c")
}

// A badKeysFS reads everything but records.
type badKeysFS struct{ keydir.FS }

func (f badKeysFS) Sub(name string) (keydir.FS, error) {
	sub, err := f.FS.Sub(name)
	return badSectorFS{sub, "", syscall.EIO}, err
}

// What cannot be read can be mended from a bundle, and only where that is asked.
func TestABadSectorIsMendedFromABundle(t *testing.T) {
	c, blobs := threeKeys(t)
	var bundle bytes.Buffer
	good := open(t, c)
	_, err := good.Export(t.Context(), &bundle, kms.ExportOptions{Key: otherKey()})
	require.NoError(t, err)
	b, err := openBad(t, c, "b.json", syscall.EIO)
	require.NoError(t, err)
	options := kms.ImportOptions{Key: otherKey()}
	_, err = b.Import(t.Context(), bytes.NewReader(bundle.Bytes()), options)
	require.ErrorIs(t, err, kms.ErrKeyExists)
	options.ReplaceDamaged = true
	_, err = b.Import(t.Context(), bytes.NewReader(bundle.Bytes()), options)
	require.NoError(t, err)
	requireDamaged(t, open(t, c), blobs)
}
