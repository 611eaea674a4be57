package clock_test

import (
	"encoding/json"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The folders of the repository that no program links.
var passedOver = []string{"e2e", "bench", "examples", "docs", "testdata"}

const here = "github.com/objectkms/kms/e2e/destruction/clock/"

// An overlay is a list of files that the go command reads in the place of others, or of none.
type overlay struct {
	Replace map[string]string
	dir     string
}

// newOverlay returns the sources of the library with another clock, which it imports by the given path.
func newOverlay(t *testing.T, repository, clock string) *overlay {
	t.Helper()
	o := &overlay{Replace: make(map[string]string), dir: t.TempDir()}
	err := filepath.WalkDir(repository, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return skip(e.Name())
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if jumping, ok := withClock(string(source), clock); ok {
			o.put(t, path, jumping)
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(o.Replace), 20, "hardly any file of the library asks for the time")
	return o
}

func skip(folder string) error {
	for _, name := range passedOver {
		if folder == name {
			return filepath.SkipDir
		}
	}
	if strings.HasPrefix(folder, ".") && folder != ".." && folder != "." {
		return filepath.SkipDir
	}
	return nil
}

var (
	clockCall     = regexp.MustCompile(`\btime\.(Now|Since|Until)\b`)
	packageClause = regexp.MustCompile(`(?m)^package \w+$`)
)

// withClock returns the source with the other clock, if it asks for the time. No line gets another number.
func withClock(source, clock string) (string, bool) {
	found := false
	lines := strings.SplitAfter(source, "\n")
	for i, line := range lines {
		code, comment, commented := strings.Cut(line, "//")
		if !clockCall.MatchString(code) {
			continue
		}
		found = true
		lines[i] = clockCall.ReplaceAllString(code, "jumpclock.$1")
		if commented {
			lines[i] += "//" + comment
		}
	}
	if !found {
		return "", false
	}
	at := packageClause.FindStringIndex(source)
	text := strings.Join(lines, "")
	return text[:at[1]] + "; import jumpclock \"" + clock + "\"" + text[at[1]:] + "\nvar _ time.Duration\n", true
}

// put adds a file.
func (o *overlay) put(t *testing.T, path, source string) {
	t.Helper()
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	file := filepath.Join(o.dir, fmt.Sprintf("%d.go", len(o.Replace)))
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	o.Replace[path] = file
}

// putFolder adds the sources of a folder as a package of another path, and has them import the clock by its path there.
func (o *overlay) putFolder(t *testing.T, from, to string) {
	t.Helper()
	pkg, err := build.ImportDir(from, 0)
	require.NoError(t, err)
	for _, name := range pkg.GoFiles {
		source, err := os.ReadFile(filepath.Join(from, name))
		require.NoError(t, err)
		o.put(t, filepath.Join(to, name), strings.ReplaceAll(string(source), here, inside))
	}
}

// write writes the list, and returns its name.
func (o *overlay) write(t *testing.T) string {
	t.Helper()
	list, err := json.Marshal(o)
	require.NoError(t, err)
	file := filepath.Join(o.dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, list, 0o600))
	return file
}
