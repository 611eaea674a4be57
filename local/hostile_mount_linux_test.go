package local_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// mount makes a file system of its own at a directory, which is unmounted when the test ends.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options+",mode=0700"); err != nil {
		t.Skipf("wanted to mount a small file system, which takes root: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, ""))
}

// changes are all calls that write, on a directory with the keys "a" and "b".
func changes(ctx context.Context, b *local.Backend) map[string]func() error {
	return map[string]func() error{
		"create":  func() error { _, err := b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "new"}); return err },
		"rotate":  func() error { _, err := b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: "a"}); return err },
		"disable": func() error { _, err := b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: "a"}); return err },
		"tag": func() error {
			_, err := b.TagKey(ctx, &kms.TagKeyRequest{KeyID: "a", Tags: map[string]string{"x": "y"}})
			return err
		},
		"schedule": func() error { _, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "a"}); return err },
		"delete": func() error {
			_, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "b", Immediate: true, ConfirmKeyID: "b"})
			return err
		},
	}
}

// What is mounted read-only is read, by those who had it open and by those who open it then, and nothing of it is changed.
func TestReadOnlyDisk(t *testing.T) {
	dir := newDir(t)
	mount(t, dir, "size=1m")
	c := config(dir)
	b := open(t, c)
	blobs := map[string][]byte{}
	for _, id := range []string{"a", "b"} {
		create(t, b, id)
		blobs[id] = wrap(t, b, id)
	}
	before := fingerprint(t, dir)
	remount(t, dir, unix.MS_RDONLY)
	for name, b := range map[string]*local.Backend{"opened before": b, "opened read-only": open(t, c)} {
		requireDamaged(t, b, blobs)
		require.NoError(t, b.HealthCheck(t.Context()), name)
		for change, do := range changes(t.Context(), b) {
			err := do()
			require.ErrorIs(t, err, kms.ErrUnavailable, "%s: %s", name, change)
			require.ErrorIs(t, err, unix.EROFS, "%s: %s", name, change)
		}
		requireDamaged(t, b, blobs)
	}
	_, err := local.New(t.Context(), config(filepath.Join(dir, "another")))
	require.ErrorIs(t, err, kms.ErrUnavailable)
	wrong := c
	wrong.RootKey = otherKey()
	mustFail(t, wrong, kms.ErrKeyMaterial)
	err = local.ChangeRootKey(t.Context(), c, wrong)
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.Equal(t, before, fingerprint(t, dir))

	remount(t, dir, 0)
	requireDamaged(t, b, blobs)
	require.NoError(t, changes(t.Context(), b)["rotate"]())
	requireDamaged(t, open(t, c), blobs)
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "full"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, unix.ENOSPC)
}

func TestFullDiskChangesNothing(t *testing.T) {
	disk := newDir(t)
	mount(t, disk, "size=256k")
	c := config(filepath.Join(disk, "kms"))
	b := open(t, c)
	blobs := map[string][]byte{}
	for _, id := range []string{"a", "b"} {
		create(t, b, id)
		blobs[id] = wrap(t, b, id)
	}
	fillUp(t, disk)
	for name, do := range changes(t.Context(), b) {
		if name == "delete" {
			continue // deleting needs no room
		}
		err := do()
		require.ErrorIs(t, err, kms.ErrUnavailable, name)
		require.ErrorIs(t, err, unix.ENOSPC, name)
		requireDamaged(t, b, blobs)
		requireDamaged(t, open(t, c), blobs)
	}
	other := c
	other.RootKey = otherKey()
	require.ErrorIs(t, local.ChangeRootKey(t.Context(), c, other), unix.ENOSPC)
	requireDamaged(t, open(t, c), blobs)

	// A first use that finds no room leaves nothing that hinders the second.
	first := config(filepath.Join(disk, "first"))
	_, err := local.New(t.Context(), first)
	require.ErrorIs(t, err, kms.ErrUnavailable)

	require.NoError(t, os.Remove(filepath.Join(disk, "full")))
	create(t, open(t, first), "k")
	require.NoError(t, local.ChangeRootKey(t.Context(), c, other))
	requireDamaged(t, open(t, other), blobs)
	entries, err := os.ReadDir(filepath.Join(c.Dir, "keys"))
	require.NoError(t, err)
	require.Len(t, entries, 2)
}
