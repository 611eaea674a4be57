package vault_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

func secret(text string) *kms.Secret { return kms.NewSecret([]byte(text)) }

func valid() vault.Config {
	return vault.Config{Address: "https://vault.example:8200", Auth: vault.TokenAuth{Token: secret("hvs.token")}}
}

func TestConfigurationsThatAreValid(t *testing.T) {
	certificate := vault.TLS{CertFile: "cert.pem", KeyFile: "key.pem"}
	tests := map[string]func(c *vault.Config){
		"as little as possible":        func(*vault.Config) {},
		"no port":                      func(c *vault.Config) { c.Address = "https://vault.example" },
		"a slash":                      func(c *vault.Config) { c.Address = "https://vault.example/" },
		"the longest address":          func(c *vault.Config) { c.Address = "https://" + strings.Repeat("a", 504) },
		"IPv6":                         func(c *vault.Config) { c.Address = "https://[2001:db8::1]:8200" },
		"IPv6 with a zone":             func(c *vault.Config) { c.Address = "https://[fe80::1%25eth0]:8200" },
		"plain HTTP on 127.0.0.1":      func(c *vault.Config) { c.Address = "http://127.0.0.1:8200" },
		"plain HTTP on 127.8.7.6":      func(c *vault.Config) { c.Address = "http://127.8.7.6:8200" },
		"plain HTTP on ::1":            func(c *vault.Config) { c.Address = "http://[::1]:8200" },
		"plain HTTP on localhost":      func(c *vault.Config) { c.Address = "http://LocalHost:8200" },
		"plain HTTP where allowed":     func(c *vault.Config) { c.Address, c.AllowPlainHTTP = "http://vault.example", true },
		"all of TLS":                   func(c *vault.Config) { c.TLS = vault.TLS{"ca.pem", "cert.pem", "key.pem", "vault", true} },
		"a namespace of a namespace":   func(c *vault.Config) { c.Namespace = "admin/team-1" },
		"mounts and a prefix":          func(c *vault.Config) { c.TransitMount, c.KVMount, c.KeyPrefix = "a/b", "kv_2", "x.y/z" },
		"KV2 where Transit could be":   func(c *vault.Config) { c.Engine, c.KVMount = vault.KV2, "transit" },
		"one request at once":          func(c *vault.Config) { c.MaxConcurrent = 1 },
		"a token file":                 func(c *vault.Config) { c.Auth = vault.TokenFileAuth{Path: "/run/token"} },
		"AppRole":                      func(c *vault.Config) { c.Auth = vault.AppRoleAuth{RoleID: "r", SecretID: secret("s")} },
		"AppRole with a file":          func(c *vault.Config) { c.Auth = vault.AppRoleAuth{Mount: "a/b", RoleID: "r", SecretIDFile: "f"} },
		"Kubernetes":                   func(c *vault.Config) { c.Auth = vault.KubernetesAuth{Role: "r"} },
		"a certificate":                func(c *vault.Config) { c.Auth, c.TLS = vault.CertAuth{}, certificate },
		"a certificate and more of it": func(c *vault.Config) { c.Auth, c.TLS = vault.CertAuth{Mount: "m", Name: "n"}, certificate },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			c := valid()
			change(&c)
			require.NoError(t, c.Validate())
		})
	}
}

func TestConfigurationsThatAreNot(t *testing.T) {
	address := func(a string) func(c *vault.Config) { return func(c *vault.Config) { c.Address = a } }
	auth := func(a vault.Auth) func(c *vault.Config) { return func(c *vault.Config) { c.Auth = a } }
	tests := map[string]struct {
		change func(c *vault.Config)
		text   string
	}{
		"no address":              {address(""), "no address"},
		"a longer address":        {address("https://" + strings.Repeat("a", 505)), "address has 513 bytes, want at most 512"},
		"no scheme":               {address("vault.example:8200"), "does not begin with https://"},
		"a host alone":            {address("vault.example"), "does not begin with https://"},
		"a socket":                {address("unix:///run/vault.sock"), "does not begin with https://"},
		"no host":                 {address("https://"), "has no host"},
		"a port alone":            {address("https://:8200"), "has no host"},
		"no URL":                  {address("https://pass word@[x"), "is no URL"},
		"a name beyond ASCII":     {address("https://täst.example"), "want a name in ASCII"},
		"a name with a blank":     {address("https://a%20b"), "no URL"},
		"a strange zone":          {address("https://[fe80::1%25a%20b]"), "want a name in ASCII or an IP address"},
		"a password":              {address("https://user:hush@vault.example"), "user name or password"},
		"a path":                  {address("https://vault.example/v1"), "path or query"},
		"a query":                 {address("https://vault.example?x"), "path or query"},
		"an empty query":          {address("https://vault.example?"), "path or query"},
		"a fragment":              {address("https://vault.example#x"), "path or query"},
		"port 0":                  {address("https://vault.example:0"), "port of the address is 0, want 1 to 65535"},
		"port 65536":              {address("https://vault.example:65536"), "want 1 to 65535"},
		"plain HTTP":              {address("http://vault.example"), `"vault.example" is http://, want https://`},
		"plain HTTP to a trap":    {address("http://localhost.example"), "want https://"},
		"plain HTTP to 10.0.0.1":  {address("http://10.0.0.1"), "want https://"},
		"plain HTTP to everybody": {address("http://0.0.0.0"), "want https://"},
		"an engine":               {func(c *vault.Config) { c.Engine = 2 }, "engine is 2, want Transit (0) or KV2 (1)"},
		"no method":               {auth(nil), "no authentication method"},
		"no token":                {auth(vault.TokenAuth{}), "token has 0 bytes, want 1 to 8192"},
		"a line break":            {auth(vault.TokenAuth{Token: secret("hvs.hush\n")}), "at index 8, want printable ASCII"},
		"a long token":            {auth(vault.TokenAuth{Token: secret(strings.Repeat("x", 8193))}), "token has 8193 bytes"},
		"no token file":           {auth(vault.TokenFileAuth{}), "no path of the token file"},
		"no role id":              {auth(vault.AppRoleAuth{SecretID: secret("s")}), "no role id"},
		"no secret id":            {auth(vault.AppRoleAuth{RoleID: "r"}), "neither a secret id nor a file"},
		"an empty secret id":      {auth(vault.AppRoleAuth{RoleID: "r", SecretID: secret("")}), "secret id is empty"},
		"two secret ids":          {auth(vault.AppRoleAuth{RoleID: "r", SecretID: secret("s"), SecretIDFile: "f"}), "both a secret id and a file"},
		"a mount of AppRole":      {auth(vault.AppRoleAuth{Mount: "../sys", RoleID: "r", SecretID: secret("s")}), "mount of AppRole"},
		"no role":                 {auth(vault.KubernetesAuth{}), "no role of Kubernetes"},
		"a mount of Kubernetes":   {auth(vault.KubernetesAuth{Mount: "/k", Role: "r"}), "mount of Kubernetes"},
		"no certificate":          {auth(vault.CertAuth{}), "no client certificate"},
		"a mount of cert": {func(c *vault.Config) {
			c.Auth, c.TLS = vault.CertAuth{Mount: "c/"}, vault.TLS{CertFile: "c", KeyFile: "k"}
		}, "mount of cert"},
		"no key":             {func(c *vault.Config) { c.TLS.CertFile = "c" }, "without its key"},
		"only a key":         {func(c *vault.Config) { c.TLS.KeyFile = "k" }, "without the certificate"},
		"TLS of plain HTTP":  {func(c *vault.Config) { c.Address, c.TLS.CAFile = "http://127.0.0.1", "ca" }, "TLS settings are given for an http:// address"},
		"one mount for both": {func(c *vault.Config) { c.KVMount = "transit" }, `Transit and KV are mounted both at "transit"`},
		"negative requests":  {func(c *vault.Config) { c.MaxConcurrent = -1 }, "-1 requests at once, want 0 to 10000"},
		"too many requests":  {func(c *vault.Config) { c.MaxConcurrent = 10001 }, "want 0 to 10000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			err := c.Validate()
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			require.ErrorContains(t, err, tt.text)
			require.NotContains(t, err.Error(), "hush")
		})
	}
}

func TestPathsThatLeaveTheirMount(t *testing.T) {
	fields := map[string]func(c *vault.Config, path string){
		"namespace":     func(c *vault.Config, path string) { c.Namespace = path },
		"Transit mount": func(c *vault.Config, path string) { c.TransitMount = path },
		"KV mount":      func(c *vault.Config, path string) { c.KVMount = path },
		"key prefix":    func(c *vault.Config, path string) { c.KeyPrefix = path },
	}
	for name, set := range fields {
		for _, path := range []string{"/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a b", "a?b", "a#b", "a%2fb", "a\\b", "a\n", "a\r\nX-Vault-Token: b", "ä", "a:b", "*", strings.Repeat("a", 513)} {
			c := valid()
			set(&c, path)
			err := c.Validate()
			require.ErrorIs(t, err, kms.ErrInvalidConfig, path)
			require.ErrorContains(t, err, name)
		}
		c := valid()
		set(&c, strings.Repeat("a", 512))
		require.NoError(t, c.Validate())
	}
}
