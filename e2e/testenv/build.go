package testenv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// staleAfter is how long a server that nobody has started is kept.
const staleAfter = 7 * 24 * time.Hour

// serverBinary returns the path of the server of ../vaultd. It is built where that has not been done for these sources: the
// first of all the processes that want it builds, and the others wait.
func serverBinary(t testing.TB) string {
	t.Helper()
	source := sourceDir(t)
	sum, err := hashSources(os.DirFS(source))
	must(t, err, "reading the server's sources")
	cache, err := os.UserCacheDir()
	must(t, err, "looking for the cache directory")
	dir := filepath.Join(cache, "objectkms", "vaultd")
	must(t, os.MkdirAll(dir, 0o700), "making the cache directory")
	binary := filepath.Join(dir, "vaultd-"+sum)

	unlock := lock(t, filepath.Join(dir, "lock"))
	defer unlock()
	if _, err := os.Stat(binary); err != nil {
		removeStale(dir, time.Now())
		build(t, source, binary)
	}
	// The time of last use keeps it from becoming stale.
	now := time.Now()
	must(t, os.Chtimes(binary, now, now), "marking the server as used")
	return binary
}

// sourceDir returns the directory of the server's module. The go command knows where this module is, whichever module is tested.
func sourceDir(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/objectkms/kms/e2e").Output()
	must(t, err, "looking for the module e2e")
	return filepath.Join(strings.TrimSpace(string(out)), "vaultd")
}

// hashSources returns a name for all that the server is built from.
func hashSources(source fs.FS) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	err := fs.WalkDir(source, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !isSource(path) {
			return err
		}
		content, err := fs.ReadFile(source, path)
		fmt.Fprintf(hash, "%s %d\n%s", path, len(content), content)
		return err
	})
	return hex.EncodeToString(hash.Sum(nil)[:8]), err
}

func isSource(path string) bool {
	switch filepath.Base(path) {
	case "go.mod", "go.sum":
		return true
	}
	return strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
}

// build builds the server, under another name until it is whole. A test that waits for it says so at once: it takes minutes.
func build(t testing.TB, source, binary string) {
	t.Helper()
	fmt.Fprintln(os.Stderr, "testenv: building the Vault server, once; this takes some minutes")
	building := binary + ".building"
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", building, ".")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("testenv: building the server: %v\n%s", err, out)
	}
	must(t, os.Rename(building, binary), "keeping the server")
}

// removeStale removes the servers that nobody has used for long. One that cannot be removed stays.
func removeStale(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && strings.HasPrefix(entry.Name(), "vaultd-") && now.Sub(info.ModTime()) > staleAfter {
			os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// must ends the test where something that it stands on does not work.
func must(t testing.TB, err error, doing string) {
	t.Helper()
	if err != nil {
		t.Fatalf("testenv: %s: %v", doing, err)
	}
}
