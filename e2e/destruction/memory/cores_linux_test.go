package memory_test

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

// scanFile looks for needles in a core dump.
func scanFile(t *testing.T, path string, needles []needle) (found []finding) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	info, err := file.Stat()
	require.NoError(t, err)
	require.Greater(t, info.Size(), int64(1<<20), "a core dump of a Go program is larger")
	newSearch(needles).run(file, mapping{end: uint64(info.Size()), name: path}, func(f finding) { found = append(found, f) })
	return found
}

func TestAProgramThatPanicsLeavesNoCoreDump(t *testing.T) {
	allowCores(t)
	t.Setenv("GOTRACEBACK", "crash")
	v := startVictim(t, buildVictim(t, ""), "raw", "-abort", "-wraps", "10")
	v.ready(t)
	require.Error(t, v.cmd.Wait())
	require.Contains(t, v.errors.String(), "panic: as asked for")
	require.False(t, dumped(t, v.cmd))
	require.Empty(t, cores(t, v.dir))
}

// collected starts a victim, and returns when it has used its keys and its garbage was collected. It returns what to look for, and those of it that
// are in the arena and nowhere else.
func collected(t *testing.T, binary string, flags ...string) (v *victim, all, only []needle) {
	t.Helper()
	v = startVictim(t, binary, "raw", append(flags, "-wraps", "1000")...)
	v.ready(t)
	all = v.needles(t)
	v.goOn(t)
	v.ready(t)
	locked, leaked := split(scan(t, v.cmd.Process.Pid, all))
	for _, f := range locked {
		if !slices.ContainsFunc(leaked, func(other finding) bool { return other.needle.of == f.needle.of }) {
			only = append(only, f.needle)
		}
	}
	require.NotEmpty(t, only)
	return v, all, only
}

// dumpers are ways to a core dump of a running process whose limit is 0.
var dumpers = map[string]func(t *testing.T, v *victim) (core string){
	// A debugger knows no limit.
	"gcore": func(t *testing.T, v *victim) string {
		tool, err := exec.LookPath("gcore")
		if err != nil {
			t.Skip("gcore is not here, which comes with gdb")
		}
		path := filepath.Join(t.TempDir(), "core")
		out, err := exec.CommandContext(t.Context(), tool, "-o", path, fmt.Sprint(v.cmd.Process.Pid)).CombinedOutput()
		if err != nil && strings.Contains(string(out), "not permitted") {
			t.Skip("a debugger may not look at a child process here")
		}
		require.NoError(t, err, string(out))
		return fmt.Sprint(path, ".", v.cmd.Process.Pid)
	},
	// Somebody who may raises the limit again.
	"raised limit": func(t *testing.T, v *victim) string {
		allowCores(t)
		tool, err := exec.LookPath("prlimit")
		if err != nil {
			t.Skip("prlimit is not here, which comes with util-linux")
		}
		out, err := exec.CommandContext(t.Context(), tool, "--core=unlimited", "--pid", fmt.Sprint(v.cmd.Process.Pid)).CombinedOutput()
		if err != nil && strings.Contains(string(out), "not permitted") {
			t.Skip("the limit of core dumps was lowered for good, and this process may not raise it again: want CAP_SYS_RESOURCE")
		}
		require.NoError(t, err, string(out))
		require.NoError(t, v.cmd.Process.Signal(syscall.SIGABRT))
		var exit *exec.ExitError
		require.True(t, errors.As(v.cmd.Wait(), &exit))
		require.True(t, dumped(t, v.cmd), "the limit was raised")
		found := cores(t, v.dir)
		require.Len(t, found, 1)
		return found[0]
	},
}

// The arena is left out of core dumps. With runtime/secret nothing else holds a key either.
func TestACoreDumpHoldsNoKeyWithTheSecretRuntime(t *testing.T) {
	skipWithoutSecretRuntime(t)
	t.Setenv("GOTRACEBACK", "crash")
	binary := buildVictim(t, secretRuntime)
	for name, dump := range dumpers {
		t.Run(name, func(t *testing.T) {
			v, all, _ := collected(t, binary)
			require.Empty(t, text(scanFile(t, dump(t, v), all)))
		})
	}
}

// Whatever copies the default runtime leaves, those in the arena are not in a core dump; and the dumps that are looked at do hold the rest of the
// memory.
func TestACoreDumpHoldsNoArena(t *testing.T) {
	t.Setenv("GOTRACEBACK", "crash")
	binary := buildVictim(t, "")
	for name, dump := range dumpers {
		t.Run(name, func(t *testing.T) {
			v, all, only := collected(t, binary, "-keep")
			core := dump(t, v)
			require.Contains(t, text(scanFile(t, core, all)), "master key 0 version 1, first half", "the copy that the program keeps")
			require.Empty(t, text(scanFile(t, core, only)))
		})
	}
}
