package clock_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	repository = "../../.."
	inside     = "github.com/objectkms/kms/internal/" // where the library finds the clock in its own module
	// jumpVariable says that the library is compiled with the other clock.
	jumpVariable = "CLOCK_TEST_JUMPS"
)

// flags are those of the tests that are compiled again.
var flags = []string{"test", "-count=1", "-v"}

// TestJumps holds all backends and caches of this process against jumps. What it runs first is itself, compiled with another clock.
func TestJumps(t *testing.T) {
	if os.Getenv(jumpVariable) != "" {
		jumps(t)
		return
	}
	o := newOverlay(t, repository, here+"jumpclock")
	runAgain(t, ".", "^TestJumps$", ".", o, 25)
}

// TestJumpsOverVault does so with the tests of package vault, which have a server to answer them.
func TestJumpsOverVault(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles package vault again, which takes a while: left out by -short")
	}
	o := newOverlay(t, repository, inside+"jumpclock")
	o.putFolder(t, "jumpclock", filepath.Join(repository, "internal/jumpclock"))
	o.putFolder(t, "jumpmatrix", filepath.Join(repository, "internal/jumpmatrix"))
	for _, name := range []string{"jumpkeys_test.go", "jumptokens_test.go"} {
		source, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		o.put(t, filepath.Join(repository, "vault", name), string(source))
	}
	runAgain(t, repository, "^TestJumps", "./vault", o, 40, "-vet=off") // vet wants the folders to be there
}

// runAgain runs tests with an overlay, of which at least so many must be there and pass.
func runAgain(t *testing.T, dir, run, pkg string, o *overlay, least int, more ...string) {
	t.Helper()
	args := slices.Concat(flags, more, []string{"-run", run, "-overlay", o.write(t)})
	if testing.Short() {
		args = append(args, "-short")
	}
	args = append(args, pkg)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), jumpVariable+"=yes", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	passed := strings.Count(string(out), "--- PASS: ")
	require.GreaterOrEqual(t, passed, least, "%s", out)
	t.Logf("%d tests passed with a clock that jumps", passed)
}
