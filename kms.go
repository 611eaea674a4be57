// Package kms manages master keys for object storage, behind one interface for every backend.
//
// A program opens a [Manager] over a backend, asks it for data keys to encrypt with, and gives
// the wrapped data keys back to decrypt:
//
//	keys, err := kms.Open(ctx, kms.Config{Backend: local.Config{Dir: dir, RootKey: root}})
//
// The backends are packages of their own, local and vault; package mock serves unit tests, and
// package encryption encrypts the objects of an S3 server with the keys of any of them.
//
// Words: a root key seals master keys; a master key has numbered versions and wraps data keys;
// a data key seals one object key for each object, which encrypts the object's body in chunks.
// An encryption context is the string map bound to a wrapped key.
package kms

import (
	"context"
	"log/slog"
	"time"
)

// KeyService is what can be done with master keys. Every backend, [*Manager], [*ServiceManager] and the service of package encryption are one.
// Implementations are safe for concurrent use, and obey ctx in every call.
//
// Slices, maps and secrets in a request stay the caller's; those in a response are the
// receiver's, who destroys the secrets.
type KeyService interface {
	// CreateKey makes a master key with one version. Of several calls with one id one succeeds,
	// and the others get ErrKeyExists.
	CreateKey(ctx context.Context, req *CreateKeyRequest) (*CreateKeyResponse, error)
	// DescribeKey answers what is known of a key, in any state. Errors: ErrKeyNotFound,
	// ErrKeyMaterial where its record is damaged.
	DescribeKey(ctx context.Context, req *DescribeKeyRequest) (*DescribeKeyResponse, error)
	// ListKeys answers one page of the keys, sorted by id. A damaged record is named as such and
	// hides no other key.
	ListKeys(ctx context.Context, req *ListKeysRequest) (*ListKeysResponse, error)
	// DeleteKey schedules the deletion of a key, or deletes it at once where the request says so. A
	// key whose date has passed is gone when somebody calls RemoveExpiredKeys, as a [ServiceManager] with a sweep does.
	DeleteKey(ctx context.Context, req *DeleteKeyRequest) (*DeleteKeyResponse, error)
	// CancelKeyDeletion takes a scheduled deletion back and leaves the key Disabled. A key that is
	// not pending deletion is ErrInvalidRequest.
	CancelKeyDeletion(ctx context.Context, req *CancelKeyDeletionRequest) (*CancelKeyDeletionResponse, error)
	// GenerateDataKey makes a random data key and wraps it under the newest version of an Enabled
	// key, bound to the encryption context.
	GenerateDataKey(ctx context.Context, req *GenerateDataKeyRequest) (*GenerateDataKeyResponse, error)
	// Encrypt wraps a small secret as GenerateDataKey wraps a data key.
	Encrypt(ctx context.Context, req *EncryptRequest) (*EncryptResponse, error)
	// Decrypt unwraps a data key or a small secret. Wrong key, wrong context and tampering are all
	// ErrDecrypt. A backend decrypts in every state of the key but past its deletion date, and
	// the Manager refuses keys that are not Enabled.
	Decrypt(ctx context.Context, req *DecryptRequest) (*DecryptResponse, error)
	// HealthCheck answers nil when the backend can work now. It needs no key to exist.
	HealthCheck(ctx context.Context) error
}

// Backend is a KeyService that keeps master keys somewhere. Its errors wrap the sentinels of this
// package with details, and the Manager adds the operation and the key id.
//
// A backend may be used without a Manager: it calls Validate of every request, and an empty KeyID in
// GenerateDataKey and Encrypt is ErrInvalidRequest, since only a Manager has a default key. Package backendtest
// checks these rules and all others.
//
// What else a backend can do is found by type assertion: [KeyStateChanger], [KeyRotator],
// [KeyImporter], [KeyUpdater], [DataKeyRewrapper], [ExpiredKeyRemover].
type Backend interface {
	KeyService
	// Close releases what the backend holds and wipes its keys. Later calls are ErrClosed. The
	// Manager calls it once, after the last call has ended.
	Close() error
}

// BackendConfig is a backend's configuration: a value that opens itself. What else it can do is found by type assertion: [ConfigDescriber],
// [LoggingConfig].
type BackendConfig interface {
	// BackendType returns a short name such as "local", for status and logs.
	BackendType() string
	// Validate checks the configuration without any I/O. Errors wrap ErrInvalidConfig.
	Validate() error
	// Open opens the backend, and fails early where it could not work. It obeys ctx: while it hangs, no other change
	// of a ServiceManager has its turn, and none can be stopped. It may be called again,
	// for a restart: it never destroys the secrets in the configuration.
	Open(ctx context.Context) (Backend, error)
}

// LoggingConfig is implemented by backend configurations with a logger, which no document and no environment variable can name. What a
// Manager opens is given [Options.Logger] this way, if there is one. The configuration that was handed in stays as it is.
type LoggingConfig interface {
	// WithLogger returns a copy of the configuration that logs to logger, or an equal one where it has a logger of its own. It is of
	// the same type, or a pointer to it: one of another type is not opened, since types that embed a configuration have its method.
	WithLogger(logger *slog.Logger) BackendConfig
}

// KeyStateChanger is implemented by backends whose keys can be disabled and enabled again.
type KeyStateChanger interface {
	EnableKey(ctx context.Context, req *EnableKeyRequest) (*EnableKeyResponse, error)
	DisableKey(ctx context.Context, req *DisableKeyRequest) (*DisableKeyResponse, error)
}

// KeyRotator is implemented by backends that can give a key a new version. Old ones still decrypt.
type KeyRotator interface {
	RotateKey(ctx context.Context, req *RotateKeyRequest) (*RotateKeyResponse, error)
}

// KeyImporter is implemented by backends that accept key material of the owner's own.
type KeyImporter interface {
	ImportKey(ctx context.Context, req *ImportKeyRequest) (*ImportKeyResponse, error)
}

// KeyUpdater is implemented by backends whose descriptions and tags can be changed.
type KeyUpdater interface {
	UpdateKeyDescription(ctx context.Context, req *UpdateKeyDescriptionRequest) (*UpdateKeyDescriptionResponse, error)
	TagKey(ctx context.Context, req *TagKeyRequest) (*TagKeyResponse, error)
	UntagKey(ctx context.Context, req *UntagKeyRequest) (*UntagKeyResponse, error)
}

// DataKeyRewrapper is implemented by backends that rewrap data keys. An item that fails has an
// error of its own and fails no other; an item that is wrapped under the newest version and the
// wanted context already is answered unchanged, as Current.
type DataKeyRewrapper interface {
	RewrapDataKeys(ctx context.Context, req *RewrapDataKeysRequest) (*RewrapDataKeysResponse, error)
}

// ExpiredKeyRemover is implemented by backends that delete the keys whose deletion date is not
// after now. It answers the ids of the keys that it deleted, also beside an error.
type ExpiredKeyRemover interface {
	RemoveExpiredKeys(ctx context.Context, now time.Time) ([]string, error)
}
