//go:build linux

package secret_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms/internal/secret"
)

// childVariable makes a child process of the test binary run one of the children.
const childVariable = "SECRET_TEST_CHILD"

func TestMain(m *testing.M) {
	children := map[string]func() error{
		"count":    countArenas,
		"together": fillTogether,
		"untried":  allocateUntried,
	}
	child, ok := children[os.Getenv(childVariable)]
	if !ok {
		goleak.VerifyTestMain(m)
		return
	}
	if err := child(); err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
}

// runChild returns what a child printed.
func runChild(t *testing.T, name string, environment ...string) string {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(append(os.Environ(), childVariable+"="+name), environment...)
	out, err := child.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// limitVariable is the limit on locked memory that a child sets for itself, in bytes, and slotsVariable the size of
// its arenas.
const (
	limitVariable = "SECRET_TEST_LIMIT"
	slotsVariable = "SECRET_TEST_SLOTS"
)

// lowerLimit makes the process one of an ordinary user with a limit on locked memory. Root may lock without one.
func lowerLimit() error {
	limit, err := strconv.ParseUint(os.Getenv(limitVariable), 10, 64)
	if err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534))
}

// fill makes arenas until one is refused, and puts a key into each.
func fill() (arenas []*secret.Arena, held []secret.Slot, err error) {
	slots, err := strconv.Atoi(os.Getenv(slotsVariable))
	if err != nil {
		return nil, nil, err
	}
	const tooMany = 10_000 // a limit that does not hold must not take all the memory of the machine
	for len(arenas) < tooMany {
		a, err := secret.NewArena(slots, secret.Locked)
		if err != nil {
			return arenas, held, err
		}
		s, err := a.Put(key(byte(len(arenas) + 1)))
		if err != nil {
			return nil, nil, err
		}
		arenas, held = append(arenas, a), append(held, s)
	}
	return arenas, held, fmt.Errorf("no refusal after %d arenas", tooMany)
}

// countArenas makes arenas until one is refused and prints their number and the refusal. It fails unless all of
// them still work, ordinary memory does, and what they give back can be locked again.
func countArenas() error {
	if err := lowerLimit(); err != nil {
		return err
	}
	arenas, held, refusal := fill()
	if !errors.Is(refusal, secret.ErrLock) {
		return fmt.Errorf("refusal: %w", refusal)
	}
	fmt.Println(len(arenas), refusal)
	plain, err := secret.NewArena(512, secret.Plain)
	if err != nil || plain.Locked() {
		return fmt.Errorf("ordinary memory: %w, or locked", err)
	}
	if err := check(arenas, held); err != nil {
		return err
	}
	for _, a := range arenas {
		a.Close()
	}
	if again, _, _ := fill(); len(again) != len(arenas) {
		return fmt.Errorf("%d arenas at first, %d after Close", len(arenas), len(again))
	}
	return nil
}

// check looks whether what fill has made still works.
func check(arenas []*secret.Arena, held []secret.Slot) error {
	for i, a := range arenas {
		same := false
		if err := a.Use(held[i], func(got []byte) { same = string(got) == string(key(byte(i+1))) }); err != nil || !same {
			return fmt.Errorf("arena %d: %w, or another key", i, err)
		}
	}
	return nil
}

func TestAnOrdinaryUserAtATightLimit(t *testing.T) {
	page := os.Getpagesize()
	tests := []struct{ kib, slots int }{{0, 512}, {8, 512}, {8, 1}, {64, 512}, {64, 513}, {8192, 512}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.slots, " slots at ", tt.kib, " KiB"), func(t *testing.T) {
			limit, size := tt.kib<<10, (tt.slots*secret.KeySize+page-1)/page*page
			out := runLimited(t, "count", limit, tt.slots)
			require.Contains(t, out, fmt.Sprintf("%d memory cannot be locked: %d bytes are needed, the process may lock %d in all", limit/size, size, limit))
		})
	}
}

// runLimited runs a child as an ordinary user with a limit on locked memory.
func runLimited(t *testing.T, name string, limit, slots int) string {
	t.Helper()
	skipAbove(t, limit)
	return runChild(t, name, limitVariable+"="+strconv.Itoa(limit), slotsVariable+"="+strconv.Itoa(slots))
}

// fillTogether makes arenas in several goroutines at once, until each was refused. None may lose what it has.
func fillTogether() error {
	if err := lowerLimit(); err != nil {
		return err
	}
	const together = 8
	errs := make([]error, together)
	var all, wg sync.WaitGroup
	all.Add(together)
	for g := range together {
		wg.Go(func() {
			arenas, held, refusal := fill()
			all.Done()
			all.Wait()
			if errs[g] = check(arenas, held); !errors.Is(refusal, secret.ErrLock) {
				errs[g] = fmt.Errorf("refusal: %w", refusal)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func TestThoseWhoMakeArenasAtTheSameTimeDoNotHarmOneAnother(t *testing.T) {
	for range 5 {
		runLimited(t, "together", 1<<20, 128)
	}
}

// skipAbove skips a test whose limit on locked memory may not be set.
func skipAbove(t *testing.T, limit int) {
	t.Helper()
	var own unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &own))
	if os.Geteuid() != 0 && own.Max < uint64(limit) {
		t.Skipf("not root, and at most %d bytes may be locked, want %d", own.Max, limit)
	}
}

// allocateUntried does what the trial prevents: memguard purges all that it holds, and panics.
func allocateUntried() error {
	if err := lowerLimit(); err != nil {
		return err
	}
	arenas, held, _ := fill()
	if err := secret.AllocateUntried(16 << 10); !errors.Is(err, secret.ErrLock) {
		return fmt.Errorf("allocated: %w", err)
	}
	for i, a := range arenas {
		if err := a.Use(held[i], func([]byte) {}); !errors.Is(err, secret.ErrClosed) {
			return fmt.Errorf("used after the purge: %w", err)
		}
		if _, err := a.Put(key(1)); !errors.Is(err, secret.ErrClosed) {
			return fmt.Errorf("put after the purge: %w", err)
		}
		a.Free(held[i])
		a.Close()
	}
	if again, _, _ := fill(); len(again) != len(arenas) {
		return fmt.Errorf("%d arenas at first, %d after the purge", len(arenas), len(again))
	}
	fmt.Println(len(arenas))
	return nil
}

func TestAPurgeIsAnError(t *testing.T) {
	require.NotEqual(t, "0\n", runLimited(t, "untried", 64<<10, 512))
}

func TestArenasLeaveNoMemoryBehind(t *testing.T) {
	mappings := func() int {
		maps, err := os.ReadFile("/proc/self/maps")
		require.NoError(t, err)
		return bytes.Count(maps, []byte("\n"))
	}
	before := mappings()
	for range 200 {
		newArena(t, 1, secret.Locked).Close()
	}
	require.Less(t, mappings(), before+100)
}

func TestOnlyLockedMemoryIsLocked(t *testing.T) {
	require.True(t, newArena(t, 1, secret.Locked).Locked())
	require.False(t, newArena(t, 1, secret.Plain).Locked())
}

func TestImportingEndsCoreDumpsForGood(t *testing.T) {
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_CORE, &limit))
	require.Equal(t, unix.Rlimit{}, limit)
}
