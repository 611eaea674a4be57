package s3client

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// script makes a program that does what the text says.
func script(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
	return path
}

func TestFindPassesOverWhatDoesNotWork(t *testing.T) {
	broken, works := script(t, "s3tool", "exit 1"), script(t, "s3tool", `test "$1" = --version`)
	t.Setenv("PATH", filepath.Dir(broken)+string(filepath.ListSeparator)+filepath.Dir(works))
	got, err := find("s3tool", "--version")
	require.NoError(t, err)
	require.Equal(t, works, got)

	_, err = find("s3tool", "--other")
	require.ErrorIs(t, err, ErrAbsent)
	_, err = find("another", "--version")
	require.ErrorIs(t, err, ErrAbsent)
}

func TestToolsAreEndedWhenTheyWouldTryAgain(t *testing.T) {
	// Unless all is fine, the program does not end by itself.
	program := tool{path: script(t, "s3tool", `echo "$1" >&2; echo done; test "$1" = fine || exec tail -f /dev/null`), dir: t.TempDir(), retries: "Retrying"}
	out, err := program.run(t.Context(), "fine")
	require.NoError(t, err)
	require.Equal(t, "done\n", string(out))
	_, err = program.run(t.Context(), "Retrying, says the tool")
	require.ErrorContains(t, err, "Retrying, says the tool")
}

func TestReadReturnsWhatAToolHasLeft(t *testing.T) {
	program := tool{dir: t.TempDir()}
	body, err := program.read(func(file string) error { return os.WriteFile(file, []byte("all"), 0o600) })
	require.NoError(t, err)
	require.Equal(t, "all", string(body))
	body, err = program.read(func(file string) error {
		require.NoError(t, os.WriteFile(file, []byte("part"), 0o600))
		return os.ErrDeadlineExceeded
	})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Equal(t, "part", string(body))
	_, err = program.read(func(string) error { return nil })
	require.ErrorIs(t, err, os.ErrNotExist, "success without a file, which is not that of the call before")
}
