package server

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// envBinary names a server that is built already.
const envBinary = "KMS_OBJECTSERVER"

var (
	built    = sync.OnceValues(build)
	buildDir string // of the server that was built, if there is one
)

// Main runs the tests of a package that starts servers, and removes the server that was built for them. A TestMain calls it.
func Main(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// build returns the path of the server, which it builds unless there is one in the environment.
func build() (string, error) {
	if binary := os.Getenv(envBinary); binary != "" {
		return filepath.Abs(binary)
	}
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	if buildDir, err = os.MkdirTemp("", "objectserver"); err != nil {
		return "", err
	}
	binary := filepath.Join(buildDir, "objectserver")
	cmd := exec.Command("go", append(buildFlags, "-o", binary, ".")...)
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// sourceDir returns the directory of the server's module. The go command knows where the library is, and the server is below it.
func sourceDir() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/objectkms/kms").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the library: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "examples", "objectserver"), nil
}
