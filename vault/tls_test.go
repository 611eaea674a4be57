package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// An authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, file, "CERTIFICATE", der)
	return &authority{certificate, key, file}
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// sign makes a certificate for a name and writes it and its key into dir.
func (a *authority) sign(t *testing.T, dir, name string, ips ...net.IP) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: ips,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", private)
	return certFile, keyFile
}

// serveTLS starts a server with a certificate for 127.0.0.1 and one name.
func serveTLS(t *testing.T, ca *authority, name string, handler http.HandlerFunc, change func(*tls.Config)) *httptest.Server {
	t.Helper()
	certFile, keyFile := ca.sign(t, t.TempDir(), name, net.IPv4(127, 0, 0, 1))
	if name != "localhost" {
		certFile, keyFile = ca.sign(t, t.TempDir(), name)
	}
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(aroundTokens(handler))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if change != nil {
		change(server.TLS)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func ok(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{}`) }

// tryDial opens a client with a token, which may fail.
func tryDial(t *testing.T, cfg Config) error {
	t.Helper()
	cfg.Auth = TokenAuth{kms.NewSecret([]byte("hvs.token"))}
	require.NoError(t, cfg.Validate())
	c, err := newClient(t.Context(), cfg)
	if err == nil {
		c.close()
	}
	return err
}

func TestWhichServersAreTrusted(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	here := serveTLS(t, ca, "localhost", ok, nil)
	named := serveTLS(t, ca, "vault.example", ok, nil)
	old := serveTLS(t, ca, "localhost", ok, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	tests := []struct {
		name   string
		server *httptest.Server
		tls    TLS
		ok     bool
	}{
		{"its authority", here, TLS{CAFile: ca.file}, true},
		{"the system's authorities", here, TLS{}, false},
		{"another authority", here, TLS{CAFile: other.file}, false},
		{"another name", named, TLS{CAFile: ca.file}, false},
		{"the name that is wanted", named, TLS{CAFile: ca.file, ServerName: "vault.example"}, true},
		{"a name that is not", named, TLS{CAFile: ca.file, ServerName: "evil.example"}, false},
		{"anybody", named, TLS{InsecureSkipVerify: true}, true},
		{"TLS 1.1", old, TLS{CAFile: ca.file}, false},
		{"TLS 1.1 of anybody", old, TLS{InsecureSkipVerify: true}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tryDial(t, Config{Address: tt.server.URL, TLS: tt.tls})
			if tt.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, kms.ErrUnavailable)
		})
	}
}

func TestHTTP2IsSpoken(t *testing.T) {
	ca := newAuthority(t)
	var proto string
	server := serveTLS(t, ca, "localhost", func(w http.ResponseWriter, r *http.Request) {
		proto = r.Proto
		io.WriteString(w, `{}`)
	}, nil)
	c := dial(t, Config{Address: server.URL, TLS: TLS{CAFile: ca.file}})
	require.NoError(t, c.do(t.Context(), "GET", "a", nil, nil))
	require.Equal(t, "HTTP/2.0", proto)
}

func TestAClientCertificateIsReadAgainAtEachHandshake(t *testing.T) {
	ca := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	var who string
	server := serveTLS(t, ca, "localhost", func(w http.ResponseWriter, r *http.Request) {
		who = r.TLS.PeerCertificates[0].Subject.CommonName
		io.WriteString(w, `{}`)
	}, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, pool })
	dir := t.TempDir()
	certFile, keyFile := ca.sign(t, dir, "first")
	c := dial(t, Config{Address: server.URL, TLS: TLS{CAFile: ca.file, CertFile: certFile, KeyFile: keyFile}})
	require.NoError(t, c.do(t.Context(), "GET", "a", nil, nil))
	require.Equal(t, "first", who)
	ca.sign(t, dir, "second")
	c.http.CloseIdleConnections()
	require.NoError(t, c.do(t.Context(), "GET", "a", nil, nil))
	require.Equal(t, "second", who)
	require.NoError(t, os.Remove(keyFile))
	c.http.CloseIdleConnections()
	require.ErrorIs(t, c.do(t.Context(), "GET", "a", nil, nil), kms.ErrUnavailable)

	require.ErrorIs(t, tryDial(t, Config{Address: server.URL, TLS: TLS{CAFile: ca.file}}), kms.ErrUnavailable, "without a certificate")
}

func TestFilesOfTLSThatCannotBeUsed(t *testing.T) {
	ca := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile := ca.sign(t, dir, "client")
	otherCert, _ := ca.sign(t, t.TempDir(), "other")
	none, empty := filepath.Join(dir, "none"), filepath.Join(dir, "empty")
	write(t, empty, "")
	tests := map[string]TLS{
		"no authorities":               {CAFile: none},
		"an empty file of authorities": {CAFile: empty},
		"a key in the place of them":   {CAFile: keyFile},
		"no certificate":               {CertFile: none, KeyFile: keyFile},
		"no key":                       {CertFile: certFile, KeyFile: none},
		"an empty certificate":         {CertFile: empty, KeyFile: keyFile},
		"the key of another":           {CertFile: otherCert, KeyFile: keyFile},
	}
	for name, settings := range tests {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, tryDial(t, Config{Address: "https://127.0.0.1:1", TLS: settings}), kms.ErrInvalidConfig)
		})
	}
}

func TestAnUnsafeWayIsLogged(t *testing.T) {
	ca := newAuthority(t)
	server := serveTLS(t, ca, "localhost", ok, nil)
	var log journal
	require.NoError(t, tryDial(t, Config{Address: server.URL, TLS: TLS{CAFile: ca.file}, Logger: log.logger()}))
	require.Empty(t, log.String())
	require.NoError(t, tryDial(t, Config{Address: server.URL, TLS: TLS{InsecureSkipVerify: true}, Logger: log.logger()}))
	require.Contains(t, log.String(), "level=WARN")
	require.Contains(t, log.String(), "certificates are not checked")

	log = journal{}
	require.Error(t, tryDial(t, Config{Address: "http://vault.invalid", AllowPlainHTTP: true, Logger: log.logger()}))
	require.Contains(t, log.String(), "cross the network in clear")
	log = journal{}
	require.Error(t, tryDial(t, Config{Address: "http://127.0.0.1:1", AllowPlainHTTP: true, Logger: log.logger()}))
	require.Empty(t, log.String())
}

// What the environment says of proxies is read once in a process, so this runs in one of its own.
func TestTheProxyOfTheEnvironment(t *testing.T) {
	if os.Getenv("HTTP_PROXY") == "" {
		var got string
		proxy := httptest.NewServer(aroundTokens(func(w http.ResponseWriter, r *http.Request) {
			got = r.URL.String()
			io.WriteString(w, `{}`)
		}))
		defer proxy.Close()
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheProxyOfTheEnvironment$", "-test.v")
		command.Env = append(os.Environ(), "HTTP_PROXY="+proxy.URL, "NO_PROXY=direct.invalid")
		out, err := command.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, "http://vault.invalid/v1/a", got)

		command = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheProxyOfTheEnvironment$", "-test.v")
		command.Env = append(os.Environ(), "HTTP_PROXY=http://user:hush@127.0.0.1:1", "EXPECT_ERROR=1")
		out, err = command.CombinedOutput()
		require.NoError(t, err, string(out))
		require.NotContains(t, string(out), "hush")
		return
	}
	cfg := Config{Address: "http://vault.invalid", AllowPlainHTTP: true}
	if os.Getenv("EXPECT_ERROR") != "" {
		err := tryDial(t, cfg)
		t.Log(err)
		require.ErrorIs(t, err, kms.ErrUnavailable)
		require.ErrorContains(t, err, "proxyconnect")
		return
	}
	c := dial(t, cfg)
	require.NoError(t, c.do(t.Context(), "GET", "a", nil, nil))
	cfg.Address = "http://direct.invalid"
	require.Error(t, tryDial(t, cfg))
}
