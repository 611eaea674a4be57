package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// credentials are what clients need to be let in. They are made at the first start.
type credentials struct{ AccessKey, SecretKey, AdminToken string }

// makeDirectories makes the data directory and those in it.
func makeDirectories(dir string) error {
	for _, d := range []string{dir, filepath.Join(dir, "objects"), filepath.Join(dir, "versions"), filepath.Join(dir, "tls")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// setUp makes what is missing in the data directory. Every file takes its name when it is complete, so that a start that was killed is
// simply repeated.
func setUp(dir string) (c credentials, err error) {
	if err := makeCertificates(filepath.Join(dir, "tls")); err != nil {
		return c, err
	}
	path := filepath.Join(dir, "credentials.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c = credentials{AccessKey: "KMS" + rand.Text()[:17], SecretKey: rand.Text() + rand.Text(), AdminToken: rand.Text()}
		if text, err = json.Marshal(c); err == nil {
			err = writeFile(path, text)
		}
		return c, err
	}
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

// makeCertificates makes an authority and the server's certificate, unless there is one that is good for a while. Nobody keeps the key of the authority.
func makeCertificates(dir string) error {
	if old, err := os.ReadFile(filepath.Join(dir, "server.pem")); err == nil {
		if block, _ := pem.Decode(old); block != nil {
			if c, err := x509.ParseCertificate(block.Bytes); err == nil && time.Until(c.NotAfter) > 30*24*time.Hour {
				return nil
			}
		}
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "objectserver's own authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, authorityKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{{"ca.pem", "CERTIFICATE", authorityDER}, {"server.key", "PRIVATE KEY", keyDER}, {"server.pem", "CERTIFICATE", serverDER}} {
		if err := writeFile(filepath.Join(dir, f.name), pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})); err != nil {
			return err
		}
	}
	return nil
}

// writeClientEnv writes what a shell needs to be a client.
func writeClientEnv(s Settings, c credentials, url, defaultKeyID string) error {
	lines := []string{"AWS_ENDPOINT_URL", url, "AWS_ACCESS_KEY_ID", c.AccessKey, "AWS_SECRET_ACCESS_KEY", c.SecretKey, "AWS_DEFAULT_REGION", s.region,
		"KMS_ADMIN_URL", url + adminPrefix, "KMS_ADMIN_TOKEN", c.AdminToken, "KMS_DEFAULT_KEY_ID", defaultKeyID}
	if s.tls {
		lines = append(lines, "AWS_CA_BUNDLE", filepath.Join(s.Dir, "tls", "ca.pem"))
	}
	var text strings.Builder
	text.WriteString("unset AWS_PROFILE AWS_SESSION_TOKEN\n") // of another account
	for i := 0; i < len(lines); i += 2 {
		fmt.Fprintf(&text, "export %s='%s'\n", lines[i], strings.ReplaceAll(lines[i+1], "'", `'\''`))
	}
	return writeFile(filepath.Join(s.Dir, "client.env"), []byte(text.String()))
}

// writeFile puts a file in the place of an earlier one, whole or not at all.
func writeFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
