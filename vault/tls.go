package vault

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/objectkms/kms"
)

// Times of connections.
const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 90 * time.Second
	pingAfter        = 5 * time.Second // of silence on an HTTP/2 connection with requests under way
	pingTimeout      = 5 * time.Second
)

const maxHeaderSize = 64 << 10 // bytes of a response's header

// newTransport returns the connections to the server. It reads the files of cfg.TLS; errors wrap ErrInvalidConfig.
func newTransport(cfg Config) (*http.Transport, error) {
	config, err := cfg.TLS.load()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    handshakeTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           cfg.MaxConcurrent + spareConns,
		MaxIdleConnsPerHost:    cfg.MaxConcurrent + spareConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderSize,
		// All requests share one HTTP/2 connection: without pings they would go on waiting on one whose other end is gone.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}, nil
}

// spareConns are for logins and health checks, which do not wait for others.
const spareConns = 4

// load reads the files.
func (t TLS) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify} // #nosec G402 -- off unless the operator asks for it
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%w: file of authorities: %w", kms.ErrInvalidConfig, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: file of authorities %s holds no certificate in PEM", kms.ErrInvalidConfig, t.CAFile)
		}
	}
	if t.CertFile != "" {
		if _, err := t.clientCertificate(nil); err != nil {
			return nil, fmt.Errorf("%w: %w", kms.ErrInvalidConfig, err)
		}
		config.GetClientCertificate = t.clientCertificate
	}
	return config, nil
}

// clientCertificate reads the client's certificate, which may have been replaced since the last handshake.
func (t TLS) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s: %w", t.CertFile, err)
	}
	return &certificate, nil
}
