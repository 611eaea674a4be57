package vault

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/objectkms/kms"
)

const (
	maxConcurrentLimit = 10000
	maxPathSize        = 512 // bytes of a mount, prefix or namespace
	maxAddressSize     = 512 // bytes; a host has 253 at most
)

// Validate checks the configuration without any I/O. Errors wrap ErrInvalidConfig.
func (c Config) Validate() error {
	address, err := parseAddress(c.Address)
	if err != nil {
		return err
	}
	if err := c.checkPlainHTTP(address); err != nil {
		return err
	}
	if c.Auth == nil {
		return fmt.Errorf("%w: no authentication method", kms.ErrInvalidConfig)
	}
	if err := c.TLS.validate(address.Scheme == "https"); err != nil {
		return err
	}
	if _, is := c.Auth.(CertAuth); is && c.TLS.CertFile == "" {
		return fmt.Errorf("%w: no client certificate to log in with", kms.ErrInvalidConfig)
	}
	return c.validateRest()
}

// validateFor checks the configuration of a backend over a client of the caller's at address, which has TLS settings of its own.
func (c Config) validateFor(address *url.URL) error {
	if c.Address != "" {
		return fmt.Errorf("%w: an address is given beside a client, which has its own", kms.ErrInvalidConfig)
	}
	if c.TLS != (TLS{}) {
		return fmt.Errorf("%w: TLS settings are given beside a client, which has its own", kms.ErrInvalidConfig)
	}
	if err := c.checkPlainHTTP(address); err != nil {
		return err
	}
	return c.validateRest()
}

// validateRest checks what does not depend on where the server is.
func (c Config) validateRest() error {
	if c.Engine != Transit && c.Engine != KV2 {
		return fmt.Errorf("%w: engine is %d, want Transit (%d) or KV2 (%d)", kms.ErrInvalidConfig, c.Engine, Transit, KV2)
	}
	paths := []struct{ what, path string }{
		{"namespace", c.Namespace}, {"Transit mount", c.TransitMount}, {"KV mount", c.KVMount}, {"key prefix", c.KeyPrefix},
	}
	for _, p := range paths {
		if err := checkPath(p.what, p.path); err != nil {
			return err
		}
	}
	if full := c.withDefaults(); c.Engine == Transit && full.TransitMount == full.KVMount {
		return fmt.Errorf("%w: Transit and KV are mounted both at %q, want two mounts", kms.ErrInvalidConfig, full.KVMount)
	}
	if c.MaxConcurrent < 0 || c.MaxConcurrent > maxConcurrentLimit {
		return fmt.Errorf("%w: %d requests at once, want 0 to %d", kms.ErrInvalidConfig, c.MaxConcurrent, maxConcurrentLimit)
	}
	if c.Auth == nil {
		return nil
	}
	return c.Auth.validate()
}

// parseAddress checks an address. Errors do not repeat it, since it could hold a password.
func parseAddress(address string) (*url.URL, error) {
	if address == "" {
		return nil, fmt.Errorf("%w: no address", kms.ErrInvalidConfig)
	}
	if len(address) > maxAddressSize {
		return nil, fmt.Errorf("%w: address has %d bytes, want at most %d", kms.ErrInvalidConfig, len(address), maxAddressSize)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: address is no URL, want https://host or https://host:port", kms.ErrInvalidConfig)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%w: address does not begin with https:// or http://", kms.ErrInvalidConfig)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%w: address has no host", kms.ErrInvalidConfig)
	case !isHost(u.Hostname()):
		return nil, fmt.Errorf("%w: host of the address is %q, want a name in ASCII or an IP address", kms.ErrInvalidConfig, u.Hostname())
	case u.User != nil:
		return nil, fmt.Errorf("%w: address holds a user name or password, want none", kms.ErrInvalidConfig)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%w: address of %q has a path or query, want none", kms.ErrInvalidConfig, u.Host)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%w: port of the address is %s, want 1 to 65535", kms.ErrInvalidConfig, port)
		}
	}
	u.Path = ""
	return u, nil
}

func isHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == "" || isSegment(ip.Zone())
	}
	return isSegment(host)
}

func (c Config) checkPlainHTTP(address *url.URL) error {
	if address.Scheme != "https" && !isLoopback(address.Hostname()) && !c.AllowPlainHTTP {
		return fmt.Errorf("%w: address of %q is http://, want https:// for a host that is not this one, or AllowPlainHTTP", kms.ErrInvalidConfig, address.Host)
	}
	return nil
}

// isLoopback reports whether a host is this machine by its name or address alone.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (t TLS) validate(https bool) error {
	switch {
	case !https && t != (TLS{}):
		return fmt.Errorf("%w: TLS settings are given for an http:// address", kms.ErrInvalidConfig)
	case t.CertFile != "" && t.KeyFile == "":
		return fmt.Errorf("%w: a client certificate is given without its key", kms.ErrInvalidConfig)
	case t.CertFile == "" && t.KeyFile != "":
		return fmt.Errorf("%w: the key of a client certificate is given without the certificate", kms.ErrInvalidConfig)
	}
	return nil
}

// checkPath checks a mount, a prefix or a namespace, where one is given: segments of letters, digits and . _ - with single slashes between
// them. No path that begins with one leads out of it.
func checkPath(what, path string) error {
	if path == "" {
		return nil
	}
	if len(path) > maxPathSize {
		return fmt.Errorf("%w: %s has %d bytes, want at most %d", kms.ErrInvalidConfig, what, len(path), maxPathSize)
	}
	if !isPath(path) {
		return fmt.Errorf("%w: %s is %q, want letters, digits and . _ - between single slashes", kms.ErrInvalidConfig, what, path)
	}
	return nil
}

// isPath reports whether a path consists of segments that lead down, and of nothing else.
func isPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if !isSegment(segment) {
			return false
		}
	}
	return true
}

// isSegment reports whether s may stand between two slashes of a path, and leads nowhere else.
func isSegment(s string) bool {
	if s == "" || s == "." || s == ".." {
		return false
	}
	for _, c := range []byte(s) {
		alphanumeric := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alphanumeric && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
