//go:build unix

package local_test

import (
	"bytes"
	"io/fs"
	"os"
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
			requireFailing(t, b, blobs, kms.ErrUnavailable, id)
			_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
			require.ErrorIs(t, err, errno)
			require.NotErrorIs(t, err, kms.ErrKeyMaterial, "it may be read the next time")
			create(t, b, "new")
			blobs["new"] = wrap(t, b, "new")
			requireFailing(t, b, blobs, kms.ErrUnavailable, id)
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
	requireFailing(t, b, blobs, kms.ErrUnavailable, "a", "b", "c")
}

// A badKeysFS reads everything but records.
type badKeysFS struct{ keydir.FS }

func (f badKeysFS) Sub(name string) (keydir.FS, error) {
	sub, err := f.FS.Sub(name)
	return badSectorFS{sub, "", syscall.EIO}, err
}

// What cannot be read may be a good record, with more versions than a bundle: nothing takes its place, whatever is asked, before somebody
// has removed it.
func TestNothingTakesThePlaceOfWhatCannotBeRead(t *testing.T) {
	c, blobs := threeKeys(t)
	good := open(t, c)
	bundle := export(t, good)
	_, err := good.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "b"})
	require.NoError(t, err)
	newest := wrap(t, good, "b")

	unreadable, err := openBad(t, c, "b.json", syscall.EIO)
	require.NoError(t, err)
	requireConflict(t, unreadable, bundle, "b")
	require.NoError(t, os.Chmod(recordPath(c.Dir, "b"), 0o644))
	requireConflict(t, open(t, c), bundle, "b")

	require.NoError(t, os.Chmod(recordPath(c.Dir, "b"), 0o600))
	b := open(t, c)
	requireDamaged(t, b, blobs)
	_, err = unwrap(t, b, "b", newest)
	require.NoError(t, err, "it was good")

	require.NoError(t, b.Close())
	require.NoError(t, os.Remove(recordPath(c.Dir, "b")))
	b = open(t, c)
	report, err := b.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: otherKey()})
	require.NoError(t, err)
	require.Equal(t, kms.ImportAdded, report.Keys[1].Outcome)
	requireDamaged(t, b, blobs)
}

func export(t *testing.T, b *local.Backend) []byte {
	var bundle bytes.Buffer
	_, err := b.Export(t.Context(), &bundle, kms.ExportOptions{Key: otherKey()})
	require.NoError(t, err)
	return bundle.Bytes()
}

// requireConflict imports a bundle of the keys a, b and c with all that may be asked, and checks that one is left as it is.
func requireConflict(t *testing.T, b *local.Backend, bundle []byte, id string) {
	t.Helper()
	options := kms.ImportOptions{Key: otherKey(), ReplaceDamaged: true}
	_, err := b.Import(t.Context(), bytes.NewReader(bundle), options)
	require.ErrorIs(t, err, kms.ErrKeyExists)
	options.SkipConflicts = true
	report, err := b.Import(t.Context(), bytes.NewReader(bundle), options)
	require.NoError(t, err)
	require.Len(t, report.Keys, 3)
	for _, key := range report.Keys {
		if key.Key.ID == id {
			require.Equal(t, kms.ImportConflict, key.Outcome)
			require.Contains(t, key.Detail, "cannot be read")
		} else {
			require.Equal(t, kms.ImportUnchanged, key.Outcome)
		}
	}
}
