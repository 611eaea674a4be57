package vault

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

func TestRedirects(t *testing.T) {
	at := func(text string) *url.URL {
		u, err := url.Parse(text)
		require.NoError(t, err)
		return u
	}
	tests := []struct {
		name, from, location string
		plain, follow        bool
	}{
		{"to the leader", "https://a:8200/v1/k", "https://b:8200/v1/k", false, true},
		{"a relative one", "https://a:8200/v1/k", "/v1/k", false, true},
		{"from loopback to the leader", "http://127.0.0.1:8100/v1/k", "https://b:8200/v1/k", false, true},
		{"from loopback to loopback", "http://127.0.0.1:8200/v1/k", "http://[::1]:8202/v1/k", false, true},
		{"in clear where that is allowed", "http://a/v1/k", "http://b/v1/k", true, true},
		{"in clear from https", "https://a/v1/k", "http://b/v1/k", true, false},
		{"in clear from https to loopback", "https://a/v1/k", "http://localhost/v1/k", false, false},
		{"from loopback in clear", "http://127.0.0.1/v1/k", "http://b/v1/k", false, false},
		{"to another path", "https://a/v1/k", "https://b/v1/sys/seal", false, false},
		{"to the path in another spelling", "https://a/v1/k/l", "https://b/v1/k%2fl", false, false},
		{"with a query", "https://a/v1/k", "https://b/v1/k?list=true", false, false},
		{"with a password", "https://a/v1/k", "https://u:p@b/v1/k", false, false},
		{"to another scheme", "https://a/v1/k", "ftp://b/v1/k", false, false},
		{"nowhere", "https://a/v1/k", "", false, false},
		{"to no URL", "https://a/v1/k", "https://%zz/", false, false},
		{"to no host", "https://a/v1/k", "https:///v1/k", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := (&client{plain: tt.plain}).leader(at(tt.from), tt.location)
			if tt.follow {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, kms.ErrUnavailable)
			require.NotContains(t, err.Error(), "u:p")
		})
	}
}

func TestAStandbyThatNamesItsLeader(t *testing.T) {
	var tokens []string
	var body string
	leader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		tokens, body = append(tokens, r.Method+" "+r.Header.Get(tokenHeader)), string(raw)
		io.WriteString(w, `{"data":{"value":"led"}}`)
	}))
	defer leader.Close()
	target := leader.URL
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target+r.URL.Path, http.StatusTemporaryRedirect)
	})
	var out result
	require.NoError(t, c.do(t.Context(), "POST", "transit/keys/k", map[string]int{"n": 1}, &out))
	require.Equal(t, "led", out.Data.Value)
	require.Equal(t, []string{"POST hvs.token"}, tokens)
	require.JSONEq(t, `{"n":1}`, body)

	target = strings.TrimSuffix(c.base.String(), "/") // the standby again
	err := c.do(t.Context(), "POST", "transit/keys/k", nil, &out)
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.ErrorContains(t, err, "307")
	target = "http://vault.example"
	require.ErrorContains(t, c.do(t.Context(), "POST", "transit/keys/k", nil, &out), "want https://")
	require.Len(t, tokens, 1)
}
