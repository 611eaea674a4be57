// Vaultd is a real Vault server for tests: Vault's own core, built from its Go modules, with the engines, auth methods and
// storages that the tests use, and none of the plug-ins for clouds and databases.
//
// It must be initialized and unsealed through its API, like any Vault. It is for tests only: memory is not locked.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/objectkms/kms/e2e/vaultd/options"
)

func main() {
	opts, err := options.Parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "vaultd", Level: hclog.LevelFromString(opts.LogLevel), Output: os.Stderr})
	if err == nil {
		err = run(opts, logger)
	}
	if err != nil {
		logger.Error("cannot go on", "error", err)
		os.Exit(1)
	}
}

// run serves until a signal comes, or standard input ends where the server is tethered to it.
func run(opts options.Options, logger hclog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if opts.Tethered {
		ctx = tether(ctx, os.Stdin)
	}
	s, err := start(opts, logger)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return s.stop()
}

// tether returns a context that ends when r does: the process that holds the other end of a pipe is gone then, even if it was killed.
func tether(ctx context.Context, r io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, r)
		cancel()
	}()
	return ctx
}
