//go:build linux

package order_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/internal/history"
	"github.com/objectkms/kms/e2e/destruction/internal/overfs"
	"github.com/objectkms/kms/local"
)

// roleVariable makes the test binary a child process of a test, which gets its job on the standard input.
const roleVariable = "ORDER_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "" {
		os.Exit(m.Run())
	}
	if err := act(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A job is what the child is to do: to take a step of a kind, or, without one, to open a directory.
type job struct {
	Dir    history.Disk
	Kind   history.Kind
	Bundle []byte
	File   string // where it is to open with a root key file
}

// What the child writes to its standard output around the step.
const began, answered = "began", "answered"

func act() error {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return err
	}
	ctx := context.Background()
	if j.Kind == "" {
		return j.open(ctx)
	}
	hands, err := history.NewHands(ctx, j.Dir, 0, 0)
	if err != nil {
		return err
	}
	hands.Bundle = j.Bundle
	fmt.Println(began)
	_, err = hands.Do(ctx, history.Act(j.Kind))
	fmt.Println(answered)
	return err
}

func (j job) open(ctx context.Context) error {
	c := j.Dir.Config(0)
	if j.File != "" {
		c = local.Config{Dir: c.Dir, RootKeyFile: j.File, AllowUnlockedMemory: true}
	}
	fmt.Println(began)
	b, err := local.New(ctx, c)
	fmt.Println(answered)
	if err != nil {
		return err
	}
	return b.Close()
}

// traced runs a job, and returns the system calls that it takes.
func traced(t *testing.T, j job) (calls []overfs.Call) {
	t.Helper()
	input, err := json.Marshal(j)
	require.NoError(t, err)
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-y", "-x", "-o", trace, "-e", "trace=openat,mkdirat,fsync,linkat,renameat,renameat2,unlinkat,write,pwrite64", os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=act")
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	text, err := os.ReadFile(trace)
	require.NoError(t, err)
	calls, err = parse(text, string(j.Dir))
	require.NoError(t, err)
	return calls
}

var (
	unfinished = regexp.MustCompile(`^(\d+) +(.*) <unfinished \.\.\.>$`)
	resumed    = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)$`)
	complete   = regexp.MustCompile(`^\d+ +(\w+)\((.*)\) += (\d+)`)
	place      = regexp.MustCompile(`(?:AT_FDCWD(?:<[^>]*>)?|\d+<([^>]*)>), "([^"]*)"`)
	descriptor = regexp.MustCompile(`^(\d+)<([^>]*)>(?:, "([^"]*)")?`)
)

// parse reads the calls between the begin and the answer that succeeded, in the order in which they ended.
func parse(trace []byte, dir string) (calls []overfs.Call, err error) {
	begun := map[string]string{}
	inside := false
	for lines := bufio.NewScanner(bytes.NewReader(trace)); lines.Scan(); {
		line := lines.Text()
		if m := unfinished.FindStringSubmatch(line); m != nil {
			begun[m[1]] = line[:len(line)-len(" <unfinished ...>")]
			continue
		}
		if m := resumed.FindStringSubmatch(line); m != nil {
			line = begun[m[1]] + m[2]
		}
		m := complete.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		switch {
		case m[1] == "write" && strings.Contains(m[2], `"`+began):
			inside = true
		case m[1] == "write" && strings.Contains(m[2], `"`+answered):
			return calls, nil
		case inside:
			if c, ok := callOf(m[1], m[2], dir); ok {
				calls = append(calls, c)
			}
		}
	}
	return nil, errors.New("the trace has no begin or no answer")
}

// callOf turns a system call into a call to the key directory.
func callOf(name, args, dir string) (c overfs.Call, ok bool) {
	verbs := map[string]string{
		"mkdirat": "mkdir", "fsync": "sync", "linkat": "link", "renameat": "rename", "renameat2": "rename", "unlinkat": "remove", "write": "write", "pwrite64": "write",
	}
	c.Verb = verbs[name]
	if name == "openat" && strings.Contains(args, "O_CREAT") {
		c.Verb = "create"
	}
	switch c.Verb {
	case "sync", "write":
		m := descriptor.FindStringSubmatch(args)
		if m == nil || !strings.HasPrefix(m[2], "/") {
			return c, false
		}
		c.Path = relative(dir, m[2])
		if data, err := strconv.Unquote(`"` + m[3] + `"`); err == nil {
			c.Data = []byte(data)
		}
	case "":
		return c, false
	default:
		places := place.FindAllStringSubmatch(args, 2)
		if len(places) == 0 {
			return c, false
		}
		c.Path = relative(dir, join(places[0]))
		if len(places) == 2 {
			c.To = relative(dir, join(places[1]))
		}
	}
	return c, true
}

// join returns the path of a match of place.
func join(m []string) string {
	if filepath.IsAbs(m[2]) {
		return m[2]
	}
	return filepath.Join(m[1], m[2])
}

func relative(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	return rel
}

// The same order on the real file system, as the kernel sees it.
func TestTheSystemCallsAreInOrder(t *testing.T) {
	requireStrace(t)
	jobs := map[string]job{}
	for _, kind := range history.Changes() {
		j := job{Dir: history.NewDisk(t), Kind: kind}
		var err error
		j.Bundle, err = history.Stage(t.Context(), j.Dir, history.NewRecord(), kind)
		require.NoError(t, err)
		jobs[string(kind)] = j
	}
	base := filepath.Dir(string(history.NewDisk(t)))
	jobs["set up, with the directories above"] = job{Dir: history.Disk(filepath.Join(base, "a", "b", "kms"))}
	base = filepath.Dir(string(history.NewDisk(t)))
	jobs["set up, with a root key file"] = job{Dir: history.Disk(filepath.Join(base, "kms")), File: filepath.Join(base, "root.key")}
	for name, j := range jobs {
		t.Run(name, func(t *testing.T) {
			calls := traced(t, j)
			faults, changes := audit(calls)
			require.Empty(t, faults)
			require.Positive(t, changes)
			mustFault(t, without(calls, isSync), "without syncs")
			if j.Kind == "" {
				mustFault(t, without(calls, func(c overfs.Call) bool { return isSync(c) && outside(c.Path) }), "without syncs above the directory")
			}
			t.Logf("%d calls that write, %d names changed", len(calls), changes)
		})
	}
}

// A root key file that is there was perhaps made by a process that was killed before it was durable.
func TestARootKeyFileThatIsThereIsDurableBeforeAnythingIsSealedUnderIt(t *testing.T) {
	requireStrace(t)
	disk := history.NewDisk(t)
	file := filepath.Join(filepath.Dir(string(disk)), "root.key")
	require.NoError(t, os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))), 0o600))
	require.NoError(t, os.Mkdir(string(disk), 0o700))
	calls := traced(t, job{Dir: disk, File: file})
	var found []string
	for _, c := range calls {
		if isSync(c) && outside(c.Path) || c.To == "root.json" {
			found = append(found, c.Verb+" "+c.Path)
		}
	}
	require.GreaterOrEqual(t, len(found), 3)
	last := found[len(found)-3:]
	require.Equal(t, []string{"sync ../root.key", "sync .."}, last[:2])
	require.Contains(t, last[2], "link ", "then root.json gets its name")
}

// requireStrace skips where no process can be traced.
func requireStrace(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "strace", "-f", "true").CombinedOutput(); err != nil {
		t.Skipf("wants strace, and the right to trace: %v %.100s", err, out)
	}
}
