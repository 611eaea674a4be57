package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// requestTimeout is for the requests of tests themselves, where mounting an engine may take a second on a busy machine.
const requestTimeout = 30 * time.Second

// newClient returns a client that takes nothing from the environment, repeats no request and keeps no connection: who looks for
// goroutines that were left behind finds none of its.
func newClient(t testing.TB, url, caFile, token string) *api.Client {
	t.Helper()
	roots, err := readAuthority(caFile)
	must(t, err, "reading the server's authority")
	client, err := api.NewClient(&api.Config{
		Address:          url,
		Timeout:          requestTimeout,
		DisableRedirects: true,
		HttpClient: &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		}},
	})
	must(t, err, "making a client")
	client.SetToken(token)
	client.ClearNamespace()
	return client
}

// readAuthority returns the certificates of a PEM file, or nil, which means the system's, where there is none.
func readAuthority(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return roots, nil
}
