package encryption_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a server may call has its place in docs/S3.md. What every type of its kind has is not repeated there, nor are the operations on keys.
func TestTheDocumentationForServersNamesEveryFunction(t *testing.T) {
	text, err := os.ReadFile("../docs/S3.md")
	require.NoError(t, err)
	ofEveryType := []string{"Close", "Read", "ReadAt", "WriteTo", "Error", "Unwrap", "String", "MarshalText", "UnmarshalText", "Mode", "KeyID", "BucketKey", "PlainSize", "StoredSize"}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	named := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "bucketkey_changes.go" || file == "keyservice.go" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || slices.Contains(ofEveryType, f.Name.Name) || !isPublic(f.Recv) {
				continue
			}
			named++
			if !strings.Contains(string(text), f.Name.Name) {
				t.Errorf("docs/S3.md does not name %s of %s", f.Name.Name, file)
			}
		}
	}
	require.Greater(t, named, 35)
}

// isPublic reports whether a receiver, if there is one, is of an exported type.
func isPublic(receiver *ast.FieldList) bool {
	if receiver == nil {
		return true
	}
	of := receiver.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	name, ok := of.(*ast.Ident)
	return ok && name.IsExported()
}
