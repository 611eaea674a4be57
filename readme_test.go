package kms_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What README.md shows is part of an example that is compiled and run.
func TestTheCodeInTheReadmeIsFromExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, blocks)

	examples := ""
	for _, pattern := range []string{"example*_test.go", "*/example*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			examples += withoutIndent(string(text))
		}
	}
	for _, block := range blocks {
		require.Contains(t, examples, withoutIndent(block[1]))
	}
}

// Every file, directory and heading that the documents link to is there.
func TestLinksOfTheDocumentsLeadSomewhere(t *testing.T) {
	for _, document := range documents(t) {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		require.Empty(t, brokenLinks(t, document, string(text)), document)
	}
}

func documents(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return append(found, "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
}

// brokenLinks returns the links of a document to what is not there. Links to other hosts are not followed.
func brokenLinks(t *testing.T, document, text string) []string {
	t.Helper()
	var broken []string
	for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
		if strings.Contains(link[1], ":") {
			continue
		}
		path, anchor, anchored := strings.Cut(link[1], "#")
		linked := document
		if path != "" {
			linked = filepath.Join(filepath.Dir(document), path)
		}
		if _, err := os.Stat(linked); err != nil || anchored && !slices.Contains(anchors(t, linked), anchor) {
			broken = append(broken, link[1])
		}
	}
	return broken
}

// anchors returns the anchors that the headings of a document have on GitHub.
func anchors(t *testing.T, document string) []string {
	t.Helper()
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	var found []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ +(.+)$`).FindAllStringSubmatch(string(text), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found = append(found, strings.ReplaceAll(strings.TrimSpace(name), " ", "-"))
	}
	return found
}

func TestBrokenLinksAreFound(t *testing.T) {
	require.Equal(t, []string{"NO.md", "#nowhere", "SECURITY.md#nowhere"}, brokenLinks(t, "docs/S3.md",
		"[a](NO.md) [b](#nowhere) [c](SECURITY.md#nowhere) [d](../README.md) [e](SECURITY.md#not-covered) [f](https://example.com/x)"))
}

func withoutIndent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, "\t ")
	}
	return strings.Join(lines, "\n")
}
