// Package cores_test looks for keys in core dumps. It does not link the library, which would end those of the test's own children.
package cores_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/memory/lookout"
)

// allowCores lets child processes write core dumps, and shows with one that has nothing to do with the library that they do.
func allowCores(t *testing.T) {
	t.Helper()
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil || strings.HasPrefix(string(pattern), "|") || strings.Contains(string(pattern), "/") {
		t.Skipf("core dumps go to %q, want a file in the directory of the process", strings.TrimSpace(string(pattern)))
	}
	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_CORE, &old))
	unlimited := ^uint64(0)
	allowed := syscall.Rlimit{Cur: old.Max, Max: old.Max}
	if os.Geteuid() == 0 {
		allowed = syscall.Rlimit{Cur: unlimited, Max: unlimited}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &allowed); err != nil || allowed.Cur == 0 {
		t.Skip("this process may not write core dumps: ", err)
	}
	t.Cleanup(func() { syscall.Setrlimit(syscall.RLIMIT_CORE, &old) })

	other := exec.CommandContext(t.Context(), "sh", "-c", "kill -ABRT $$")
	other.Dir = t.TempDir()
	require.Error(t, other.Run())
	if !dumped(t, other) || len(cores(t, other.Dir)) != 1 {
		t.Skip("a process that aborts leaves no core dump here")
	}
}

// dumped reports whether a process that has ended was aborted and left a core dump.
func dumped(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, status.Signaled(), cmd.ProcessState)
	require.Equal(t, syscall.SIGABRT, status.Signal())
	return status.CoreDump()
}

func cores(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "core*"))
	require.NoError(t, err)
	return paths
}

func TestAProgramThatPanicsLeavesNoCoreDump(t *testing.T) {
	allowCores(t)
	t.Setenv("GOTRACEBACK", "crash")
	v := lookout.Start(t, lookout.Build(t, ""), "raw", "-abort", "-wraps", "10")
	v.Ready(t)
	require.Error(t, v.Cmd.Wait())
	require.Contains(t, v.Errors.String(), "panic: as asked for")
	require.False(t, dumped(t, v.Cmd))
	require.Empty(t, cores(t, v.Dir))
}

// collected starts a victim, and returns when it has used its keys and its garbage was collected. It returns what to look for, and those of it that
// are in the arena and nowhere else.
func collected(t *testing.T, binary string, flags ...string) (v *lookout.Victim, all, only []lookout.Needle) {
	t.Helper()
	v = lookout.Start(t, binary, "raw", append(flags, "-wraps", "1000")...)
	v.Ready(t)
	all = v.Needles(t)
	v.GoOn(t)
	v.Ready(t)
	locked, leaked := lookout.Split(lookout.Scan(t, v.Cmd.Process.Pid, all))
	for _, f := range locked {
		if !slices.ContainsFunc(leaked, func(other lookout.Finding) bool { return other.Needle.Of == f.Needle.Of }) {
			only = append(only, f.Needle)
		}
	}
	require.NotEmpty(t, only)
	return v, all, only
}

// dumpers are ways to a core dump of a running process whose limit is 0.
var dumpers = map[string]func(t *testing.T, v *lookout.Victim) (core string){
	// A debugger knows no limit.
	"gcore": func(t *testing.T, v *lookout.Victim) string {
		tool, err := exec.LookPath("gcore")
		if err != nil {
			t.Skip("gcore is not here, which comes with gdb")
		}
		path := filepath.Join(t.TempDir(), "core")
		out, err := exec.CommandContext(t.Context(), tool, "-o", path, fmt.Sprint(v.Cmd.Process.Pid)).CombinedOutput()
		if err != nil && strings.Contains(string(out), "not permitted") {
			t.Skip("a debugger may not look at a child process here")
		}
		require.NoError(t, err, string(out))
		return fmt.Sprint(path, ".", v.Cmd.Process.Pid)
	},
	// Somebody who may raises the limit again.
	"raised limit": func(t *testing.T, v *lookout.Victim) string {
		allowCores(t)
		tool, err := exec.LookPath("prlimit")
		if err != nil {
			t.Skip("prlimit is not here, which comes with util-linux")
		}
		out, err := exec.CommandContext(t.Context(), tool, "--core=unlimited", "--pid", fmt.Sprint(v.Cmd.Process.Pid)).CombinedOutput()
		if err != nil && strings.Contains(string(out), "not permitted") {
			t.Skip("the limit of core dumps was lowered for good, and this process may not raise it again: want CAP_SYS_RESOURCE")
		}
		require.NoError(t, err, string(out))
		require.NoError(t, v.Cmd.Process.Signal(syscall.SIGABRT))
		var exit *exec.ExitError
		require.True(t, errors.As(v.Cmd.Wait(), &exit))
		require.True(t, dumped(t, v.Cmd), "the limit was raised")
		found := cores(t, v.Dir)
		require.Len(t, found, 1)
		return found[0]
	},
}

// The arena is left out of core dumps. With runtime/secret nothing else holds a key either.
func TestACoreDumpHoldsNoKeyWithTheSecretRuntime(t *testing.T) {
	lookout.SkipWithoutSecretRuntime(t)
	t.Setenv("GOTRACEBACK", "crash")
	binary := lookout.Build(t, lookout.SecretRuntime)
	for name, dump := range dumpers {
		t.Run(name, func(t *testing.T) {
			v, all, _ := collected(t, binary)
			require.Empty(t, lookout.Text(lookout.ScanFile(t, dump(t, v), all)))
		})
	}
}

// Whatever copies the default runtime leaves, those in the arena are not in a core dump; and the dumps that are looked at do hold the rest of the
// memory.
func TestACoreDumpHoldsNoArena(t *testing.T) {
	t.Setenv("GOTRACEBACK", "crash")
	binary := lookout.Build(t, "")
	for name, dump := range dumpers {
		t.Run(name, func(t *testing.T) {
			v, all, only := collected(t, binary, "-keep")
			core := dump(t, v)
			require.Contains(t, lookout.Text(lookout.ScanFile(t, core, all)), "master key 0 version 1, first half", "the copy that the program keeps")
			require.Empty(t, lookout.Text(lookout.ScanFile(t, core, only)))
		})
	}
}
