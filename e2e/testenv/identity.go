package testenv

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// Role is an AppRole that somebody may log in with.
type Role struct {
	Mount    string
	Name     string
	ID       string
	SecretID string

	client *api.Client
}

// Policy writes a policy and returns its name.
func (m *Mounts) Policy(t testing.TB, rules string) string {
	t.Helper()
	name := unique("policy")
	must(t, m.client.Sys().PutPolicyWithContext(t.Context(), name, rules), "writing a policy")
	m.leaveNothing(t, name, m.client.Sys().DeletePolicyWithContext)
	return name
}

// AllPolicy writes a policy that allows everything in the two engines, and returns its name.
func (m *Mounts) AllPolicy(t testing.TB) string {
	t.Helper()
	const all = ` { capabilities = ["create", "read", "update", "delete", "list"] }` + "\n"
	return m.Policy(t, `path "`+m.Transit+`/*"`+all+`path "`+m.KV+`/*"`+all)
}

// NewToken makes a token with a policy that lives for ttl and can be renewed up to maxTTL.
func (m *Mounts) NewToken(t testing.TB, policy string, ttl, maxTTL time.Duration) string {
	t.Helper()
	made, err := m.client.Auth().Token().CreateOrphanWithContext(t.Context(), &api.TokenCreateRequest{
		Policies: []string{policy}, TTL: ttl.String(), ExplicitMaxTTL: maxTTL.String(),
	})
	must(t, err, "making a token")
	return made.Auth.ClientToken
}

// EnableAuth mounts an auth method and returns where.
func (m *Mounts) EnableAuth(t testing.TB, kind string) string {
	t.Helper()
	path := unique(kind)
	must(t, m.client.Sys().EnableAuthWithOptionsWithContext(t.Context(), path, &api.EnableAuthOptions{Type: kind}), "enabling an auth method")
	m.leaveNothing(t, path, m.client.Sys().DisableAuthWithContext)
	return path
}

// NewRole makes an AppRole with a policy. Its tokens live for ttl, and can be renewed up to maxTTL.
func (m *Mounts) NewRole(t testing.TB, policy string, ttl, maxTTL time.Duration) *Role {
	t.Helper()
	r := &Role{Mount: m.EnableAuth(t, "approle"), Name: "app", client: m.client}
	m.Write(t, r.path(), map[string]any{
		"token_policies": policy, "token_ttl": ttl.String(), "token_max_ttl": maxTTL.String(), "token_no_default_policy": false,
	})
	id, err := m.client.Logical().ReadWithContext(t.Context(), r.path()+"/role-id")
	must(t, err, "reading a role id")
	r.ID = id.Data["role_id"].(string)
	r.SecretID = r.NewSecretID(t)
	return r
}

func (r *Role) path() string { return "auth/" + r.Mount + "/role/" + r.Name }

// NewSecretID makes another secret id of the role.
func (r *Role) NewSecretID(t testing.TB) string {
	t.Helper()
	made, err := r.client.Logical().WriteWithContext(t.Context(), r.path()+"/secret-id", nil)
	must(t, err, "making a secret id")
	return made.Data["secret_id"].(string)
}

// RevokeTokens makes all tokens that the role has given dead.
func (r *Role) RevokeTokens(t testing.TB) {
	t.Helper()
	must(t, r.client.Sys().RevokePrefixWithContext(t.Context(), "auth/"+r.Mount+"/login"), "revoking the tokens of a role")
}

// RevokeSecretIDs makes all secret ids of the role useless.
func (r *Role) RevokeSecretIDs(t testing.TB) {
	t.Helper()
	list, err := r.client.Logical().ListWithContext(t.Context(), r.path()+"/secret-id")
	must(t, err, "listing secret ids")
	for _, accessor := range list.Data["keys"].([]any) {
		_, err := r.client.Logical().WriteWithContext(t.Context(), r.path()+"/secret-id-accessor/destroy", map[string]any{"secret_id_accessor": accessor})
		must(t, err, "revoking a secret id")
	}
}

// Write writes to a path of the server's API.
func (m *Mounts) Write(t testing.TB, path string, data map[string]any) {
	t.Helper()
	_, err := m.client.Logical().WriteWithContext(t.Context(), path, data)
	must(t, err, "writing "+path)
}
