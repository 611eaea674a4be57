package kms_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/objectkms/kms"

// layers is the order of the packages: a package imports only packages of lines above its own. A
// new package needs a place here. A name that ends in "/" stands for everything below it.
func layers() [][]string {
	return [][]string{
		{"internal/encctx", "internal/cobblestone", "internal/retry", "internal/stripe", "internal/flight", "internal/strictjson", "internal/twokeys", "internal/erase"},
		{"internal/ttlcache"},
		{"."},
		{"internal/secret", "internal/kdf"},
		{"internal/keyring"},
		{"internal/keydir"},
		{"local", "vault", "mock", "encryption", "admin", "backend/backendtest"},
		{"backend"},
		{"examples/", "docs/decryptor"},
	}
}

// moduleUsers names, for every module that is not our own, the packages whose code may import it. A
// module without any is for tests only, and a module that is not here may not be imported at all.
func moduleUsers() map[string][]string {
	return map[string][]string{
		"github.com/awnumar/memcall":  {"internal/secret", "internal/kdf"}, // what memguard locks pages with
		"github.com/awnumar/memguard": {"internal/secret", "internal/kdf"},
		"golang.org/x/crypto":         {"internal/kdf"}, // Argon2id
		"golang.org/x/sys":            {"internal/keydir", "internal/secret", "local"},
		"github.com/hashicorp":        {"vault"},
		"github.com/stretchr/testify": {},
		"go.uber.org/goleak":          {},
		"pgregory.net/rapid":          {},
	}
}

// A goPackage is one package as go list describes it.
type goPackage struct {
	ImportPath   string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string // everything that the package links
}

// importViolations answers one line for each rule that a package of the module breaks.
func importViolations(packages []goPackage) []string {
	standard := make(map[string]bool)
	for _, p := range packages {
		if p.Standard {
			standard[p.ImportPath] = true
		}
	}
	var found []string
	for _, p := range packages {
		name, ours := packageName(p.ImportPath)
		if !ours {
			continue
		}
		found = append(found, layerViolations(name, p.Imports)...)
		found = append(found, moduleViolations(name, p, standard)...)
		found = append(found, linkViolations(name, p, standard)...)
	}
	return found
}

// layerViolations checks that imports point down.
func layerViolations(name string, imports []string) []string {
	layer := layerOf(name)
	if layer < 0 {
		return []string{name + " has no place in the layers"}
	}
	var found []string
	for _, path := range imports {
		imported, ours := packageName(path)
		if ours && layerOf(imported) >= layer {
			found = append(found, fmt.Sprintf("%s imports %s, which is not below it", name, imported))
		}
	}
	return found
}

// moduleViolations checks who imports which module. A package's tests may import what its code
// may, and what is for tests.
func moduleViolations(name string, p goPackage, standard map[string]bool) []string {
	var found []string
	check := func(imports []string, inTests bool) {
		for _, path := range imports {
			if _, ours := packageName(path); ours || standard[path] || !isModulePath(path) {
				continue
			}
			users, known := usersOf(path)
			if !known || !slices.Contains(users, name) && !(inTests && len(users) == 0) {
				found = append(found, fmt.Sprintf("%s imports %s", name, path))
			}
		}
	}
	check(p.Imports, false)
	check(slices.Concat(p.TestImports, p.XTestImports), true)
	return found
}

// linkViolations checks what packages link, through whichever import.
func linkViolations(name string, p goPackage, standard map[string]bool) []string {
	var found []string
	for _, path := range p.Deps {
		_, ours := packageName(path)
		switch {
		case path == "net/http" && slices.Contains([]string{".", "local", "mock", "encryption"}, name),
			!ours && !standard[path] && name == ".",
			!ours && !standard[path] && name == "backend/backendtest",
			!ours && !standard[path] && layerOf(name) == 0:
			found = append(found, fmt.Sprintf("%s links %s", name, path))
		}
	}
	if name == "backend/backendtest" {
		for _, path := range p.Imports {
			if imported, ours := packageName(path); ours && imported != "." {
				found = append(found, fmt.Sprintf("%s imports %s, want only the root package", name, imported))
			}
		}
	}
	return found
}

// packageName returns the path below the module, "." for its root.
func packageName(importPath string) (name string, ours bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func layerOf(name string) int {
	return slices.IndexFunc(layers(), func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			return n == name || strings.HasSuffix(n, "/") && strings.HasPrefix(name, n)
		})
	})
}

func usersOf(importPath string) (users []string, known bool) {
	for path, users := range moduleUsers() {
		if importPath == path || strings.HasPrefix(importPath, path+"/") {
			return users, true
		}
	}
	return nil, false
}

// isModulePath tells the paths of modules from those of the standard library, which have no dot
// in their first element.
func isModulePath(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return strings.Contains(first, ".")
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	command := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps",
		"-json=ImportPath,Standard,Imports,TestImports,XTestImports,Deps", "./...")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	require.NoError(t, err, stderr.String())

	packages := decodePackages(t, out)
	require.True(t, slices.ContainsFunc(packages, func(p goPackage) bool { return p.ImportPath == module }))
	require.Empty(t, importViolations(packages))
}

func decodePackages(t *testing.T, list []byte) []goPackage {
	t.Helper()
	var packages []goPackage
	decoder := json.NewDecoder(bytes.NewReader(list))
	for {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

// The order that docs/ARCHITECTURE.md shows is this one.
func TestTheDocumentShowsTheLayers(t *testing.T) {
	var order strings.Builder
	for _, names := range slices.Backward(layers()) {
		line := strings.Join(names, ", ")
		if line == "." {
			line = "kms"
		}
		fmt.Fprintf(&order, "    %s\n", line)
	}
	text, err := os.ReadFile("docs/ARCHITECTURE.md")
	require.NoError(t, err)
	require.Contains(t, string(text), order.String())
}

// A workspace would merge the dependencies of the nested modules into everybody's.
func TestNoWorkspaceFile(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "go.work" {
			return fmt.Errorf("%s exists", path)
		}
		return err
	})
	require.NoError(t, err)
}
