// Objectserver is an S3 server whose objects are encrypted by this library.
//
//	go run .                      serves https://127.0.0.1:9443 and keeps everything in the directory data
//	go run . -vault URL -vault-token-file FILE
//	                              with the master keys in the Transit engine of Vault or OpenBao
//
// It is meant to be read, in this order: put.go, get.go, copy.go, multipart.go, encryptionconfig.go, keys.go. That is all an S3 server has to do
// about encryption. Package gateway is the rest of the server.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"time"

	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/examples/objectserver/gateway"
	"github.com/objectkms/kms/vault"
)

// settings are what the command line says.
type settings struct {
	gateway.Settings
	bucketKeys bool
	vault      vault.Config
	token      vault.TokenFileAuth
}

func main() { gateway.Main(run) }

// run is the program: it serves until the context ends.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var s settings
	flags := flag.NewFlagSet("objectserver", flag.ContinueOnError)
	s.AddTo(flags)
	flags.BoolVar(&s.bucketKeys, "bucket-keys", false, "let the objects of a bucket share data keys for 5 minutes")
	flags.StringVar(&s.vault.Address, "vault", "", "`URL` of a Vault or OpenBao server to keep the master keys in")
	flags.StringVar(&s.token.Path, "vault-token-file", "", "`file` with the token for it")
	flags.StringVar(&s.vault.TransitMount, "vault-mount", "transit", "`mount` of its Transit engine")
	flags.StringVar(&s.vault.KVMount, "vault-kv-mount", "secret", "`mount` of its KV engine, version 2")
	flags.StringVar(&s.vault.Namespace, "vault-namespace", "", "`namespace` of both")
	flags.StringVar(&s.vault.TLS.CAFile, "vault-ca", "", "`file` with the certificates of its authority")
	if err := s.Parse(flags, args, &s.token.Path, &s.vault.TLS.CAFile); err != nil {
		return err
	}
	keys, err := openKeys(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Stop(context.WithoutCancel(ctx))) }()
	options := encryption.Options{}
	if s.bucketKeys {
		options.BucketKeys.TTL = 5 * time.Minute
	}
	return gateway.Serve(ctx, s.Settings, &objects{encryption.NewService(keys, options), s.bucketKeys}, adminHandler(keys), defaultKeyID, out)
}
