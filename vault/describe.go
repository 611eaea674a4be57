package vault

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/objectkms/kms"
)

var _ kms.ConfigDescriber = Config{}

// Identity names the server by its address, the namespace, the mounts of the engine and the prefix of the records. It implements [kms.ConfigDescriber].
//
// One server under two addresses counts as two.
func (c Config) Identity() string {
	records := fmt.Sprintf("%q/%q", mountName(cmp.Or(c.KVMount, "secret")), mountName(cmp.Or(c.KeyPrefix, "objectkms")))
	identity := fmt.Sprintf("%q namespace %q records %s", bareAddress(c.Address), mountName(c.Namespace), records)
	if c.Engine == Transit {
		identity += fmt.Sprintf(" transit %q", mountName(cmp.Or(c.TransitMount, "transit")))
	}
	return identity
}

// mountName returns a path as the server knows it, without slashes around it.
func mountName(path string) string { return strings.Trim(path, "/") }

// bareAddress returns the address without credentials, with its scheme and host in lower case.
func bareAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "malformed"
	}
	bare := url.URL{Scheme: strings.ToLower(u.Scheme), Host: strings.ToLower(u.Host), Path: strings.TrimRight(u.Path, "/")}
	return bare.String()
}

// Settings returns how the process logs in and how the connection is protected. It implements [kms.ConfigDescriber].
func (c Config) Settings() map[string]string {
	settings := map[string]string{
		"allow_insecure":  strconv.FormatBool(c.AllowPlainHTTP),
		"skip_tls_verify": strconv.FormatBool(c.TLS.InsecureSkipVerify),
	}
	set := func(name, value string) {
		if value != "" {
			settings[name] = value
		}
	}
	set("ca_cert", c.TLS.CAFile)
	set("client_cert", c.TLS.CertFile)
	set("server_name", c.TLS.ServerName)
	if c.Auth == nil {
		return settings
	}
	set("auth", c.Auth.method())
	switch auth := c.Auth.(type) {
	case TokenFileAuth:
		set("token_file", auth.Path)
	case AppRoleAuth:
		set("auth_mount", cmp.Or(auth.Mount, "approle"))
		set("secret_id_file", auth.SecretIDFile)
	case KubernetesAuth:
		set("auth_mount", cmp.Or(auth.Mount, "kubernetes"))
		set("role", auth.Role)
	case CertAuth:
		set("auth_mount", cmp.Or(auth.Mount, "cert"))
		set("role", auth.Name)
	}
	return settings
}
