package faults

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/faultproxy"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/vault"
)

// hostileIDs are what somebody may send as a key id to get out of a mount, or to another path in it.
func hostileIDs() []string {
	return []string{
		"../sys/seal", "..", ".", "./k", "k/..", "k/../../sys/seal", "/sys/seal", "//k", "k/rotate", "k/config",
		"%2e%2e/sys/seal", "%2e%2e%2fsys%2fseal", "k%2frotate", "k%00", "..%252f", `..\sys\seal`, "k?version=1", "k#fragment", "k;a=b",
		"k\x00", "k\n", "k\r\nX-Vault-Token: x", " k", "k ", "k+k", "k&k", "k*", "{k}", "schlüssel", "k\u202e", "\xff", strings.Repeat("k", 129),
		"-k", "_k", ".k",
	}
}

// oddIDs are unusual and allowed.
func oddIDs() []string {
	return []string{
		"a..b", "a.-_", "0", "Key", "key", "KEY", "sys.seal", "config", "keys", "rotate", "a...", "a-", "a_", "x.json",
		strings.Repeat("k", 128), "metadata", "root", "history", "data", "versions", "random", "hash", "1.2.3",
	}
}

func TestHostileKeyIDsNeverLeaveTheirMount(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		p, m := startProxy(t)
		b := open(t, m.Config(engine))
		create(t, b, "k")
		key, err := sample.New(t.Context(), b, "k", nil)
		require.NoError(t, err)
		p.Forget()
		for _, id := range hostileIDs() {
			for _, op := range operations() {
				switch op.name {
				case "HealthCheck", "ListKeys", "Decrypt":
					continue
				}
				require.ErrorIs(t, op.call(t.Context(), b, id, key.Ciphertext), kms.ErrInvalidRequest, "%s of %q", op.name, id)
			}
		}
		require.Empty(t, p.Requests(), "no hostile id is sent")

		for _, id := range oddIDs() {
			create(t, b, id)
			made, err := sample.New(t.Context(), b, id, nil)
			require.NoError(t, err, id)
			require.NoError(t, made.Open(t.Context(), b), id)
			require.NoError(t, first(b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: id})), id)
			require.NoError(t, made.Open(t.Context(), b), id)
		}
		list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
		require.NoError(t, err)
		require.Len(t, list.Keys, 1+len(oddIDs()))
		for _, id := range oddIDs() {
			require.NoError(t, first(b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})), id)
		}
		require.NoError(t, key.Open(t.Context(), b))
		require.Empty(t, outside(p, m.Transit, m.KV))
	})
}

// outside returns the requests that went to other paths than those of the mounts and of the token.
func outside(p *faultproxy.Proxy, mounts ...string) (uris []string) {
	for _, r := range p.Requests() {
		inside := strings.HasPrefix(r.URI, "/v1/auth/token/") || r.URI == "/v1/sys/health"
		for _, mount := range mounts {
			inside = inside || strings.HasPrefix(r.URI, "/v1/"+mount+"/")
		}
		if !inside || strings.Contains(r.URI, "..") && !strings.Contains(r.URI, "a..b") && !strings.Contains(r.URI, "a...") || strings.Contains(r.URI, "%") {
			uris = append(uris, r.URI)
		}
	}
	return uris
}

// Blobs are hostile, too: the key id in them decides where they are sent.
func TestHostileBlobsNeverLeaveTheirMount(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		p, m := startProxy(t)
		b := open(t, m.Config(engine))
		create(t, b, "kkkkkkkkkkk")
		key, err := sample.New(t.Context(), b, "kkkkkkkkkkk", nil)
		require.NoError(t, err)
		require.Contains(t, string(key.Ciphertext), "kkkkkkkkkkk")
		p.Forget()
		for _, id := range []string{"../sys/seal", "..%2fsysseal", "k/../../k/k", "k?kkkkkkkkk", "kkkkkkkkkk\x00", "kkkkkkkkkkl"} {
			blob := []byte(strings.Replace(string(key.Ciphertext), "kkkkkkkkkkk", (id + "           ")[:11], 1))
			err := opens(context.WithoutCancel(t.Context()), b, blob)
			require.Error(t, err, id)
			require.NotErrorIs(t, err, kms.ErrUnavailable, id)
		}
		require.Empty(t, outside(p, m.Transit, m.KV))
	})
}

func TestHostileMountsAreRefused(t *testing.T) {
	_, m := startProxy(t)
	for _, path := range []string{"..", "a/..", "a//b", "/a", "a/", "a%2fb", "a?b", "a#b", "a b", "ä", "a\x00"} {
		for _, set := range []func(*vault.Config){
			func(c *vault.Config) { c.TransitMount = path },
			func(c *vault.Config) { c.KVMount = path },
			func(c *vault.Config) { c.KeyPrefix = path },
		} {
			config := m.Config(vault.Transit)
			set(&config)
			require.ErrorIs(t, config.Validate(), kms.ErrInvalidConfig, path)
			_, err := config.Open(t.Context())
			require.ErrorIs(t, err, kms.ErrInvalidConfig, path)
		}
	}
}
