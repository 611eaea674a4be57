package kms_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The rules themselves are tested with packages that do not exist.
func TestImportRules(t *testing.T) {
	ours := func(name string) string { return module + "/" + name }
	tests := []struct {
		name string
		pkg  goPackage
		want string // empty: nothing is broken
	}{
		{"a leaf on the standard library", goPackage{ImportPath: ours("internal/encctx"), Imports: []string{"fmt"}, Deps: []string{"fmt"}}, ""},
		{"root on a leaf", goPackage{ImportPath: module, Imports: []string{ours("internal/retry")}, Deps: []string{ours("internal/retry"), "fmt"}}, ""},
		{"local on what is below it", goPackage{ImportPath: ours("local"), Imports: []string{module, ours("internal/keyring"), ours("internal/keydir"), ours("internal/secret")}}, ""},
		{"vault on its client", goPackage{ImportPath: ours("vault"), Imports: []string{module, "github.com/hashicorp/vault/api"}, Deps: []string{"net/http"}}, ""},
		{"backend on every backend", goPackage{ImportPath: ours("backend"), Imports: []string{module, ours("local"), ours("vault")}}, ""},
		{"an example on everything", goPackage{ImportPath: ours("examples/x"), Imports: []string{ours("local"), ours("encryption"), ours("backend")}, Deps: []string{"net/http"}}, ""},
		{"tests with what is for tests", goPackage{ImportPath: module, TestImports: []string{"github.com/stretchr/testify/require"}, XTestImports: []string{ours("mock"), "pgregory.net/rapid"}}, ""},
		{"tests with what the code may import", goPackage{ImportPath: ours("vault"), XTestImports: []string{"github.com/hashicorp/vault/api"}}, ""},
		{"a package of others", goPackage{ImportPath: "example.com/x", Imports: []string{"github.com/awnumar/memguard", "net/http"}}, ""},

		{"a new package", goPackage{ImportPath: ours("util")}, "util has no place in the layers"},
		{"a leaf on root", goPackage{ImportPath: ours("internal/retry"), Imports: []string{module}}, "internal/retry imports ., which is not below it"},
		{"a leaf on a leaf", goPackage{ImportPath: ours("internal/flight"), Imports: []string{ours("internal/retry")}}, "internal/flight imports internal/retry, which is not below it"},
		{"a leaf on a module", goPackage{ImportPath: ours("internal/cobblestone"), Deps: []string{"golang.org/x/crypto/hkdf"}}, "internal/cobblestone links golang.org/x/crypto/hkdf"},
		{"root on what is above it", goPackage{ImportPath: module, Imports: []string{ours("internal/keyring")}}, ". imports internal/keyring, which is not below it"},
		{"root on a module by a detour", goPackage{ImportPath: module, Deps: []string{"golang.org/x/sys/unix"}}, ". links golang.org/x/sys/unix"},
		{"keyring on keydir", goPackage{ImportPath: ours("internal/keyring"), Imports: []string{ours("internal/keydir")}}, "internal/keyring imports internal/keydir, which is not below it"},
		{"local on encryption", goPackage{ImportPath: ours("local"), Imports: []string{ours("encryption")}}, "local imports encryption, which is not below it"},
		{"encryption on mock", goPackage{ImportPath: ours("encryption"), Imports: []string{ours("mock")}}, "encryption imports mock, which is not below it"},
		{"admin on a backend", goPackage{ImportPath: ours("admin"), Imports: []string{ours("vault")}}, "admin imports vault, which is not below it"},
		{"local on backend", goPackage{ImportPath: ours("local"), Imports: []string{ours("backend")}}, "local imports backend, which is not below it"},
		{"root with net/http", goPackage{ImportPath: module, Deps: []string{"net/http"}}, ". links net/http"},
		{"local with net/http", goPackage{ImportPath: ours("local"), Deps: []string{"net/http"}}, "local links net/http"},
		{"mock with net/http", goPackage{ImportPath: ours("mock"), Deps: []string{"net/http"}}, "mock links net/http"},
		{"encryption with net/http", goPackage{ImportPath: ours("encryption"), Deps: []string{"net/http"}}, "encryption links net/http"},
		{"hashicorp outside vault", goPackage{ImportPath: ours("local"), Imports: []string{"github.com/hashicorp/vault/api"}}, "local imports github.com/hashicorp/vault/api"},
		{"memguard outside secret", goPackage{ImportPath: ours("local"), Imports: []string{"github.com/awnumar/memguard"}}, "local imports github.com/awnumar/memguard"},
		{"memguard in the tests of others", goPackage{ImportPath: ours("local"), XTestImports: []string{"github.com/awnumar/memguard"}}, "local imports github.com/awnumar/memguard"},
		{"testify in code", goPackage{ImportPath: ours("mock"), Imports: []string{"github.com/stretchr/testify/require"}}, "mock imports github.com/stretchr/testify/require"},
		{"a module nobody knows", goPackage{ImportPath: ours("mock"), TestImports: []string{"example.com/new"}}, "mock imports example.com/new"},
		{"a module with a known beginning", goPackage{ImportPath: ours("vault"), Imports: []string{"github.com/hashicorpse/x"}}, "vault imports github.com/hashicorpse/x"},
		{"backendtest on a helper", goPackage{ImportPath: ours("backend/backendtest"), Imports: []string{ours("internal/encctx")}}, "backend/backendtest imports internal/encctx, want only the root package"},
		{"backendtest with a module", goPackage{ImportPath: ours("backend/backendtest"), Deps: []string{"github.com/stretchr/testify/require"}}, "backend/backendtest links github.com/stretchr/testify/require"},
	}
	standard := []goPackage{{ImportPath: "fmt", Standard: true}, {ImportPath: "net/http", Standard: true}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			require.Equal(t, want, importViolations(append(standard, tt.pkg)))
		})
	}
}
