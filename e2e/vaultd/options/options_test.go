package options_test

import (
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/objectkms/kms/e2e/vaultd/options"
)

func parse(line string) (options.Options, error) {
	return options.Parse(strings.Fields(line), io.Discard)
}

func TestDefaults(t *testing.T) {
	got, err := parse("")
	want := options.Options{Listen: "127.0.0.1:0", Storage: options.InMemory, LogLevel: "warn"}
	if err != nil || got != want {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestEveryFlag(t *testing.T) {
	got, err := parse("-listen 127.0.0.1:1 -addr-file a -storage raft -path p -node n -cluster 127.0.0.1:2 -tls-cert c -tls-key k -log info -tethered")
	want := options.Options{
		Listen: "127.0.0.1:1", AddrFile: "a", Storage: options.Raft, Path: "p", Node: "n", Cluster: "127.0.0.1:2",
		TLSCert: "c", TLSKey: "k", LogLevel: "info", Tethered: true,
	}
	if err != nil || got != want {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestWrongCommandLines(t *testing.T) {
	for line, want := range map[string]string{
		"-nonsense":                           "flag provided but not defined",
		"word":                                `unexpected argument "word"`,
		"-tls-cert c":                         "go together",
		"-tls-key k":                          "go together",
		"-listen 127.0.0.1":                   "-listen: ",
		"-storage disk":                       `storage is "disk"`,
		"-storage file":                       "needs -path",
		"-storage raft -path p":               "needs -node",
		"-storage raft -path p -node n":       "-cluster: ",
		"-path p":                             "-path is for",
		"-node n":                             "are for storage raft",
		"-storage file -path p -cluster :1":   "are for storage raft",
		"-storage raft -node n -cluster :1":   "needs -path",
		"-storage raft -path p -cluster :1":   "needs -node",
		"-storage file -path p -tls-cert c":   "go together",
		"-storage inmem -path p -listen :0":   "-path is for",
		"-storage file -path p -listen nope ": "-listen: ",
	} {
		if _, err := parse(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	if _, err := options.Parse([]string{"-h"}, &out); err != flag.ErrHelp || !strings.Contains(out.String(), "-addr-file") {
		t.Fatalf("got %v and %q", err, out.String())
	}
}
