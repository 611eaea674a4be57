// Package memory_test looks at what becomes of keys in memory: copies of them that are left behind, core dumps, limits on locked
// memory, and secrets that are not needed any more.
package memory_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/memory/lookout"
	// What the programs link that these tests build: a test whose result is remembered runs again where it has changed.
	_ "github.com/objectkms/kms/local"
	_ "github.com/objectkms/kms/mock"
)

// requireArena checks that the keys in use are where they belong, and nothing else, and that nothing is left after Close.
func requireArena(t *testing.T, stage string, locked []lookout.Finding) {
	t.Helper()
	if stage == "closed" {
		require.Empty(t, locked)
		return
	}
	require.NotEmpty(t, locked, "neither the root key nor a master key was found where they belong: what was looked for is wrong")
	for _, f := range locked {
		require.NotContains(t, f.Needle.Of, "secret", "what the root key comes from")
		require.NotContains(t, f.Needle.Of, "first root", "a root key that was changed")
		require.NotContains(t, f.Needle.Of, "PRK")
		require.NotContains(t, f.Needle.Of, "bundle")
		require.NotContains(t, f.Needle.Of, "pad")
		require.NotContains(t, f.Needle.Of, "base64")
	}
}

// The default runtime leaves copies behind when it moves stacks and saves registers, and they stay until their place is used for something else. What
// is kept here is their number, for docs/SECURITY.md.
func TestCopiesThatTheDefaultRuntimeLeaves(t *testing.T) {
	binary := lookout.Build(t, "")
	for _, kind := range []string{"raw", "passphrase", "file"} {
		t.Run(kind, func(t *testing.T) {
			lookout.Start(t, binary, kind).Look(t, func(stage string, locked, leaked []lookout.Finding) {
				requireArena(t, stage, locked)
				t.Logf("%s: %s in locked memory, %s elsewhere", stage, lookout.Count(locked), lookout.Count(leaked))
			})
		})
	}
}

// With runtime/secret nothing is left, once the garbage collector has run.
func TestNoCopyIsLeftWithTheSecretRuntime(t *testing.T) {
	lookout.SkipWithoutSecretRuntime(t)
	binary := lookout.Build(t, lookout.SecretRuntime)
	for _, kind := range []string{"raw", "passphrase", "file"} {
		t.Run(kind, func(t *testing.T) {
			lookout.Start(t, binary, kind).Look(t, func(stage string, locked, leaked []lookout.Finding) {
				requireArena(t, stage, locked)
				t.Logf("%s: %s in locked memory, %s elsewhere", stage, lookout.Count(locked), lookout.Count(leaked))
				if stage != "used" {
					require.Empty(t, lookout.Text(leaked), stage)
				}
			})
		})
	}
}

func TestACopyThatAProgramKeepsIsFound(t *testing.T) {
	for _, experiment := range []string{"", lookout.SecretRuntime} {
		t.Run("GOEXPERIMENT="+experiment, func(t *testing.T) {
			if experiment != "" {
				lookout.SkipWithoutSecretRuntime(t)
			}
			v := lookout.Start(t, lookout.Build(t, experiment), "raw", "-keep", "-wraps", "10")
			v.Look(t, func(stage string, _, leaked []lookout.Finding) {
				require.Contains(t, lookout.Text(leaked), "master key 0 version 1, first half", stage)
				require.Contains(t, lookout.Text(leaked), "master key 0 version 1, second half", stage)
			})
		})
	}
}
