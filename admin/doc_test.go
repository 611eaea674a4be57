package admin_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/admin"
)

func apiDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/HTTP-API.md")
	require.NoError(t, err)
	return string(text)
}

// Every example is an instance of the schema that stands beside it.
func TestTheExamplesInTheDocs(t *testing.T) {
	doc := document(t)
	shown := map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```json (\\w+)\n(.*?)```").FindAllStringSubmatch(apiDoc(t), -1) {
		s, ok := doc.Components.Schemas[block[1]]
		require.True(t, ok, block[1])
		doc.requireFits(t, s, block[2])
		shown[block[1]] = true
	}
	for name := range doc.Components.Schemas {
		switch name {
		case "Empty", "State", "Counts", "Summary", "KeyMetadata": // in others
		default:
			require.True(t, shown[name], "no example of %s", name)
		}
	}
}

func TestTheTablesInTheDocsHaveEveryRoute(t *testing.T) {
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:GET|POST|DELETE) [^`]*)` \\|").FindAllStringSubmatch(apiDoc(t), -1) {
		documented = append(documented, row[1])
	}
	require.ElementsMatch(t, admin.Routes(), documented)
}

// The codes of errors are those in the table.
func TestTheTableOfErrors(t *testing.T) {
	documented := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d\d\d) \| (.*) \|`).FindAllStringSubmatch(apiDoc(t), -1) {
		for _, code := range regexp.MustCompile("`([A-Z]\\w+)`").FindAllStringSubmatch(row[2], -1) {
			if code[1] != "Allow" {
				documented[code[1]] = row[1]
			}
		}
	}
	require.Equal(t, documented, admin.Codes())
}

func TestNoExampleHasASecretInAnAnswer(t *testing.T) {
	require.NotContains(t, strings.ReplaceAll(apiDoc(t), "`plaintext_key`", ""), "plaintext_key")
}
