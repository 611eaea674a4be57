package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/local"
)

// defaultKeyID is the master key of objects that name none.
const defaultKeyID = "objectserver"

// openKeys starts the key management, and makes the default key at the first start.
func openKeys(ctx context.Context, s settings) (*kms.ServiceManager, error) {
	config := kms.Config{Options: kms.Options{DefaultKeyID: defaultKeyID}}
	config.Backend = local.Config{Dir: filepath.Join(s.Dir, "keys"), RootKeyFile: filepath.Join(s.Dir, "root.key")}
	if s.vault.Address != "" || s.token.Path != "" { // one of them alone is refused
		s.vault.Auth = s.token
		config.Backend = s.vault
	}
	keys := new(kms.ServiceManager)
	if err := keys.Configure(config); err != nil {
		return nil, err
	}
	if err := keys.Start(ctx); err != nil {
		return nil, err
	}
	_, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: defaultKeyID, Description: "objects that name no key"})
	if err != nil && !errors.Is(err, kms.ErrKeyExists) {
		return nil, errors.Join(err, keys.Stop(ctx))
	}
	return keys, nil
}

// adminHandler serves the administration of the keys. The gateway lets nobody through who has not the token for it.
func adminHandler(keys *kms.ServiceManager) http.Handler {
	return admin.New(keys, admin.Options{Decoders: backend.Standard(), Authorize: func(*http.Request, admin.Call) error { return nil }})
}
