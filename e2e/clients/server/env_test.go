package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadEnv(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       map[string]string // nil: an error
	}{
		{"two lines", "export A='b c'\nexport D=''\n", map[string]string{"A": "b c", "D": ""}},
		{"a comment and an empty line", "# of the server\n\nexport A='='\n", map[string]string{"A": "="}},
		{"what is unset", "unset A B\nexport C='d'\n", map[string]string{"C": "d"}},
		{"no export", "A='b'\n", nil},
		{"no quotes", "export A=b\n", nil},
		{"one quote", "export A='\n", nil},
		{"no value", "export A\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "client.env")
			require.NoError(t, os.WriteFile(file, []byte(tt.text), 0o600))
			got, err := readEnv(file)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.want == nil, err != nil, "%v", err)
		})
	}
}

func TestAFlippedBitIsFlippedBack(t *testing.T) {
	s := &Server{Dir: t.TempDir()}
	file := s.ObjectFile("bucket", "a/key")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte("abcd"), 0o600))
	content := func() string {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(text)
	}
	for at, want := range map[float64]string{0: "`bcd", 1: "abce"} {
		back := s.Flip(t, "bucket", "a/key", at)
		require.Equal(t, want, content())
		back()
		require.Equal(t, "abcd", content())
	}
	back := s.Cut(t, "bucket", "a/key")
	require.Equal(t, "ab", content())
	back()
	require.Equal(t, "abcd", content())
}
