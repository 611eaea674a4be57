package backend_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/backend"
)

func configDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/CONFIG.md")
	require.NoError(t, err)
	return string(text)
}

// blocks returns the code blocks of a kind.
func blocks(text, kind string) []string {
	var found []string
	for _, block := range regexp.MustCompile("(?s)```"+kind+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		found = append(found, block[1])
	}
	return found
}

func TestTheDocumentsInTheDocs(t *testing.T) {
	documents := blocks(configDoc(t), "json")
	require.Len(t, documents, 10)
	for _, doc := range documents {
		cfg := parse(t, doc)
		written, err := backend.MarshalConfig(cfg)
		require.NoError(t, err)
		requireSame(t, cfg, parse(t, string(written.Bytes())))
	}
}

func TestThePatchesInTheDocs(t *testing.T) {
	patches := blocks(configDoc(t), "json patch")
	require.Len(t, patches, 4)
	for _, patch := range patches {
		_, err := backend.Merge(runningVault(), []byte(patch))
		require.NoError(t, err, patch)
	}
}

func TestTheVariablesInTheDocs(t *testing.T) {
	environments := blocks(configDoc(t), "sh")
	require.Len(t, environments, 2)
	for _, lines := range environments {
		setenv(t, strings.Split(strings.ReplaceAll(strings.TrimSpace(lines), "'", ""), "\n")...)
		_, err := backend.ConfigFromEnv()
		require.NoError(t, err, lines)
	}
}

// The tables name every field and every variable, and nothing else.
func TestTheTablesInTheDocsAreComplete(t *testing.T) {
	var fields, variables []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(configDoc(t), -1) {
		for _, name := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[1], -1) {
			switch {
			case strings.HasPrefix(name[1], "KMS_"):
				variables = append(variables, name[1])
			case regexp.MustCompile("^[a-z_]+$").MatchString(name[1]) && name[1] != "local" && name[1] != "vault":
				fields = append(fields, name[1])
			}
		}
	}
	require.ElementsMatch(t, backend.FieldNames(), fields)
	require.ElementsMatch(t, backend.VariableNames(), variables)
}

// The table of variables says which field each stands for.
func TestTheTableOfVariablesIsRight(t *testing.T) {
	text := configDoc(t)
	for name, path := range backend.VariablePaths() {
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + name + "`[^|]*\\| `" + regexp.QuoteMeta(path) + "`")
		require.Regexp(t, row, text)
	}
}
