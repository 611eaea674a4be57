package encryption

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

const (
	receiptLabel = "receipt"

	maxETag           = 64
	minReceipt        = 8 + cobblestone.HeaderSize + 1 + 1
	maxReceipt        = minReceipt - 1 + maxETag
	sealedReceiptGain = cobblestone.HeaderSize + cobblestone.Overhead
)

// PartReceipt is what a server stores beside each part of an upload, and gives back when the upload is completed. Its text form, under 300 bytes, holds size,
// ETag and header of the part, sealed: no secret, nothing that can be changed or moved to another part, and nothing to be read without the key. A
// receipt without any is what stands for a part that the server does not have.
type PartReceipt struct {
	Number int
	// ETag is not in the text: the server sets it to what the client says when it completes the upload.
	ETag string

	sealed []byte
}

// MarshalText returns the text form of the receipt: base64url without padding. It fails with ErrInvalidRequest if there is no receipt.
func (p PartReceipt) MarshalText() ([]byte, error) {
	if len(p.sealed) == 0 || p.Number < 1 || p.Number > maxPartNumber {
		return nil, fmt.Errorf("%w: part %d has no receipt", kms.ErrInvalidRequest, p.Number)
	}
	return encodeText(append(binary.BigEndian.AppendUint16(nil, uint16(p.Number)), p.sealed...)), nil
}

// UnmarshalText sets p to the receipt that has exactly this text form, without an ETag. Empty text is ErrInvalidRequest; any other text that MarshalText does
// not return is ErrDecrypt. p is left alone then.
func (p *PartReceipt) UnmarshalText(text []byte) error {
	if len(text) == 0 || p == nil {
		return fmt.Errorf("%w: part has no receipt", kms.ErrInvalidRequest)
	}
	b, err := decodeText(text, 2+maxReceipt+sealedReceiptGain)
	if err != nil {
		return malformed("receipt", err)
	}
	if n, least := len(b), 2+minReceipt+sealedReceiptGain; n < least {
		return malformed("receipt", fmt.Errorf("has %d bytes, want at least %d", n, least))
	}
	number := int(binary.BigEndian.Uint16(b))
	if number < 1 || number > maxPartNumber {
		return malformed("receipt", fmt.Errorf("is of part %d, want 1 to %d", number, maxPartNumber))
	}
	*p = PartReceipt{Number: number, sealed: b[2:]}
	return nil
}

// A receipt is what a PartReceipt holds.
type receipt struct {
	size   int64 // of the plaintext
	header []byte
	etag   string
}

func receiptContext(uploadID string, number int) []byte {
	return encctx.Bind(nil, receiptLabel, []byte(uploadID), encctx.Uint32(uint32(number)))
}

// sealReceipt seals the receipt of a part. The upload must not be closed.
func (u *Upload) sealReceipt(number int, r receipt) (PartReceipt, error) {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, maxReceipt), uint64(r.size))
	b = append(b, r.header...)
	b = append(b, byte(len(r.etag)))
	b = append(b, r.etag...)
	sealed, err := cobblestone.Seal(nil, u.objectKey.Bytes(), receiptContext(u.sealer.uploadID, number), b)
	if err != nil {
		return PartReceipt{}, err
	}
	return PartReceipt{Number: number, ETag: r.etag, sealed: sealed}, nil
}

// parseReceipt reads what was sealed, strictly.
func parseReceipt(b []byte) (receipt, error) {
	c := cursor{rest: b}
	size, header := c.uint64(), c.take(cobblestone.HeaderSize)
	etag := c.take(int(c.byte()))
	switch {
	case c.short || len(c.rest) > 0:
		return receipt{}, errors.New("is cut short or too long")
	case size > uint64(MaxPlainSize):
		return receipt{}, fmt.Errorf("has a part of %d bytes, want at most %d", size, MaxPlainSize)
	case len(etag) == 0 || len(etag) > maxETag || !isASCII(etag):
		return receipt{}, fmt.Errorf("has an ETag of %d bytes, want 1 to %d of ASCII", len(etag), maxETag)
	}
	return receipt{size: int64(size), header: header, etag: string(etag)}, nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
