package kms_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxDependencies is how many modules this one may require directly.
const maxDependencies = 8

// directDependencies returns the modules that go.mod requires directly.
func directDependencies(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	require.NoError(t, err)
	var file struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	require.NoError(t, json.Unmarshal(out, &file))
	var direct []string
	for _, r := range file.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	return direct
}

func TestDirectDependenciesAreFewAndExplained(t *testing.T) {
	direct := directDependencies(t)
	require.NotEmpty(t, direct)
	require.LessOrEqual(t, len(direct), maxDependencies)

	text, err := os.ReadFile("docs/DEPENDENCIES.md")
	require.NoError(t, err)
	require.ElementsMatch(t, direct, explained(text))
}

// explained returns the modules that have a line of the table in docs/DEPENDENCIES.md with all columns filled.
func explained(text []byte) []string {
	var modules []string
	for _, line := range regexp.MustCompile("(?m)^\\| `([^`]+)`((?: \\| [^|\n]+){4}) \\|$").FindAllSubmatch(text, -1) {
		modules = append(modules, string(line[1]))
	}
	return modules
}

func TestALineWithoutAReasonExplainsNothing(t *testing.T) {
	require.Equal(t, []string{"a.b/c"}, explained([]byte("| `a.b/c` | MIT | tests | because | more work |\n")))
	require.Empty(t, explained([]byte("| `a.b/c` | MIT | tests | because |\n")))
	require.Empty(t, explained([]byte("about `a.b/c`\n")))
}

// looseAction finds a use of an action that is not fixed to one commit.
func looseAction(workflow []byte) string {
	pinned := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	for _, use := range regexp.MustCompile(`(?m)\buses:\s*["']?([^\s"'#]+)`).FindAllSubmatch(workflow, -1) {
		if !pinned.Match(use[1]) {
			return string(use[1])
		}
	}
	return ""
}

// A tag can be moved to other code, a commit cannot.
func TestActionsAreFixedToCommits(t *testing.T) {
	files, err := filepath.Glob(".github/workflows/*.y*ml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(text), "uses:")
		require.Empty(t, looseAction(text), file)
	}
}

func TestALooseActionIsFound(t *testing.T) {
	require.Equal(t, "actions/checkout@v4", looseAction([]byte("steps:\n  - uses: actions/checkout@v4\n")))
	require.Equal(t, "a/b@11bd719", looseAction([]byte("  - uses: 'a/b@11bd719' # v4")))
	require.Equal(t, "a/b", looseAction([]byte("  - uses: a/b\n")))
	require.Empty(t, looseAction([]byte("  - uses: a/b/c@11bd71901bbe5b1630ceea73d27597364c9af683 # v4\n")))
}
