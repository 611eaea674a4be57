package backend

import (
	"errors"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
	"github.com/objectkms/kms/vault"
)

// authField reads {"Token": {"token": "…"}} and its like: an object whose one field is the method.
func authField(to *vault.Auth) func([]byte) error {
	return func(value []byte) error {
		members, err := strictjson.Object(value)
		if err != nil {
			return err
		}
		if len(members) != 1 {
			return invalid("", "%d methods, want one of Token, AppRole, Kubernetes, TokenFile and Cert", len(members))
		}
		read, ok := authReaders()[members[0].Name]
		if !ok {
			return strictjson.Within(members[0].Name, errors.New("unknown method, want Token, AppRole, Kubernetes, TokenFile or Cert"))
		}
		if *to, err = read(members[0].Value); err != nil {
			return strictjson.Within(members[0].Name, err)
		}
		return nil
	}
}

func authReaders() map[string]func([]byte) (vault.Auth, error) {
	return map[string]func([]byte) (vault.Auth, error){
		"Token": readTokenAuth, "token": readTokenAuth,
		"AppRole": readAppRoleAuth, "approle": readAppRoleAuth, "app_role": readAppRoleAuth,
		"Kubernetes": readKubernetesAuth, "kubernetes": readKubernetesAuth,
		"TokenFile": readTokenFileAuth, "tokenfile": readTokenFileAuth, "token_file": readTokenFileAuth,
		"Cert": readCertAuth, "cert": readCertAuth,
	}
}

// readTokenAuth also reads the short form, in which the token itself is the value.
func readTokenAuth(value []byte) (vault.Auth, error) {
	var token *kms.Secret
	if strictjson.KindOf(value) == strictjson.KindString {
		secret, err := readSecret(value)
		return vault.TokenAuth{Token: secret}, err
	}
	err := strictjson.Fields{"token": secretField(&token, readSecret)}.Decode(value)
	if err == nil && token == nil {
		err = invalid("token", "missing")
	}
	if err != nil {
		token.Destroy()
		return nil, err
	}
	return vault.TokenAuth{Token: token}, nil
}

func readAppRoleAuth(value []byte) (vault.Auth, error) {
	var mount, roleID, secretIDFile *string
	var secretID *kms.Secret
	err := strictjson.Fields{
		"mount":          textField(&mount),
		"role_id":        textField(&roleID),
		"secret_id":      secretField(&secretID, readSecret),
		"secret_id_file": textField(&secretIDFile),
	}.Decode(value)
	switch {
	case err != nil:
	case isEmpty(roleID):
		err = invalid("role_id", "missing")
	case secretID == nil && isEmpty(secretIDFile):
		err = invalid("secret_id", "missing, and secret_id_file too")
	case secretID != nil && !isEmpty(secretIDFile):
		err = invalid("secret_id_file", "given with secret_id, want one of them")
	}
	if err != nil {
		secretID.Destroy()
		return nil, err
	}
	return vault.AppRoleAuth{Mount: text(mount), RoleID: *roleID, SecretID: secretID, SecretIDFile: text(secretIDFile)}, nil
}

func readKubernetesAuth(value []byte) (vault.Auth, error) {
	var mount, role, jwtPath *string
	err := strictjson.Fields{"mount": textField(&mount), "role": textField(&role), "jwt_path": textField(&jwtPath)}.Decode(value)
	if err == nil && isEmpty(role) {
		err = invalid("role", "missing")
	}
	if err != nil {
		return nil, err
	}
	return vault.KubernetesAuth{Mount: text(mount), Role: *role, JWTFile: text(jwtPath)}, nil
}

func readTokenFileAuth(value []byte) (vault.Auth, error) {
	var path *string
	err := strictjson.Fields{"path": textField(&path)}.Decode(value)
	if err == nil && isEmpty(path) {
		err = invalid("path", "missing")
	}
	if err != nil {
		return nil, err
	}
	return vault.TokenFileAuth{Path: *path}, nil
}

func readCertAuth(value []byte) (vault.Auth, error) {
	var mount, name *string
	if err := (strictjson.Fields{"mount": textField(&mount), "name": textField(&name)}).Decode(value); err != nil {
		return nil, err
	}
	return vault.CertAuth{Mount: text(mount), Name: text(name)}, nil
}

func isEmpty(s *string) bool { return s == nil || *s == "" }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// writeAuth writes the method as authField reads it.
func writeAuth(w *writer, auth vault.Auth) error {
	w.open("auth_method")
	switch a := auth.(type) {
	case vault.TokenAuth:
		w.open("Token")
		w.secret("token", a.Token)
	case vault.AppRoleAuth:
		w.open("AppRole")
		w.textUnlessEmpty("mount", a.Mount)
		w.text("role_id", &a.RoleID)
		w.secret("secret_id", a.SecretID)
		w.textUnlessEmpty("secret_id_file", a.SecretIDFile)
	case vault.KubernetesAuth:
		w.open("Kubernetes")
		w.textUnlessEmpty("mount", a.Mount)
		w.text("role", &a.Role)
		w.textUnlessEmpty("jwt_path", a.JWTFile)
	case vault.TokenFileAuth:
		w.open("TokenFile")
		w.text("path", &a.Path)
	case vault.CertAuth:
		w.open("Cert")
		w.textUnlessEmpty("mount", a.Mount)
		w.textUnlessEmpty("name", a.Name)
	default:
		return invalid("auth_method", "%T has no form in JSON", auth)
	}
	w.close()
	w.close()
	return nil
}

// cloneAuth copies the secrets of a method.
func cloneAuth(auth vault.Auth) vault.Auth {
	switch a := auth.(type) {
	case vault.TokenAuth:
		a.Token = a.Token.Clone()
		return a
	case vault.AppRoleAuth:
		a.SecretID = a.SecretID.Clone()
		return a
	}
	return auth
}

// authSecret returns the secret of a method, or nil.
func authSecret(auth vault.Auth) *kms.Secret {
	switch a := auth.(type) {
	case vault.TokenAuth:
		return a.Token
	case vault.AppRoleAuth:
		return a.SecretID
	}
	return nil
}
