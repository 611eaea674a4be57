package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates that live for an hour.
type Authority struct {
	File string // its own certificate, PEM

	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

// KeyPair is a certificate with its private key, as PEM files.
type KeyPair struct{ CertFile, KeyFile string }

// NewAuthority makes an authority that only this test knows.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	template := newTemplate(t, "authority of a test")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	a := &Authority{dir: t.TempDir(), cert: template}
	a.key = newKey(t)
	a.cert = a.sign(t, template, a.key.Public())
	a.File = a.write(t, "authority.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

// Issue makes a certificate for 127.0.0.1 and localhost, with which both a server and a client can show who they are. name is
// its common name and that of its files, so that a second one of a name replaces the first.
func (a *Authority) Issue(t testing.TB, name string) KeyPair {
	t.Helper()
	template := newTemplate(t, name)
	template.DNSNames, template.IPAddresses = []string{"localhost", name}, []net.IP{net.IPv4(127, 0, 0, 1)}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	key := newKey(t)
	cert := a.sign(t, template, key.Public())
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err, "encoding a private key")
	return KeyPair{
		CertFile: a.write(t, name+".pem", "CERTIFICATE", cert.Raw),
		KeyFile:  a.write(t, name+".key", "PRIVATE KEY", der),
	}
}

func (a *Authority) sign(t testing.TB, template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	must(t, err, "signing a certificate")
	cert, err := x509.ParseCertificate(der)
	must(t, err, "parsing a certificate")
	return cert
}

func (a *Authority) write(t testing.TB, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600), "writing a PEM file")
	return path
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err, "making a private key")
	return key
}

func newTemplate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	must(t, err, "making a serial number")
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
	}
}
