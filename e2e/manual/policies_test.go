// Package manual does what docs/VAULT.md says, to the letter.
package manual

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// policies returns the policies of the page by the names of their files.
func policies(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/VAULT.md")
	require.NoError(t, err)
	found := make(map[string]string)
	block := regexp.MustCompile("(?s)\n### [^\n`]*`([^\n`]+)\\.hcl`[^\n]*\n\n```hcl\n(.*?)```")
	for _, match := range block.FindAllStringSubmatch(string(page), -1) {
		found[match[1]] = match[2]
	}
	require.Equal(t, strings.Count(string(page), "```hcl"), len(found), "policies without a name")
	return found
}

// A manual is a server that was set up as the page says.
type manual struct {
	*testenv.Mounts
	policies map[string]string
}

func setUp(t *testing.T) manual {
	t.Helper()
	return manual{testenv.StartServer(t, testenv.ServerOptions{}).DefaultMounts(t), policies(t)}
}

// as returns the configuration of somebody who has logged in by AppRole, with some of the policies.
func (m manual) as(t *testing.T, engine vault.Engine, names ...string) vault.Config {
	t.Helper()
	var written []string
	for _, name := range names {
		rules, ok := m.policies[name]
		require.True(t, ok, "the page has no policy %s", name)
		written = append(written, m.Policy(t, rules))
	}
	role := m.NewRole(t, strings.Join(written, ","), time.Hour, 24*time.Hour)
	return vault.Config{
		Address: m.Address,
		Auth:    vault.AppRoleAuth{Mount: role.Mount, RoleID: role.ID, SecretID: kms.NewSecret([]byte(role.SecretID))},
		Engine:  engine,
	}
}

func open(t *testing.T, config kms.BackendConfig) *vault.Backend {
	t.Helper()
	b, err := config.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b.(*vault.Backend)
}

func create(t *testing.T, b *vault.Backend, id string) sample.DataKey {
	t.Helper()
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
	key, err := sample.New(t.Context(), b, id, nil)
	require.NoError(t, err)
	return key
}

// A step is one operation on the key "k".
type step struct {
	name string
	do   func(ctx context.Context, b *vault.Backend) error
}

// uses are what a server does for objects.
func uses(key sample.DataKey) []step {
	return []step{
		{"HealthCheck", func(ctx context.Context, b *vault.Backend) error { return b.HealthCheck(ctx) }},
		{"GenerateDataKey", func(ctx context.Context, b *vault.Backend) error { return second(sample.New(ctx, b, "k", nil)) }},
		{"GenerateDataKey without plaintext", func(ctx context.Context, b *vault.Backend) error {
			return second(b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "k", WithoutPlaintext: true}))
		}},
		{"Encrypt", func(ctx context.Context, b *vault.Backend) error {
			return second(b.Encrypt(ctx, &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("text")}))
		}},
		{"Decrypt", func(ctx context.Context, b *vault.Backend) error { return key.Open(ctx, b) }},
		{"RewrapDataKeys", rewrap(kms.RewrapItem{Ciphertext: key.Ciphertext})},
		{"RewrapDataKeys to another context", rewrap(kms.RewrapItem{Ciphertext: key.Ciphertext, To: kms.EncryptionContext{"a": "b"}})},
	}
}

func rewrap(item kms.RewrapItem) func(context.Context, *vault.Backend) error {
	return func(ctx context.Context, b *vault.Backend) error {
		done, err := b.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{KeyID: "k", Items: []kms.RewrapItem{item}})
		if err != nil {
			return err
		}
		return done.Items[0].Err
	}
}

// looks are allowed to everybody.
func looks() []step {
	return []step{
		{"DescribeKey", func(ctx context.Context, b *vault.Backend) error {
			return second(b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "k"}))
		}},
		{"ListKeys", func(ctx context.Context, b *vault.Backend) error {
			return second(b.ListKeys(ctx, &kms.ListKeysRequest{}))
		}},
	}
}

// changes are what an administrator does, in this order.
func changes() []step {
	return []step{
		{"CreateKey", func(ctx context.Context, b *vault.Backend) error {
			return second(b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "new"}))
		}},
		{"ImportKey", func(ctx context.Context, b *vault.Backend) error {
			material := kms.NewSecret([]byte(strings.Repeat("m", 32)))
			defer material.Destroy()
			return second(b.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: "imported", Material: material}))
		}},
		{"RotateKey", func(ctx context.Context, b *vault.Backend) error {
			return second(b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: "k"}))
		}},
		{"UpdateKeyDescription", func(ctx context.Context, b *vault.Backend) error {
			return second(b.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: "k", Description: "d"}))
		}},
		{"TagKey", func(ctx context.Context, b *vault.Backend) error {
			return second(b.TagKey(ctx, &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"a": "b"}}))
		}},
		{"DisableKey", func(ctx context.Context, b *vault.Backend) error {
			return second(b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: "k"}))
		}},
		{"DeleteKey", func(ctx context.Context, b *vault.Backend) error {
			return second(b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k"}))
		}},
		{"DeleteKey at once", func(ctx context.Context, b *vault.Backend) error {
			return second(b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"}))
		}},
	}
}

func second[T any](_ T, err error) error { return err }

// TestPolicies checks of each policy what it allows, and what it refuses.
func TestPolicies(t *testing.T) {
	tests := []struct {
		name           string
		engine         vault.Engine
		policies       []string
		uses, changing bool
	}{
		{"a server", vault.Transit, []string{"objectkms"}, true, false},
		{"an administrator", vault.Transit, []string{"objectkms-admin"}, false, true},
		{"a server with an admin API", vault.Transit, []string{"objectkms", "objectkms-admin"}, true, true},
		{"a server with KV2", vault.KV2, []string{"objectkms-kv2"}, true, false},
		{"an administrator with KV2", vault.KV2, []string{"objectkms-kv2-admin"}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := setUp(t)
			root := m.Config(tt.engine)
			key := create(t, open(t, root), "k")
			b := open(t, m.as(t, tt.engine, tt.policies...))
			try := func(steps []step, allowed bool) {
				for _, s := range steps {
					err := s.do(t.Context(), b)
					if allowed || s.name == "HealthCheck" {
						require.NoError(t, err, s.name)
					} else {
						require.ErrorIs(t, err, kms.ErrPermission, s.name)
					}
				}
			}
			try(looks(), true)
			try(uses(key), tt.uses)
			try(changes(), tt.changing)
		})
	}
}

// An administrator with KV2 makes the root key by opening, and nobody can write it again.
func TestTheRootKeyOfKV2IsWrittenOnce(t *testing.T) {
	m := setUp(t)
	_, err := m.as(t, vault.KV2, "objectkms-kv2").Open(t.Context())
	require.ErrorIs(t, err, kms.ErrPermission, "a server makes no root key")
	admin := m.as(t, vault.KV2, "objectkms-kv2-admin")
	key := create(t, open(t, admin), "k")
	require.NoError(t, key.Open(t.Context(), open(t, m.as(t, vault.KV2, "objectkms-kv2"))))

	client, err := m.Client().Clone()
	require.NoError(t, err)
	client.SetToken(m.NewToken(t, m.Policy(t, m.policies["objectkms-kv2-admin"]), time.Hour, time.Hour))
	_, err = client.Logical().WriteWithContext(t.Context(), "secret/data/objectkms/root", map[string]any{"data": map[string]any{"a": "b"}})
	require.ErrorContains(t, err, "permission denied")
}

// A server's policy lets Vault make no key out of a name that it does not know.
func TestAServerMakesNoKeyByMistake(t *testing.T) {
	m := setUp(t)
	b := open(t, m.as(t, vault.Transit, "objectkms"))
	client, err := m.Client().Clone()
	require.NoError(t, err)
	client.SetToken(m.NewToken(t, m.Policy(t, m.policies["objectkms"]), time.Hour, time.Hour))
	_, err = client.Logical().WriteWithContext(t.Context(), "transit/encrypt/mistyped", map[string]any{"plaintext": "dGV4dA==", "context": "dGV4dA=="})
	require.ErrorContains(t, err, "permission denied")
	_, err = b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "mistyped", Plaintext: []byte("text")})
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
	list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Empty(t, list.Keys)
}

// The sixth command of the setup makes a key without this library, which is used as it is.
func TestTheSetupMakesAKeyThatIsUsed(t *testing.T) {
	m := setUp(t)
	m.Write(t, "transit/keys/default", map[string]any{"type": "aes256-gcm96", "derived": true})
	b := open(t, m.as(t, vault.Transit, "objectkms"))
	key, err := sample.New(t.Context(), b, "default", kms.EncryptionContext{"a": "b"})
	require.NoError(t, err)
	require.NoError(t, key.Open(t.Context(), b))
	key.Context = kms.EncryptionContext{"a": "c"}
	require.ErrorIs(t, key.Open(t.Context(), b), kms.ErrDecrypt)
}
