//go:build linux

package secret_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms/internal/secret"
)

// limitVariable makes a child process of this test lower its limit on locked memory, in KiB.
const limitVariable = "SECRET_TEST_MEMLOCK"

func TestMain(m *testing.M) {
	if limit := os.Getenv(limitVariable); limit != "" {
		if err := lockUntilRefused(limit); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// lockUntilRefused opens arenas until memory cannot be locked, and looks whether all of them still work.
func lockUntilRefused(limit string) error {
	kib, err := strconv.Atoi(limit)
	if err != nil {
		return err
	}
	rlimit := unix.Rlimit{Cur: uint64(kib) << 10, Max: uint64(kib) << 10}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &rlimit); err != nil {
		return err
	}
	var arenas []*secret.Arena
	var slots []secret.Slot
	for {
		a, err := secret.NewArena(512, secret.Locked)
		if errors.Is(err, secret.ErrLock) {
			fmt.Println(len(arenas), err)
			break
		}
		if err != nil {
			return err
		}
		s, err := a.Put(key(byte(len(arenas) + 1)))
		if err != nil {
			return err
		}
		arenas, slots = append(arenas, a), append(slots, s)
	}
	for i, a := range arenas {
		same := false
		if err := a.Use(slots[i], func(got []byte) { same = string(got) == string(key(byte(i+1))) }); err != nil || !same {
			return fmt.Errorf("arena %d: %v, key is the same: %v", i, err, same)
		}
	}
	plain, err := secret.NewArena(512, secret.Fallback)
	if err != nil || plain.Locked() {
		return fmt.Errorf("fallback: %v, locked: %v", err, plain.Locked())
	}
	for _, a := range arenas {
		a.Close()
	}
	return nil
}

func TestAnOrdinaryUserAtATightLimit(t *testing.T) {
	tests := []struct{ kib, arenas int }{{0, 0}, {8, 0}, {64, 4}, {8192, 512}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.kib, " KiB"), func(t *testing.T) {
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), limitVariable+"="+strconv.Itoa(tt.kib))
			if os.Geteuid() == 0 {
				// Root may lock without limit, so the child is nobody, from a copy that nobody may run.
				child.Path = copyForNobody(t)
				child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			out, err := child.CombinedOutput()
			require.NoError(t, err, string(out))
			require.Contains(t, string(out), "memory cannot be locked: 16384 bytes are needed, the process may lock "+strconv.Itoa(tt.kib<<10))
			count, err := strconv.Atoi(strings.Fields(string(out))[0])
			require.NoError(t, err)
			require.LessOrEqual(t, count, tt.arenas)
			require.GreaterOrEqual(t, count, tt.arenas/2, "the limit must be of use")
		})
	}
}

func copyForNobody(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "secret")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	binary, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	path := dir + "/secret.test"
	require.NoError(t, os.WriteFile(path, binary, 0o755))
	return path
}

func TestAFallbackWhereMemoryCanBeLockedIsLocked(t *testing.T) {
	require.True(t, newArena(t, 1, secret.Fallback).Locked())
}

func TestNoCoreDumps(t *testing.T) {
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_CORE, &limit))
	require.Zero(t, limit.Cur, "the package documentation says so")
}
