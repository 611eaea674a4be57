package kms

import "time"

// EncryptionContext is the string map bound to a wrapped key: the same map, in any order of its entries, must be given to
// decrypt. Nil and empty are the same. It is not secret, but its values never appear in
// errors or logs. The canonical form may have at most 8,192 bytes; keys and values are UTF-8.
type EncryptionContext map[string]string

// KeyState is the state of a master key.
type KeyState string

// The states of a master key. Only an Enabled key generates and encrypts. A Disabled key can be
// enabled, described and scheduled for deletion; a key in PendingDeletion can be described and
// its deletion cancelled. A key is Unavailable while its backend cannot use it.
const (
	KeyEnabled         KeyState = "Enabled"
	KeyDisabled        KeyState = "Disabled"
	KeyPendingDeletion KeyState = "PendingDeletion"
	KeyUnavailable     KeyState = "Unavailable"
)

// KeyUsage is what a master key is for.
type KeyUsage string

// EncryptDecrypt is the one usage of master keys. An empty KeyUsage in a request means it.
const EncryptDecrypt KeyUsage = "ENCRYPT_DECRYPT"

// Origin is where the material of a master key comes from.
type Origin string

// The origins of master keys: made by the backend, or imported by its owner.
const (
	OriginKMS      Origin = "KMS"
	OriginExternal Origin = "EXTERNAL"
)

// KeySpec is the kind of a data key.
type KeySpec string

// The kinds of data keys. The zero value means AES256.
const (
	AES256 KeySpec = "AES_256"
	AES128 KeySpec = "AES_128"
)

// Size returns the length of a data key of this kind in bytes: 32 or 16, and 0 for a kind that does not exist.
func (s KeySpec) Size() int {
	switch s {
	case AES256, "":
		return 32
	case AES128:
		return 16
	}
	return 0
}

// Key describes a master key. It never holds key material.
type Key struct {
	ID           string            `json:"id"`
	Description  string            `json:"description,omitempty"`
	State        KeyState          `json:"state"`
	Usage        KeyUsage          `json:"usage"`
	Origin       Origin            `json:"origin"`
	Version      uint32            `json:"version"` // the newest version, from 1: what encrypts from now on
	Tags         map[string]string `json:"tags,omitempty"`
	CreatedAt    time.Time         `json:"created_at"`
	RotatedAt    time.Time         `json:"rotated_at,omitzero"`    // when the newest version was made; zero before the first rotation
	DeletionDate time.Time         `json:"deletion_date,omitzero"` // zero unless the state is PendingDeletion
	NativeRewrap bool              `json:"native_rewrap"`          // the backend rewraps without showing plaintext to this process
}

// CreateKeyRequest asks for a new master key. An empty KeyID asks for a random UUID; an id given
// has 1 to 128 of the characters A-Z a-z 0-9 . _ - and begins with a letter or digit.
type CreateKeyRequest struct {
	KeyID       string
	Description string // at most 8,192 bytes
	Usage       KeyUsage
	Tags        map[string]string // at most 50; names 1 to 128 bytes, values at most 256
}

// CreateKeyResponse describes the key that was made.
type CreateKeyResponse struct{ Key Key }

// DescribeKeyRequest asks for the description of one key.
type DescribeKeyRequest struct{ KeyID string }

// DescribeKeyResponse describes the key.
type DescribeKeyResponse struct{ Key Key }

// ListKeysRequest asks for one page of keys, sorted by id.
type ListKeysRequest struct {
	Limit  int      // how many keys at most: 1 to 1,000; 0 means 100
	Marker string   // only ids greater than this one
	State  KeyState // only keys in this state; empty: all
}

// ListKeysResponse is one page of keys.
type ListKeysResponse struct {
	Keys       []Key
	NextMarker string   // the Marker that continues the list; empty at its end
	Truncated  bool     // there may be more
	Damaged    []string // ids in this page's span whose record cannot be read or trusted
}

// DeleteKeyRequest schedules the deletion of a key, or deletes it at once.
//
// Immediate deletion needs Options.AllowImmediateDeletion, the key id repeated in ConfirmKeyID,
// and is refused for the default key. It makes all that the key wrapped unreadable for ever.
type DeleteKeyRequest struct {
	KeyID             string
	PendingWindowDays int // 7 to 30; 0 means 30; with Immediate it must be 0
	Immediate         bool
	ConfirmKeyID      string
}

// DeleteKeyResponse describes the key as it is now, or, after an immediate deletion, as it last
// was, with the time of its deletion.
type DeleteKeyResponse struct{ Key Key }

// CancelKeyDeletionRequest takes the scheduled deletion of a key back.
type CancelKeyDeletionRequest struct{ KeyID string }

// CancelKeyDeletionResponse describes the key, which is now Disabled.
type CancelKeyDeletionResponse struct{ Key Key }

// EnableKeyRequest makes a Disabled key Enabled. An Enabled key stays so.
type EnableKeyRequest struct{ KeyID string }

// EnableKeyResponse describes the key.
type EnableKeyResponse struct{ Key Key }

// DisableKeyRequest makes an Enabled key Disabled. A Disabled key stays so.
type DisableKeyRequest struct{ KeyID string }

// DisableKeyResponse describes the key.
type DisableKeyResponse struct{ Key Key }

// RotateKeyRequest asks for a new version of an Enabled key. Older versions still decrypt.
type RotateKeyRequest struct{ KeyID string }

// RotateKeyResponse describes the key with its new version.
type RotateKeyResponse struct{ Key Key }

// ImportKeyRequest makes a new master key from the owner's own material.
type ImportKeyRequest struct {
	KeyID       string // as in CreateKeyRequest
	Description string
	Usage       KeyUsage
	Tags        map[string]string
	Material    *Secret // 32 uniformly random bytes; the caller keeps it and destroys it
}

// ImportKeyResponse describes the key that was made; its Origin is OriginExternal.
type ImportKeyResponse struct{ Key Key }

// UpdateKeyDescriptionRequest replaces the description of a key.
type UpdateKeyDescriptionRequest struct {
	KeyID       string
	Description string // at most 8,192 bytes; empty removes it
}

// UpdateKeyDescriptionResponse describes the key.
type UpdateKeyDescriptionResponse struct{ Key Key }

// TagKeyRequest adds tags to a key, and replaces those it has by the same name.
type TagKeyRequest struct {
	KeyID string
	Tags  map[string]string // 1 to 50; at most 50 on the key in all
}

// TagKeyResponse describes the key.
type TagKeyResponse struct{ Key Key }

// UntagKeyRequest removes tags from a key by their names. Names that it does not have are passed over.
type UntagKeyRequest struct {
	KeyID   string
	TagKeys []string
}

// UntagKeyResponse describes the key.
type UntagKeyResponse struct{ Key Key }

// GenerateDataKeyRequest asks for a new random data key, wrapped by a master key.
type GenerateDataKeyRequest struct {
	KeyID            string // empty: the Manager's default key
	Spec             KeySpec
	Context          EncryptionContext
	WithoutPlaintext bool // answer the wrapped key only
}

// GenerateDataKeyResponse is a data key: in the clear, and wrapped. The receiver destroys
// Plaintext, which is nil where the request asked for none.
type GenerateDataKeyResponse struct {
	KeyID      string
	KeyVersion uint32
	Plaintext  *Secret
	Ciphertext []byte
}

// EncryptRequest wraps a small secret of the caller's own.
type EncryptRequest struct {
	KeyID     string // empty: the Manager's default key
	Plaintext []byte // 1 to 4,096 bytes; stays the caller's
	Context   EncryptionContext
}

// EncryptResponse is the wrapped secret.
type EncryptResponse struct {
	Ciphertext []byte
	KeyID      string
	KeyVersion uint32
}

// DecryptRequest unwraps what GenerateDataKey or Encrypt answered.
type DecryptRequest struct {
	Ciphertext []byte // at most 16 KiB
	Context    EncryptionContext
	KeyID      string // may be empty; if given, the ciphertext must be of this key
}

// DecryptResponse is the secret, and the key and version that had wrapped it. The receiver
// destroys Plaintext.
type DecryptResponse struct {
	Plaintext  *Secret
	KeyID      string
	KeyVersion uint32
}

// RewrapDataKeysRequest wraps data keys again, under the newest version of a key. Plaintext
// does not leave the backend, or this process where the backend cannot do it on its own.
type RewrapDataKeysRequest struct {
	KeyID string       // the key to wrap under; empty: for every item the key it is wrapped under now
	Items []RewrapItem // at most 10,000
}

// RewrapItem is one wrapped data key, the encryption context that it has and the one that it gets.
type RewrapItem struct {
	Ciphertext []byte
	From, To   EncryptionContext
}

// RewrapDataKeysResponse has one result for each item, in the request's order.
type RewrapDataKeysResponse struct{ Items []RewrapResult }

// RewrapResult is the outcome of one item: a wrapped data key, or an error.
type RewrapResult struct {
	Ciphertext       []byte
	KeyID            string
	KeyVersion       uint32
	SourceKeyID      string
	SourceKeyVersion uint32
	Current          bool // the item was wrapped like that already, and Ciphertext is its own
	Err              error
}
