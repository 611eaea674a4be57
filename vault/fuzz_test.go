package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

func FuzzAnswer(f *testing.F) {
	for _, body := range []string{``, `{}`, `{"errors":[]}`, `{"errors":["x"]}`, `{"errors":null}`, `{"errors":[1]}`, `{"data":null}`, `{"data":{"value":"v"}}`, `<html>`, `[`, `null`, `"x"`, "\x00", `{"data":{"value":7}}`} {
		for _, status := range []int{200, 204, 307, 400, 403, 404, 412, 429, 500, 503} {
			f.Add(status, body, "1")
		}
	}
	f.Add(200, "\v{}", "1")
	f.Add(200, "{}\u00a0", "1")
	f.Add(204, "\v", "1")
	f.Add(204, " \r\n", "1")
	f.Add(500, `{"errors":["invalid secret id"]}`, "1")
	f.Add(500, `{"errors":["x: file name too long "]}`, "1")
	f.Fuzz(func(t *testing.T, status int, body, after string) {
		resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}}
		whole := json.Valid([]byte(body))
		a, err := newAnswer(resp, []byte(body), &request{})
		if err == nil {
			var out result
			err = a.decode(&out)
		}
		switch {
		case err == nil:
			require.True(t, status >= 200 && status <= 299 && (whole || status == 204 && strings.Trim(body, " \t\r\n") == ""), "a success is a whole one")
		case !whole:
			require.ErrorIs(t, err, kms.ErrUnavailable, "nothing follows from half an answer")
		case errors.Is(err, kms.ErrKeyNotFound):
			require.Equal(t, 404, status)
		case errors.Is(err, kms.ErrPermission):
			require.True(t, status == 401 || status == 403 || status == 500 && strings.Contains(errorsIn(body), "invalid secret id"), "answer %d", status)
		case errors.Is(err, kms.ErrInvalidRequest):
			require.True(t, isClientError(status) || status == 500 && strings.Contains(errorsIn(body), "file name too long"), "answer %d", status)
		default:
			require.ErrorIs(t, err, kms.ErrUnavailable)
		}
		require.GreaterOrEqual(t, retryAfter(resp.Header), seconds(0))
	})
}

// errorsIn returns the messages of an answer, as lines.
func errorsIn(body string) string {
	var said struct {
		Errors []string `json:"errors"`
	}
	json.Unmarshal([]byte(body), &said)
	return strings.Join(said.Errors, "\n")
}

func FuzzMessages(f *testing.F) {
	f.Add("permission denied", "hvs.token-of-some-length", "c2VjcmV0IHBsYWludGV4dA==")
	f.Add("echo hvs.token-of-some-length", "hvs.token-of-some-length", "x")
	f.Add("tokentoken-token", "token-to", "to")
	f.Add(strings.Repeat("é", 400), "12345678", "12345678")
	f.Add("hvs.tok\xffen-of-some-length"+strings.Repeat(" x", 200), "hvs.token-of-some-length", "x")
	f.Add("value-onevalue-one", "secret][secret", "value-one")
	f.Fuzz(func(t *testing.T, message, token, value string) {
		body, err := json.Marshal(map[string]any{"batch": []any{map[string]string{"plaintext": value}}})
		require.NoError(t, err)
		for _, m := range redact([]string{message, token, value}, &request{token: token, body: body}) {
			require.LessOrEqual(t, len(m), maxMessageSize+len("…"))
			require.NotContains(t, m, "\n")
			if checkToken([]byte(token)) == nil && len(token) >= minSecretSize && !strings.Contains(redacted, token) {
				require.NotContains(t, strings.ReplaceAll(m, redacted, "\x00"), token)
			}
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, a := range []string{"", "https://vault.example:8200", "http://[::1%25lo]:1", "https://u:p@h", "https://h/p", "HTTPS://H", "https://h:99999", "https://h:", "//h", "https:h", "https://h?#", "http://127.1", "https://[::]"} {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, address string) {
		u, err := parseAddress(address)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			return
		}
		require.Equal(t, url.URL{Scheme: u.Scheme, Host: u.Host}, *u, "an address is a scheme and a host")
		again, err := parseAddress(u.String())
		require.NoError(t, err)
		require.Equal(t, u, again)
	})
}

func FuzzPath(f *testing.F) {
	for _, path := range []string{"secret/data/objectkms/keys/k", "..", "a/../b", "a//b", "a?b", "a%2e%2e/b", "/a", "a/", "", "a\x00b", "é"} {
		f.Add(path)
	}
	base := &url.URL{Scheme: "https", Host: "vault.example", Path: "/"}
	f.Fuzz(func(t *testing.T, path string) {
		req, err := newRequest("GET", path, nil)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
			return
		}
		require.Equal(t, "https://vault.example/v1/"+path, base.JoinPath("v1", req.path).String(), "what is sent is what was checked")
	})
}

// A key that material is wrapped for is one of RSA, of a size that is still good.
func FuzzWrappingKey(f *testing.F) {
	for _, key := range testWrappingKeys(f) {
		f.Add(key)
	}
	f.Add("")
	f.Add("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := parseWrappingKey(text)
		if err != nil {
			require.Nil(t, key)
			return
		}
		require.GreaterOrEqual(t, key.N.BitLen(), minWrappingKey)
		require.LessOrEqual(t, key.N.BitLen(), maxWrappingKey)
		der, err := x509.MarshalPKIXPublicKey(key)
		require.NoError(t, err)
		again, err := parseWrappingKey(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
		require.NoError(t, err)
		require.True(t, key.Equal(again))
		_, _ = wrapForImport(key, make([]byte, 32)) // a strange exponent is an error, and no panic
	})
}

// testWrappingKeys returns public keys as PEM: one that may be used, one that is too small, and one that is not RSA.
func testWrappingKeys(f *testing.F) (texts []string) {
	good, small := new(big.Int).Lsh(big.NewInt(1), minWrappingKey-1), new(big.Int).Lsh(big.NewInt(1), 2047)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(f, err)
	for _, public := range []any{
		&rsa.PublicKey{N: good.Add(good, big.NewInt(1)), E: 65537}, &rsa.PublicKey{N: small.Add(small, big.NewInt(1)), E: 65537}, &curve.PublicKey,
	} {
		der, err := x509.MarshalPKIXPublicKey(public)
		require.NoError(f, err)
		texts = append(texts, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	}
	return texts
}

func FuzzRedirect(f *testing.F) {
	for _, to := range []string{"", "https://b/v1/k", "http://b/v1/k", "/v1/k", "//b/v1/k", "https://b/v1/../k", "https://u@b/v1/k", "https://b/v1%2fk", "\x00"} {
		f.Add(to)
	}
	from := &url.URL{Scheme: "https", Host: "a", Path: "/v1/k"}
	f.Fuzz(func(t *testing.T, location string) {
		to, err := (&client{}).leader(from, location)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrUnavailable)
			return
		}
		require.Equal(t, "https", to.Scheme)
		require.NotEmpty(t, to.Hostname())
		require.Nil(t, to.User)
		require.Equal(t, "/v1/k", to.EscapedPath())
		require.Empty(t, to.RawQuery)
	})
}
