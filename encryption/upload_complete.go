package encryption

import (
	"context"
	"crypto/fips140"
	"crypto/md5" // #nosec G501 -- ETags of S3 are MD5s
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// Complete returns the envelope of the object that is made of these parts. Its stored body is the stored parts, one after the other in this order. The
// receipts are those that the server stored, each with the ETag that the client sends for the part, quoted or not. final is the object of
// the upload, and its version id may be new. No key is asked for, so that a call can be repeated.
//
// What a client can do wrong is ErrInvalidRequest, with the [*Error] of S3: no parts, numbers that do not rise, a part without a receipt, another ETag. So is a list of so
// many different sizes that they do not fit in an envelope: S3 clients make all parts of a size but the last. A receipt of another upload or part is ErrDecrypt.
func (u *Upload) Complete(ctx context.Context, final ObjectID, parts []PartReceipt) (*Envelope, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkParts(parts); err != nil {
		return nil, err
	}
	var env *Envelope
	err := u.use(func() (err error) {
		env, err = u.complete(final, parts)
		return err
	})
	return env, err
}

func (u *Upload) complete(final ObjectID, parts []PartReceipt) (*Envelope, error) {
	if id := u.sealer.id; final.Bucket != id.Bucket || final.Key != id.Key {
		return nil, fmt.Errorf("%w: object is not the one of the upload", kms.ErrInvalidRequest)
	}
	row, err := u.row(parts)
	if err != nil {
		return nil, err
	}
	sealer := *u.sealer
	sealer.id, sealer.uploadID = final, ""
	return sealer.seal(u.objectKey, row)
}

// row returns the layout of the body that the parts make.
func (u *Upload) row(parts []PartReceipt) (layout, error) {
	var row layout
	digest := newPartsDigest()
	for i := range parts {
		r, err := u.openReceipt(&parts[i])
		if err != nil {
			return layout{}, err
		}
		if err := row.add(parts[i].Number, 1, r.size); err != nil {
			return layout{}, fmt.Errorf("%w: object %w", kms.ErrInvalidRequest, err)
		}
		digest.add(parts[i].Number, r.size, r.header)
	}
	if n := len(row.runs) * runSize; n > maxRunsSize {
		return layout{}, fmt.Errorf("%w: object has parts of so many sizes that they need %d bytes, want at most %d", kms.ErrInvalidRequest, n, maxRunsSize)
	}
	row.digest = digest.sum()
	return row, nil
}

// checkParts checks what the client says of the parts.
func checkParts(parts []PartReceipt) error {
	if len(parts) == 0 {
		return errMalformedXML(fmt.Errorf("%w: upload is completed without parts", kms.ErrInvalidRequest))
	}
	last := 0
	for _, p := range parts {
		switch {
		case p.Number < 1 || p.Number > maxPartNumber:
			return errBadPartNumber(p.Number)
		case p.Number <= last:
			return errPartOrder(fmt.Errorf("%w: part %d after part %d", kms.ErrInvalidRequest, p.Number, last))
		case len(p.sealed) == 0:
			return errInvalidPart(fmt.Errorf("%w: part %d has no receipt", kms.ErrInvalidRequest, p.Number))
		}
		last = p.Number
	}
	return nil
}

// openReceipt opens the receipt of a part of this upload, and compares its ETag.
func (u *Upload) openReceipt(p *PartReceipt) (receipt, error) {
	b := make([]byte, 0, len(p.sealed))
	b, err := cobblestone.Open(b, u.objectKey.Bytes(), receiptContext(u.sealer.uploadID, p.Number), p.sealed)
	if err != nil {
		return receipt{}, openError(err)
	}
	r, err := parseReceipt(b)
	if err != nil {
		return receipt{}, malformed("receipt", err)
	}
	if unquote(p.ETag) != r.etag {
		return receipt{}, errInvalidPart(fmt.Errorf("%w: part %d has another ETag", kms.ErrInvalidRequest, p.Number))
	}
	return r, nil
}

// CompletedETag returns the ETag of the object that is made of these parts, without quotes, as S3 makes it: the MD5 of the MD5s that the ETags of
// the parts are, or stand for, and behind it the number of parts. ETags other than 32 hex digits are ErrInvalidRequest.
func CompletedETag(parts []PartReceipt) (string, error) {
	if len(parts) == 0 {
		return "", fmt.Errorf("%w: object has no parts", kms.ErrInvalidRequest)
	}
	var all []byte
	for _, p := range parts {
		sum, err := hex.DecodeString(unquote(p.ETag))
		if err == nil && len(sum) != md5.Size {
			err = errors.New("another length")
		}
		if err != nil {
			return "", fmt.Errorf("%w: ETag of part %d is not 32 hex digits", kms.ErrInvalidRequest, p.Number)
		}
		all = append(all, sum...)
	}
	var sum [md5.Size]byte
	// It is a name, and no cryptography: FIPS 140 has nothing against it.
	fips140.WithoutEnforcement(func() { sum = md5.Sum(all) }) // #nosec G401
	return hex.EncodeToString(sum[:]) + "-" + strconv.Itoa(len(parts)), nil
}

// unquote returns an ETag without its quotes: clients send them or not.
func unquote(etag string) string {
	if len(etag) >= 2 && strings.HasPrefix(etag, `"`) && strings.HasSuffix(etag, `"`) {
		return etag[1 : len(etag)-1]
	}
	return etag
}
