// Package encryption encrypts and decrypts the objects of an S3 server with the keys of a [kms.KeyService].
//
// A PUT runs the body through [Service.EncryptStream] and stores two things: the encrypted body, and beside it, with the
// object's metadata, the [Envelope]. A GET gives both back to [Service.DecryptStream], or to [Service.OpenObject] for ranges.
// [Service.Rewrap] makes a new envelope for the same body, for a copy, a rename or another key. An [Upload] makes an object of
// parts, which is read like any other. What a server knows of the plaintext and must not store in clear, such as a checksum, [EncryptedObject.SealAttribute] seals.
//
// A data key of the KeyService, or the client's own key, seals one random object key for each object, and that encrypts the body in chunks.
// The envelope holds no secret, and nothing in it can be changed unnoticed: opening the object key authenticates all of it, together
// with the object's bucket, key and version and the body's size. What is not authentic is [kms.ErrDecrypt], and no byte of it is released.
//
// Not covered are the rollback of a body together with its envelope under the same name and version, and the removal of an
// envelope: a missing one is an error here, never plaintext, but the server must ask.
package encryption

import (
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// Options are the optional settings of a Service. The zero value is right for a server.
type Options struct {
	// CreateDefaultKey makes the default key of the KeyService when a write that names no key finds it missing. It is for
	// examples and tests: a server that creates keys silently hides a wrong configuration. The default key must have an id, as in
	// Options.DefaultKeyID of package kms.
	CreateDefaultKey bool
	// BucketKeys lets objects share data keys where their requests have BucketKey.
	BucketKeys BucketKeyOptions

	// ResolveKeyID returns the id by which the KeyService knows a key that a request names, as an alias or an ARN, or an error that wraps
	// ErrKeyNotFound, which may be an [*Error] with the answer for the client. By default an ARN of the form arn:partition:kms:region:account:key/id loses all before its
	// id, and anything else is an id. Where KeyARN makes ARNs, one that is not the same as its own for that id is a key of another region or account, and not found.
	ResolveKeyID func(keyID string) (string, error)
	// KeyARN returns what responses, also those that tell of an error, call the key with an id of the KeyService. It is called with ids that a client asks for, too, of which there
	// may be no key. By default it is the id itself, in the response to a write behind
	// what an ARN in its request has lost.
	KeyARN func(keyID string) string
}

// Service encrypts and decrypts objects. It is itself a [kms.KeyService], the one that it was made from, with the optional operations of that one. It is safe for
// concurrent use, needs no Close, and does not close the KeyService. The zero Service is that of NewService(nil, Options{}). What it may hold for a time are bucket keys: see [Service.ClearBucketKeys].
//
// Errors of the KeyService are returned as they are. Those of the Service itself wrap a sentinel of package kms: ErrInvalidRequest for a
// call that cannot be right, ErrDecrypt for anything stored that is not authentic or malformed, ErrKeyMaterial for an impossible answer of the KeyService.
// Where a customer key is missing, wrong or of no use, there is an [*Error] around it, with the answer for the client; for all others [S3Error] finds one.
type Service struct {
	kms.KeyService
	opts       Options
	bucketKeys *bucketKeys       // nil where nothing is shared
	held       func(*kms.Secret) // of tests, or nil: is given every key that is opened, or seals one
}

var _ kms.KeyService = (*Service)(nil)

// NewService returns a Service with the keys of a KeyService: a Manager, a ServiceManager or a backend. With nil, of the interface or of one of the first two, the Service has
// no keys but those that clients bring: for all else it is a KeyService that is not configured.
func NewService(keys kms.KeyService, opts Options) *Service {
	if keys == nil || keys == (*kms.Manager)(nil) || keys == (*kms.ServiceManager)(nil) {
		keys = new(kms.ServiceManager)
	}
	return &Service{KeyService: keys, opts: opts, bucketKeys: newBucketKeys(opts.BucketKeys)}
}

// MaxPlainSize is the size of the largest object in bytes: 4 PiB less one byte.
const MaxPlainSize = cobblestone.MaxPlainSize

// StoredSize returns the size in bytes of the stored body of an object of the given size, or of one part. It is -1 for a size that no
// object has: a negative one, or one above [MaxPlainSize].
func StoredSize(plain int64) int64 { return cobblestone.StoredSize(plain) }

// PlainSize returns the size in bytes of the object whose stored body has the given size, or of one part. For objects that were uploaded in parts there is Info. It fails with [kms.ErrDecrypt] for a
// size that no stored body has. It answers what is possible, not what is authentic: see [Info].
func PlainSize(stored int64) (int64, error) {
	plain, err := cobblestone.PlainSize(stored)
	if err != nil {
		return 0, fmt.Errorf("%w: no stored object has %d bytes", kms.ErrDecrypt, stored)
	}
	return plain, nil
}
