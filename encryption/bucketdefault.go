package encryption

import (
	"fmt"

	"github.com/objectkms/kms"
)

// BucketDefault is a bucket's encryption configuration: what applies to writes that say nothing of their own. The zero value is that of a bucket
// for which nothing was ever configured: SSE-S3, and SSE-C allowed. The server keeps it with the bucket, for which [BucketDefault.AppendXML] and
// [ParseBucketEncryption] will do.
type BucketDefault struct {
	// Mode is SSES3 or SSEKMS. None is SSES3 too.
	Mode Mode
	// KeyID is the master key of SSE-KMS, as it was configured. Empty means the default key of the KeyService.
	KeyID string
	// BucketKey makes SSE-KMS objects share data keys, unless their writes say otherwise. SSE-S3 objects do not mind.
	BucketKey bool
	// CustomerKeys says whether writes may use SSE-C. Reads always may.
	CustomerKeys CustomerKeys
}

// CustomerKeys says whether the writes to a bucket may use SSE-C.
type CustomerKeys uint8

// The answers to that. A configuration that says nothing leaves the bucket's as it was, which is the server's to see to.
const (
	CustomerKeysUnset   CustomerKeys = iota // not said, and allowed
	CustomerKeysAllowed                     // NONE in BlockedEncryptionTypes
	CustomerKeysBlocked                     // SSE-C in BlockedEncryptionTypes, the default for new buckets of AWS since 2026
)

// mode returns the mode of writes that name none.
func (d BucketDefault) mode() Mode {
	if d.Mode == None {
		return SSES3
	}
	return d.Mode
}

// check refuses what no configuration of a bucket can be.
func (d BucketDefault) check() error {
	switch {
	case d.mode() != SSES3 && d.mode() != SSEKMS:
		return fmt.Errorf("%w: default mode of a bucket is %v, want %v or %v", kms.ErrInvalidConfig, d.Mode, SSES3, SSEKMS)
	case d.KeyID != "" && d.mode() != SSEKMS:
		return fmt.Errorf("%w: default key id of a bucket with mode %v", kms.ErrInvalidConfig, d.mode())
	case d.KeyID != "" && !isPrintable(d.KeyID):
		return fmt.Errorf("%w: default key id of a bucket has %d bytes, want printable text of at most %d", kms.ErrInvalidConfig, len(d.KeyID), maxKeyID)
	case d.CustomerKeys > CustomerKeysBlocked:
		return fmt.Errorf("%w: customer keys of a bucket are %d, want at most %d", kms.ErrInvalidConfig, d.CustomerKeys, CustomerKeysBlocked)
	}
	return nil
}
