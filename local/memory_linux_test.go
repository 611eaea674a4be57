package local_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithoutLockedMemory(t *testing.T) {
	base, err := os.MkdirTemp("/tmp", "local")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(base) })
	dir := filepath.Join(base, "kms")
	cmd := child(t, "memory", dir)
	if os.Geteuid() == 0 {
		// Root may lock without limit, so the child is nobody, from a copy that nobody may run.
		binary, err := os.ReadFile(os.Args[0])
		require.NoError(t, err)
		cmd.Path = filepath.Join(base, "local.test")
		require.NoError(t, os.WriteFile(cmd.Path, binary, 0o755))
		require.NoError(t, os.Chown(base, 65534, 65534))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "Configuration ")
	require.Contains(t, string(out), "AllowUnlockedMemory")
	require.Contains(t, string(out), "memory cannot be locked")
	given, own, found := strings.Cut(string(out), "with a logger of its own")
	require.True(t, found)
	for _, log := range []string{given, own} {
		require.Equal(t, 1, strings.Count(log, "level=WARN msg=\"local: no memory can be locked"), "what is allowed is told: %s", out)
	}
}

func TestLockedMemoryIsNoReasonForAWarning(t *testing.T) {
	var log bytes.Buffer
	c := config(filepath.Join(t.TempDir(), "kms"))
	c.AllowUnlockedMemory, c.Logger = true, slog.New(slog.NewTextHandler(&log, nil))
	open(t, c)
	require.Empty(t, log.String())
}
