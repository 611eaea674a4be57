// Package options reads the command line of the test server. It imports nothing of Vault, so that it is tested in a second.
package options

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
)

// The kinds of storage.
const (
	InMemory = "inmem" // gone when the process ends
	File     = "file"  // a directory
	Raft     = "raft"  // a directory for each node of a cluster
)

// Options says how the server runs.
type Options struct {
	Listen   string // host and port of the API; port 0: any
	AddrFile string // written with the API's URL once it listens; may be empty
	Storage  string // InMemory, File or Raft
	Path     string // the directory of File and Raft
	Node     string // the node's name, Raft only
	Cluster  string // host and port at which other nodes find this one, Raft only
	TLSCert  string // PEM files; without them the API is plain HTTP
	TLSKey   string
	LogLevel string // of hclog
	Tethered bool   // end when standard input does
}

// Parse reads and checks a command line. What is wrong with it, and the help, are also written to out.
func Parse(args []string, out io.Writer) (Options, error) {
	var o Options
	flags := flag.NewFlagSet("vaultd", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:0", "`host:port` of the API")
	flags.StringVar(&o.AddrFile, "addr-file", "", "`file` to write the API's URL to once it listens")
	flags.StringVar(&o.Storage, "storage", InMemory, "inmem, file or raft")
	flags.StringVar(&o.Path, "path", "", "`directory` of file and raft storage")
	flags.StringVar(&o.Node, "node", "", "`name` of this raft node")
	flags.StringVar(&o.Cluster, "cluster", "", "`host:port` of this raft node for the others")
	flags.StringVar(&o.TLSCert, "tls-cert", "", "PEM `file` with the certificate of the API")
	flags.StringVar(&o.TLSKey, "tls-key", "", "PEM `file` with its private key")
	flags.StringVar(&o.LogLevel, "log", "warn", "trace, debug, info, warn or error")
	flags.BoolVar(&o.Tethered, "tethered", false, "end when standard input does")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if flags.NArg() > 0 {
		return Options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, o.validate()
}

func (o Options) validate() error {
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return errors.New("-tls-cert and -tls-key go together")
	}
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	switch o.Storage {
	case InMemory:
		if o.Path != "" {
			return errors.New("-path is for storage file and raft")
		}
	case File, Raft:
		if o.Path == "" {
			return fmt.Errorf("storage %s needs -path", o.Storage)
		}
	default:
		return fmt.Errorf("storage is %q, want inmem, file or raft", o.Storage)
	}
	return o.validateCluster()
}

func (o Options) validateCluster() error {
	if o.Storage != Raft {
		if o.Node != "" || o.Cluster != "" {
			return errors.New("-node and -cluster are for storage raft")
		}
		return nil
	}
	if o.Node == "" {
		return errors.New("storage raft needs -node")
	}
	if _, _, err := net.SplitHostPort(o.Cluster); err != nil {
		return fmt.Errorf("-cluster: %w", err)
	}
	return nil
}
