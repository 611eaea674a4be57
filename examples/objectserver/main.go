// Objectserver is an S3 server whose objects are encrypted by this library: a gateway of somebody else's, with the encryption put in front
// of its storage.
//
//	go run .                      serves https://127.0.0.1:9443 and keeps everything in the directory data
//	go run . -vault URL -vault-token-file FILE
//	                              with the master keys in the Transit engine of Vault or OpenBao
//
// Read server.go next, then put.go and get.go: those are the encryption of an S3 server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// settings are what the command line says.
type settings struct {
	dir, listen, region string
	tls, bucketKeys     bool
	encryption          string

	vault, vaultTokenFile, vaultMount, vaultKVMount, vaultNamespace, vaultCA string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "objectserver:", err)
		os.Exit(1)
	}
}

// run is the program: it serves until the context ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("objectserver", flag.ContinueOnError)
	flags.StringVar(&s.dir, "dir", "data", "keep keys, credentials and objects in this `directory`")
	flags.StringVar(&s.listen, "listen", "127.0.0.1:9443", "`address` to serve; port 0 takes a free one")
	flags.StringVar(&s.region, "region", "us-east-1", "`region` that clients sign for")
	flags.BoolVar(&s.tls, "tls", true, "serve TLS; without it SSE-C is refused")
	flags.BoolVar(&s.bucketKeys, "bucket-keys", false, "let the objects of a bucket share data keys for 5 minutes")
	flags.StringVar(&s.encryption, "encryption", "on", "`on` or off; off stores plaintext and is for measuring only")
	flags.StringVar(&s.vault, "vault", "", "`URL` of a Vault or OpenBao server to keep the master keys in")
	flags.StringVar(&s.vaultTokenFile, "vault-token-file", "", "`file` with the token for it")
	flags.StringVar(&s.vaultMount, "vault-mount", "transit", "`mount` of its Transit engine")
	flags.StringVar(&s.vaultKVMount, "vault-kv-mount", "secret", "`mount` of its KV engine, version 2")
	flags.StringVar(&s.vaultNamespace, "vault-namespace", "", "`namespace` of both")
	flags.StringVar(&s.vaultCA, "vault-ca", "", "`file` with the certificates of its authority")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%d arguments besides flags, want none", flags.NArg())
	}
	if s.encryption != "on" && s.encryption != "off" {
		return fmt.Errorf("-encryption is %q, want on or off", s.encryption)
	}
	// The gateway changes the working directory to that of the objects.
	for _, path := range []*string{&s.dir, &s.vaultTokenFile, &s.vaultCA} {
		if *path != "" {
			var err error
			if *path, err = filepath.Abs(*path); err != nil {
				return err
			}
		}
	}
	return serve(ctx, s, out)
}
