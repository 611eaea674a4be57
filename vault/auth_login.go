package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/objectkms/kms"
)

// A source gets tokens, by one method. It is used by one goroutine at a time, apart from changed.
type source struct {
	login   func(ctx context.Context, ask asker) (*grant, error)
	changed func() bool // whether login would answer another token than before; nil: that cannot be told
	secret  *kms.Secret // what login uses, destroyed with the session; may be nil
}

// An asker sends a request with the given token, or without any.
type asker func(ctx context.Context, token, method, path string, body, out any) error

// A grant is a token as Vault gave it.
type grant struct {
	secret    *kms.Secret
	ttl       time.Duration // 0: for ever
	renewable bool
	silent    bool // it may not ask about itself, so that a refusal of that does not show that it is dead
}

// A sensitive is a JSON string that can be wiped.
type sensitive []byte

func (s *sensitive) UnmarshalText(b []byte) error {
	*s = bytes.Clone(b)
	return nil
}

// An authAnswer is the answer of a login and of a renewal.
type authAnswer struct {
	Auth *struct {
		ClientToken   sensitive `json:"client_token"`
		LeaseDuration int64     `json:"lease_duration"` // seconds
		Renewable     bool      `json:"renewable"`
	} `json:"auth"`
}

func (a TokenAuth) source() *source {
	secret := a.Token.Clone()
	return &source{secret: secret, login: func(ctx context.Context, ask asker) (*grant, error) {
		return lookup(ctx, ask, secret.Clone())
	}}
}

func (a AppRoleAuth) source() *source {
	secret := a.SecretID.Clone()
	return &source{secret: secret, login: func(ctx context.Context, ask asker) (*grant, error) {
		id := secret
		if a.SecretIDFile != "" {
			var err error
			if id, err = readCredential("secret id", a.SecretIDFile); err != nil {
				return nil, err
			}
			defer id.Destroy()
		}
		return login(ctx, ask, cmp.Or(a.Mount, "approle"), map[string]string{"role_id": a.RoleID, "secret_id": string(id.Bytes())})
	}}
}

func (a KubernetesAuth) source() *source {
	return &source{login: func(ctx context.Context, ask asker) (*grant, error) {
		jwt, err := readCredential("JWT", cmp.Or(a.JWTFile, defaultJWTFile))
		if err != nil {
			return nil, err
		}
		defer jwt.Destroy()
		return login(ctx, ask, cmp.Or(a.Mount, "kubernetes"), map[string]string{"role": a.Role, "jwt": string(jwt.Bytes())})
	}}
}

func (a CertAuth) source() *source {
	return &source{login: func(ctx context.Context, ask asker) (*grant, error) {
		body := make(map[string]string)
		if a.Name != "" {
			body["name"] = a.Name
		}
		return login(ctx, ask, cmp.Or(a.Mount, "cert"), body)
	}}
}

// login sends a login to the method at mount.
func login(ctx context.Context, ask asker, mount string, body map[string]string) (*grant, error) {
	var answer authAnswer
	if err := ask(ctx, "", http.MethodPost, "auth/"+mount+"/login", body, &answer); err != nil {
		return nil, err
	}
	if answer.Auth == nil {
		return nil, fmt.Errorf("%w: the answer to a login holds no token", kms.ErrUnavailable)
	}
	token := kms.NewSecret(answer.Auth.ClientToken)
	if err := checkToken(token.Bytes()); err != nil {
		token.Destroy()
		return nil, fmt.Errorf("%w: the answer to a login: %w", kms.ErrUnavailable, err)
	}
	err := ask(ctx, string(token.Bytes()), http.MethodGet, lookupPath, nil, nil)
	silent := errors.Is(err, kms.ErrPermission)
	return &grant{secret: token, ttl: seconds(answer.Auth.LeaseDuration), renewable: answer.Auth.Renewable, silent: silent}, nil
}

// lookup asks Vault about a token, which the grant takes over. It is destroyed where Vault does not answer for it.
func lookup(ctx context.Context, ask asker, token *kms.Secret) (*grant, error) {
	var answer struct {
		Data *struct {
			TTL        int64           `json:"ttl"`         // seconds, rounded down
			ExpireTime json.RawMessage `json:"expire_time"` // null: never
			Renewable  bool            `json:"renewable"`
		} `json:"data"`
	}
	err := ask(ctx, string(token.Bytes()), http.MethodGet, lookupPath, nil, &answer)
	if err == nil && answer.Data == nil {
		err = fmt.Errorf("%w: the answer about a token is empty", kms.ErrUnavailable)
	}
	if err != nil {
		token.Destroy()
		return nil, err
	}
	ttl := seconds(answer.Data.TTL)
	if expire := answer.Data.ExpireTime; ttl == 0 && len(expire) > 0 && string(expire) != "null" {
		ttl = time.Second
	}
	return &grant{secret: token, ttl: ttl, renewable: answer.Data.Renewable}, nil
}

// Every token may use these paths where it has Vault's policy "default".
const (
	lookupPath = "auth/token/lookup-self"
	renewPath  = "auth/token/renew-self"
)

// seconds bounds what a server says to ten years, so that no sum of it overflows.
func seconds(n int64) time.Duration {
	const tenYears = 10 * 365 * 24 * 60 * 60
	return time.Duration(min(max(n, 0), tenYears)) * time.Second
}

const maxCredentialSize = 64 << 10 // bytes

// readCredential reads a file that holds one secret, without the white space around it. The error wraps ErrPermission: credentials that
// are gone let nobody in.
func readCredential(what, path string) (*kms.Secret, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("%w: file of the %s: %w", kms.ErrPermission, what, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxCredentialSize+1))
	defer clear(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: file of the %s: %w", kms.ErrPermission, what, err)
	}
	secret := bytes.TrimSpace(raw)
	if len(secret) == 0 || len(raw) > maxCredentialSize {
		return nil, fmt.Errorf("%w: file of the %s has %d bytes, want 1 to %d that are not white space", kms.ErrPermission, what, len(secret), maxCredentialSize)
	}
	return kms.NewSecret(bytes.Clone(secret)), nil
}

// openRegular opens a file, and nothing that could block, such as a pipe.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return os.Open(path)
}
