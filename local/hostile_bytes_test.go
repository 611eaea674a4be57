//go:build unix

package local_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// size returns how many times something is done: few with -short, and many where a long run is asked for.
func size(short, usual, long int) int {
	switch {
	case testing.Short():
		return short
	case os.Getenv("KMS_LONG") == "1":
		return long
	}
	return usual
}

// damages are the ways in which a disk, or somebody, changes a file.
func damages() map[string]func(r *rand.Rand, b []byte) []byte {
	return map[string]func(r *rand.Rand, b []byte) []byte{
		"a bit is flipped": func(r *rand.Rand, b []byte) []byte {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			return b
		},
		"bytes are replaced": func(r *rand.Rand, b []byte) []byte {
			fill(r, some(r, b))
			return b
		},
		"bytes are zero": func(r *rand.Rand, b []byte) []byte {
			clear(some(r, b))
			return b
		},
		"the end is missing": func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b))] },
		"the end is zero": func(r *rand.Rand, b []byte) []byte {
			clear(b[r.IntN(len(b)):])
			return b
		},
		"the beginning is missing": func(r *rand.Rand, b []byte) []byte { return b[1+r.IntN(len(b)):] },
		"bytes are missing": func(r *rand.Rand, b []byte) []byte {
			at := r.IntN(len(b))
			return slices.Delete(b, at, at+1+r.IntN(min(64, len(b)-at)))
		},
		"bytes are inserted": func(r *rand.Rand, b []byte) []byte {
			more := make([]byte, 1+r.IntN(64))
			fill(r, more)
			return slices.Insert(b, r.IntN(len(b)+1), more...)
		},
		"bytes come twice": func(r *rand.Rand, b []byte) []byte {
			part := slices.Clone(some(r, b))
			return slices.Insert(b, r.IntN(len(b)+1), part...)
		},
		"two parts are swapped": func(r *rand.Rand, b []byte) []byte {
			n := 1 + r.IntN(min(64, len(b)/2))
			first := r.IntN(len(b) - 2*n + 1)
			second := first + n + r.IntN(len(b)-2*n-first+1)
			for i := range n {
				b[first+i], b[second+i] = b[second+i], b[first+i]
			}
			return b
		},
	}
}

// some returns a random part of b, of at least one byte.
func some(r *rand.Rand, b []byte) []byte {
	at := r.IntN(len(b))
	return b[at : at+1+r.IntN(min(64, len(b)-at))]
}

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// spoil returns a copy that was damaged: it is not the same.
func spoil(r *rand.Rand, damage func(r *rand.Rand, b []byte) []byte, good []byte) []byte {
	for {
		if bad := damage(r, slices.Clone(good)); !bytes.Equal(bad, good) {
			return bad
		}
	}
}

// Whatever becomes of one key file, that key is damaged, and the others are what they were.
func TestRandomDamageCostsOneKey(t *testing.T) {
	const each = 10 // kinds of damage
	require.Len(t, damages(), each)
	c, blobs := threeKeys(t)
	good, err := os.ReadFile(recordPath(c.Dir, "b"))
	require.NoError(t, err)
	seed := rand.Uint64()
	for name, damage := range damages() {
		for i := range size(300, 1000, 20_000) / each {
			bad := spoil(rand.New(rand.NewPCG(seed, uint64(i))), damage, good)
			require.NoError(t, os.WriteFile(recordPath(c.Dir, "b"), bad, 0o600))
			b, err := local.New(t.Context(), c)
			require.NoError(t, err, "%s: seed %d, number %d", name, seed, i)
			requireOnlyDamaged(t, b, blobs, name, seed, i)
			require.NoError(t, b.Close())
		}
	}
	require.NoError(t, os.WriteFile(recordPath(c.Dir, "b"), good, 0o600))
	requireDamaged(t, open(t, c), blobs)
}

// requireOnlyDamaged checks that the key "b" is damaged, without a change of anything.
func requireOnlyDamaged(t *testing.T, b *local.Backend, blobs map[string][]byte, what ...any) {
	t.Helper()
	list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err, what)
	require.Equal(t, []string{"b"}, list.Damaged, what)
	require.Len(t, list.Keys, len(blobs)-1, what)
	for id, blob := range blobs {
		_, err := unwrap(t, b, id, blob)
		if id == "b" {
			require.ErrorIs(t, err, kms.ErrKeyMaterial, what)
		} else {
			require.NoError(t, err, what)
		}
	}
	_, err = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "b"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial, what)
}

// Whatever becomes of root.json, the directory does not open, and nothing is made in its place.
func TestRandomDamageOfTheRootIsRefused(t *testing.T) {
	c, blobs := threeKeys(t)
	good, err := os.ReadFile(rootPath(c.Dir))
	require.NoError(t, err)
	seed := rand.Uint64()
	for name, damage := range damages() {
		for i := range size(10, 50, 500) {
			bad := spoil(rand.New(rand.NewPCG(seed, uint64(i))), damage, good)
			require.NoError(t, os.WriteFile(rootPath(c.Dir), bad, 0o600))
			b, err := local.New(t.Context(), c)
			require.ErrorIs(t, err, kms.ErrKeyMaterial, "%s: seed %d, number %d", name, seed, i)
			require.Nil(t, b)
			still, err := os.ReadFile(rootPath(c.Dir))
			require.NoError(t, err)
			require.Equal(t, bad, still)
		}
	}
	require.NoError(t, os.WriteFile(rootPath(c.Dir), good, 0o600))
	requireDamaged(t, open(t, c), blobs)
}

// Whatever becomes of the lock file, nothing that is stored depends on it.
func TestRandomDamageOfTheLockFileCostsNothing(t *testing.T) {
	c, blobs := threeKeys(t)
	path := c.Dir + "/lock"
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	seed := rand.Uint64()
	for name, damage := range damages() {
		for i := range size(3, 10, 100) {
			bad := damage(rand.New(rand.NewPCG(seed, uint64(i))), slices.Clone(good))
			require.NoError(t, os.WriteFile(path, bad, 0o600))
			b, err := local.New(t.Context(), c)
			require.NoError(t, err, "%s: seed %d, number %d", name, seed, i)
			for id, blob := range blobs {
				_, err := unwrap(t, b, id, blob)
				require.NoError(t, err)
			}
			_, err = b.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "a", Tags: map[string]string{"n": name}})
			require.NoError(t, err, "%s: seed %d, number %d", name, seed, i)
			require.NoError(t, b.Close())
		}
	}
}
