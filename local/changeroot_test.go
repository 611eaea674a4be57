//go:build unix

package local_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// goldenConfig returns the configuration of a copy of the golden directory, in which the deletion date of one key has passed.
func goldenConfig(t testing.TB) local.Config {
	t.Helper()
	return local.Config{Dir: copyGolden(t, "v1"), RootKey: goldenRootKey(), AllowUnlockedMemory: true}
}

// otherKey returns another root key than rootKey and that of the golden directory.
func otherKey() *kms.Secret { return kms.NewSecret(bytes.Repeat([]byte{0x77}, 32)) }

// kinds returns configurations of one directory with every kind of secret.
func kinds(t testing.TB, dir string) map[string]local.Config {
	t.Helper()
	return map[string]local.Config{
		"raw":        {Dir: dir, RootKey: otherKey(), AllowUnlockedMemory: true},
		"passphrase": {Dir: dir, Passphrase: passphrase("correct horse"), AllowUnlockedMemory: true},
		"file":       {Dir: dir, RootKeyFile: filepath.Join(t.TempDir(), "root.key"), AllowUnlockedMemory: true},
	}
}

// checkGolden checks that a golden directory has all its keys. It opens it in a bubble, at the time at which it was made.
func checkGolden(t *testing.T, c local.Config) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := open(t, c)
		defer b.Close()
		checkBlobs(t, b, readBlobs(t, "v1"))
		list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
		require.NoError(t, err)
		require.Empty(t, list.Damaged)
		require.Len(t, list.Keys, 6)
		require.NoError(t, b.HealthCheck(t.Context()))
	})
}

func TestChangeOfTheRootKeyBetweenAllKinds(t *testing.T) {
	present := goldenConfig(t)
	all := kinds(t, present.Dir)
	for _, name := range []string{"raw", "file", "passphrase", "passphrase", "raw"} {
		next := all[name]
		before := listOf(t, present)
		require.NoError(t, local.ChangeRootKey(t.Context(), present, next))
		require.Equal(t, before, listOf(t, next))
		if name != "passphrase" || present.Passphrase == nil {
			mustRefuse(t, present)
		}
		present = next
	}
	checkGolden(t, present)
	text, err := os.ReadFile(rootPath(present.Dir))
	require.NoError(t, err)
	require.Contains(t, string(text), `"version":6,`)
}

func listOf(t testing.TB, c local.Config) []kms.Key {
	t.Helper()
	b := open(t, c)
	defer b.Close()
	list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Empty(t, list.Damaged)
	return list.Keys
}

// mustRefuse checks that a configuration no longer opens its directory.
func mustRefuse(t testing.TB, c local.Config) {
	t.Helper()
	_, err := c.Open(t.Context())
	require.Error(t, err)
	if c.RootKey != nil || c.RootKeyFile != "" {
		require.Regexp(t, "root key is not the one|set up with|no root key file", err)
	}
}

// It also holds for a directory that is empty, and once the former secret is lost.
func TestChangeOfTheRootKeyCanBeRepeated(t *testing.T) {
	present := config(newDir(t))
	require.NoError(t, open(t, present).Close())
	for name, next := range kinds(t, present.Dir) {
		require.NoError(t, local.ChangeRootKey(t.Context(), present, next), name)
		before := fingerprint(t, present.Dir)
		require.NoError(t, local.ChangeRootKey(t.Context(), present, next), name)
		require.NoError(t, local.ChangeRootKey(t.Context(), config(present.Dir), next), name)
		require.Equal(t, before, fingerprint(t, present.Dir), name)
		present = next
	}
}

func TestChangeOfTheRootKeyIsRefused(t *testing.T) {
	c := config(newDir(t))
	usedDir(t, c)
	next := kinds(t, c.Dir)
	wrong := local.Config{Dir: c.Dir, RootKey: goldenRootKey(), AllowUnlockedMemory: true}
	elsewhere := next["raw"]
	elsewhere.Dir = newDir(t)
	inside := local.Config{Dir: c.Dir, RootKeyFile: filepath.Join(c.Dir, "root.key")}
	tests := []struct {
		name          string
		present, next local.Config
		want          error
	}{
		{"wrong present key", wrong, next["raw"], kms.ErrKeyMaterial},
		{"wrong present key, next file", wrong, next["file"], kms.ErrKeyMaterial},
		{"wrong kind of present secret", next["passphrase"], next["raw"], kms.ErrInvalidConfig},
		{"no present secret", local.Config{Dir: c.Dir}, next["raw"], kms.ErrInvalidConfig},
		{"no next secret", c, local.Config{Dir: c.Dir}, kms.ErrInvalidConfig},
		{"another directory", c, elsewhere, kms.ErrInvalidConfig},
		{"file inside", c, inside, kms.ErrInvalidConfig},
		{"no directory", elsewhere, elsewhere, kms.ErrInvalidConfig},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := fingerprint(t, c.Dir)
			require.ErrorIs(t, local.ChangeRootKey(t.Context(), tt.present, tt.next), tt.want)
			require.Equal(t, before, fingerprint(t, c.Dir))
			require.NoDirExists(t, elsewhere.Dir)
			require.NoFileExists(t, next["file"].RootKeyFile)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, local.ChangeRootKey(ctx, c, next["raw"]), context.Canceled)
	open(t, c)
}

func TestChangeOfTheRootKeyWithADamagedRecordIsRefused(t *testing.T) {
	c := config(newDir(t))
	b := open(t, c)
	for _, id := range []string{"a", "b", "c"} {
		create(t, b, id)
	}
	require.NoError(t, b.Close())
	damage(t, c.Dir, "b")
	next := kinds(t, c.Dir)["raw"]
	require.ErrorIs(t, local.ChangeRootKey(t.Context(), c, next), kms.ErrKeyMaterial)
	b = open(t, c)
	_, err := unwrap(t, b, "c", wrap(t, b, "c"))
	require.NoError(t, err)
	mustRefuse(t, next)
}

// Whoever has the directory open when its root key is changed can change nothing any more, and is told so.
func TestOthersSeeThatTheRootKeyWasChanged(t *testing.T) {
	c := config(newDir(t))
	blob := usedDir(t, c)
	b, next := open(t, c), kinds(t, c.Dir)["raw"]
	_, err := unwrap(t, b, "a", blob)
	require.NoError(t, err)
	require.NoError(t, local.ChangeRootKey(t.Context(), c, next))
	before := fingerprint(t, c.Dir)
	_, err = unwrap(t, b, "a", blob)
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	_, err = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "a"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "a"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "new"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "it would be sealed under a root key that nobody has")
	_, err = b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "a", Immediate: true, ConfirmKeyID: "a"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	require.ErrorIs(t, b.HealthCheck(t.Context()), kms.ErrKeyMaterial)
	_, err = b.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "no key of it is damaged")
	_, err = b.Export(t.Context(), io.Discard, kms.ExportOptions{Key: otherKey(), SkipDamaged: true})
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "it would be a backup without any key")
	require.Equal(t, before, fingerprint(t, c.Dir))
	_, err = unwrap(t, open(t, next), "a", blob)
	require.NoError(t, err)
}

// Of two changes at the same time one is done.
func TestChangesOfTheRootKeyDoNotMix(t *testing.T) {
	c := config(newDir(t))
	blob := usedDir(t, c)
	nexts := []local.Config{kinds(t, c.Dir)["raw"], kinds(t, c.Dir)["file"]}
	errs := make(chan error, len(nexts))
	for _, next := range nexts {
		go func() { errs <- local.ChangeRootKey(context.Background(), c, next) }()
	}
	for range nexts {
		if err := <-errs; err != nil {
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
		}
	}
	opened := 0
	for _, next := range nexts {
		if b, err := local.New(t.Context(), next); err == nil {
			opened++
			_, err = unwrap(t, b, "a", blob)
			require.NoError(t, err)
			require.NoError(t, b.Close())
		}
	}
	require.Equal(t, 1, opened)
}

func TestChangeOfTheRootKeyKilledAtAnyCallIsDoneOrNot(t *testing.T) {
	olds, news := 0, 0
	for n, killed := 0, true; killed; n++ {
		present := goldenConfig(t)
		next := kinds(t, present.Dir)["file"]
		d, reaper := openMortal(t, present.Dir, n)
		err := local.ChangeRootIn(t.Context(), d, present, next)
		if killed = reaper.dead; !killed {
			require.NoError(t, err)
		}
		good, bad := present, next
		if b, openErr := next.Open(t.Context()); openErr == nil {
			require.NoError(t, b.Close())
			good, bad = next, present
			news++
		} else {
			require.Error(t, err)
			olds++
		}
		mustRefuse(t, bad)
		checkGolden(t, good)
		if n%5 == 0 {
			require.NoError(t, local.ChangeRootKey(t.Context(), present, next))
			checkGolden(t, next)
		}
	}
	require.Greater(t, olds, 30)
	require.Greater(t, news, 5)
}

// flipRootKey is a child that changes the root key to and fro, until it is killed.
func flipRootKey(dir string) error {
	a, b := config(dir), local.Config{Dir: dir, RootKey: otherKey(), AllowUnlockedMemory: true}
	for {
		for _, err := range []error{local.ChangeRootKey(context.Background(), a, b), local.ChangeRootKey(context.Background(), b, a)} {
			if err != nil {
				return err
			}
			fmt.Println()
		}
	}
}

func TestKilledProcessLeavesOneRootKey(t *testing.T) {
	c := config(newDir(t))
	b := open(t, c)
	blobs := make(map[string][]byte)
	for i := range 20 {
		id := fmt.Sprint("key-", i)
		create(t, b, id)
		blobs[id] = wrap(t, b, id)
	}
	require.NoError(t, b.Close())
	other := local.Config{Dir: c.Dir, RootKey: otherKey(), AllowUnlockedMemory: true}
	for range 8 {
		cmd := child(t, "flip", c.Dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for range rand.IntN(4) {
			require.True(t, lines.Scan())
		}
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		b, err := local.New(t.Context(), c)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			b = open(t, other)
		}
		for id, blob := range blobs {
			_, err := unwrap(t, b, id, blob)
			require.NoError(t, err, id)
		}
		require.NoError(t, b.Close())
		require.NoError(t, local.ChangeRootKey(t.Context(), other, c))
	}
}

// After a power cut the lock file may be an old one, and says nothing of what was cut off: then opening does.
func TestChangeOfTheRootKeyThatAPowerCutHasCutOffIsFinishedByOpening(t *testing.T) {
	for n, found := 0, false; !found; n++ {
		present := goldenConfig(t)
		next := kinds(t, present.Dir)["raw"]
		require.NoError(t, open(t, present).Close())
		old, err := os.ReadFile(filepath.Join(present.Dir, "lock"))
		require.NoError(t, err)
		d, _ := openMortal(t, present.Dir, n)
		require.Error(t, local.ChangeRootIn(t.Context(), d, present, next))
		if _, err := os.Stat(filepath.Join(present.Dir, "batch")); err != nil {
			continue
		}
		found = true
		require.NoError(t, os.WriteFile(filepath.Join(present.Dir, "lock"), old, 0o600))
		mustRefuse(t, present)
		checkGolden(t, next)
		require.NoFileExists(t, filepath.Join(present.Dir, "batch"))
	}
}
