package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/vault"

	"github.com/objectkms/kms/e2e/vaultd/options"
)

// stopTimeout is how long requests may go on after the server was told to stop.
const stopTimeout = 3 * time.Second

// A server is Vault's core with its HTTP API.
type server struct {
	core *vault.Core
	http *http.Server
}

// start listens, starts the core, and writes where it listens.
func start(opts options.Options, logger hclog.Logger) (*server, error) {
	listener, url, err := listen(opts)
	if err != nil {
		return nil, err
	}
	core, err := newCore(opts, url, logger)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	handler, err := handle(core, opts)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &server{
		core: core,
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		},
	}
	go s.http.Serve(listener)
	return s, announce(opts.AddrFile, url)
}

// listen opens the port of the API. Clients may show a certificate, which the cert auth method checks.
func listen(opts options.Options) (listener net.Listener, url string, err error) {
	listener, err = net.Listen("tcp", opts.Listen)
	if err != nil {
		return nil, "", err
	}
	if opts.TLSCert == "" {
		return listener, "http://" + listener.Addr().String(), nil
	}
	pair, err := tls.LoadX509KeyPair(opts.TLSCert, opts.TLSKey)
	if err != nil {
		return nil, "", errors.Join(err, listener.Close())
	}
	secured := tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequestClientCert,
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	})
	return secured, "https://" + listener.Addr().String(), nil
}

// handle returns the handler of the API, which also answers what other nodes forward.
func handle(core *vault.Core, opts options.Options) (http.Handler, error) {
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core: core,
		ListenerConfig: &configutil.Listener{
			MaxRequestSize:     vaulthttp.DefaultMaxRequestSize,
			MaxRequestDuration: vault.DefaultMaxRequestDuration,
		},
	})
	if opts.Cluster == "" {
		return handler, nil
	}
	address, err := net.ResolveTCPAddr("tcp", opts.Cluster)
	if err != nil {
		return nil, fmt.Errorf("cluster address: %w", err)
	}
	core.SetClusterListenerAddrs([]*net.TCPAddr{address})
	core.SetClusterHandler(handler)
	return handler, nil
}

// announce writes the URL in one step, so that no reader sees half of it.
func announce(file, url string) error {
	if file == "" {
		_, err := fmt.Println(url)
		return err
	}
	if err := os.WriteFile(file+".tmp", []byte(url), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

// stop ends the API and seals the core.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(s.http.Shutdown(ctx), s.core.Shutdown())
}
