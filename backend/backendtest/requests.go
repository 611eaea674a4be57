package backendtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/objectkms/kms"
)

func (s *suite) nilRequests(t *testing.T) {
	b, _ := s.openWithKey(t)
	for _, op := range operations(b) {
		if op.empty == nil {
			continue
		}
		wantErr(t, op.name+" with a nil request is ErrInvalidRequest", op.empty(t.Context()), s.orUnsupported(kms.ErrInvalidRequest)...)
	}
}

// orUnsupported adds ErrUnsupported for backends that do not create keys, and so lack other
// methods too.
func (s *suite) orUnsupported(errs ...error) []error {
	if s.h.KeyID != "" {
		errs = append(errs, kms.ErrUnsupported)
	}
	return errs
}

func (s *suite) malformedRequests(t *testing.T) {
	b, id := s.openWithKey(t)
	blob := encrypt(t, b, id, "text", nil)
	large := kms.EncryptionContext{"k": strings.Repeat("v", 8192-8)}
	text := []byte("text")
	s.malformed(t, b, "with no key id", "", nil, text, blob[:0])
	s.malformed(t, b, "with a key id that has a control character", "a\x00b", nil, text, blob)
	s.malformed(t, b, "with a key id that is not UTF-8", "a\xff", nil, text, blob)
	s.malformed(t, b, "with a key id of 2,049 bytes", strings.Repeat("k", 2049), nil, text, blob)
	s.malformed(t, b, "with an encryption context above 8,192 bytes", id, large, text, blob)
	s.malformed(t, b, "with an encryption context that is not UTF-8", id, kms.EncryptionContext{"k": "\xff"}, text, blob)
	s.malformed(t, b, "with an encryption context whose key is not UTF-8", id, kms.EncryptionContext{"\xff": "v"}, text, blob)

	invalid := func(rule string, err error) {
		t.Helper()
		wantErr(t, rule+" is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	}
	_, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id})
	invalid("Encrypt without plaintext", err)
	_, err = b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id, Plaintext: make([]byte, 4097)})
	invalid("Encrypt of 4,097 bytes", err)
	_, err = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: id, Spec: "AES_512"})
	invalid("GenerateDataKey of an unknown kind", err)
	_, err = b.Decrypt(t.Context(), &kms.DecryptRequest{})
	invalid("Decrypt without ciphertext", err)
	_, err = b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: make([]byte, maxCiphertextSize+1)})
	invalid("Decrypt of more than 16 KiB", err)
	for _, limit := range []int{-1, 1001} {
		_, err = b.ListKeys(t.Context(), &kms.ListKeysRequest{Limit: limit})
		wantErr(t, "ListKeys with a limit outside 0 to 1,000 is ErrInvalidRequest", err, s.orUnsupported(kms.ErrInvalidRequest)...)
	}
	_, err = b.ListKeys(t.Context(), &kms.ListKeysRequest{State: "Sleeping"})
	wantErr(t, "ListKeys with an unknown state is ErrInvalidRequest", err, s.orUnsupported(kms.ErrInvalidRequest)...)
	wantOpens(t, "a malformed request harms nothing", b, blob, nil, "text")
}

// malformed checks that the three methods for data refuse a key id or an encryption context. Decrypt is asked only where
// there is a ciphertext, since it needs no key id.
func (s *suite) malformed(t *testing.T, b kms.Backend, what, id string, ec kms.EncryptionContext, text, blob []byte) {
	t.Helper()
	_, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: id, Context: ec})
	wantErr(t, "GenerateDataKey "+what+" is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	_, err = b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id, Context: ec, Plaintext: text})
	wantErr(t, "Encrypt "+what+" is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	if len(blob) > 0 {
		_, err = b.Decrypt(t.Context(), &kms.DecryptRequest{KeyID: id, Context: ec, Ciphertext: blob})
		wantErr(t, "Decrypt "+what+" is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	}
}

func (s *suite) cancellation(t *testing.T) {
	b, id := s.openWithKey(t)
	blob := encrypt(t, b, id, "text", nil)
	before := describe(t, b, id)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancelLate()
	for _, op := range operations(b) {
		err := op.call(canceled, id, blob)
		wantErr(t, op.name+" with a context that was cancelled is context.Canceled", err, s.orUnsupported(context.Canceled)...)
		err = op.call(late, id, blob)
		wantErr(t, op.name+" with a context past its deadline is context.DeadlineExceeded", err, s.orUnsupported(context.DeadlineExceeded)...)
	}
	wantSameKey(t, "a call with a context that is done changes nothing", describe(t, b, id), before)
	for _, other := range []string{"another-key", "imported-key"} {
		_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: other})
		wantErr(t, "a call with a context that is done makes no key", err, kms.ErrKeyNotFound)
	}
}

func (s *suite) close(t *testing.T) {
	b, id := s.openWithKey(t)
	blob := encrypt(t, b, id, "text", nil)
	made, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: id})
	wantOK(t, "GenerateDataKey makes a data key under an Enabled key", err)
	text := string(made.Plaintext.Bytes())
	wantOK(t, "Close of an open backend succeeds", b.Close())
	for _, op := range operations(b) {
		wantErr(t, op.name+" after Close is ErrClosed", op.call(t.Context(), id, blob), s.orUnsupported(kms.ErrClosed)...)
	}
	want(t, "Close does not wipe what was answered: it is the receiver's", string(made.Plaintext.Bytes()), text)
	if err := b.Close(); err != nil {
		wantErr(t, "a second Close is nil or ErrClosed", err, kms.ErrClosed)
	}
}
