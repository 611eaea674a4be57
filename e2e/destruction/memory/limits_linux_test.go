package memory_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// arena is how many bytes a backend locks.
const arena = 16 << 10

// A tenancy is a limit on locked memory, and what a program of an ordinary user finds there.
type tenancy struct {
	kib      int
	role     string
	unlocked bool
	want     string // in the output
}

func TestAnOrdinaryUserAtALimitOnLockedMemory(t *testing.T) {
	tests := []tenancy{
		{kib: 0, role: "refused"},
		{kib: 8, role: "refused"},
		{kib: 0, role: "everyday", unlocked: true},
		{kib: 8, role: "everyday", unlocked: true},
		{kib: 16, role: "everyday"},
		{kib: 16, role: "restart"},
		{kib: 64, role: "everyday"},
		{kib: 8192, role: "everyday"},
		{kib: 0, role: "crowd", want: "0 opened"},
		{kib: 64, role: "crowd", want: "4 opened"},
		{kib: 1024, role: "crowd", want: "64 opened"},
		{kib: 8192, role: "crowd", want: "512 opened"},
		{kib: 0, role: "mock"},
		{kib: 64, role: "mock"},
	}
	require.Equal(t, 4, 64<<10/arena)
	binary := buildTenant(t)
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s at %d KiB, unlocked %v", tt.role, tt.kib, tt.unlocked), func(t *testing.T) {
			if testing.Short() && tt.kib != 0 && tt.kib != 64 {
				t.Skip("only without locked memory, and at the limit of many containers, with -short")
			}
			out := tt.run(t, binary)
			require.Contains(t, out, tt.want)
			require.Contains(t, out, "done\n")
		})
	}
}

// The roles that need locked memory tell where there is none, or more than they expect.
func TestATenantTellsOfALimitThatIsNotItsOwn(t *testing.T) {
	binary := buildTenant(t)
	for _, tt := range []tenancy{{kib: 64, role: "refused"}, {kib: 8, role: "everyday"}, {kib: 64, role: "restart"}} {
		out, err := tt.start(t, binary).CombinedOutput()
		require.Error(t, err, tt)
		require.Contains(t, string(out), "tenant: ", tt)
	}
}

// buildTenant builds the program to where nobody, too, may run it.
func buildTenant(t *testing.T) string {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not here, which builds the program of the ordinary user")
	}
	dir, err := os.MkdirTemp("", "tenant")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	binary := filepath.Join(dir, "tenant")
	out, err := exec.CommandContext(t.Context(), tool, "build", "-o", binary, "./tenant").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

// run returns what the program has printed. One that hangs is killed, and shows where.
func (tt tenancy) run(t *testing.T, binary string) string {
	t.Helper()
	out, err := tt.start(t, binary).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

func (tt tenancy) start(t *testing.T, binary string) *exec.Cmd {
	t.Helper()
	var own syscall.Rlimit
	const rlimitMemlock = 8
	require.NoError(t, syscall.Getrlimit(rlimitMemlock, &own))
	if os.Geteuid() != 0 && own.Max < uint64(tt.kib)<<10 {
		t.Skipf("not root, and at most %d bytes may be locked, want %d", own.Max, tt.kib<<10)
	}
	const memory = "/dev/shm" // hundreds of keys, each of which is synced, take a minute on a disk
	dir, err := os.MkdirTemp(memory, "tenancy")
	if err != nil {
		dir, err = os.MkdirTemp("", "tenancy")
	}
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(dir, 65534, 65534))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	keys := 300
	if testing.Short() {
		keys = 20
	}
	cmd := exec.CommandContext(ctx, binary, "-dir", dir, "-role", tt.role, "-limit", fmt.Sprint(tt.kib<<10), fmt.Sprintf("-unlocked=%v", tt.unlocked),
		"-keys", fmt.Sprint(keys))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // prints all stacks
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
