package encryption

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

const (
	arnName         = "aws:s3:arn"
	arnPrefix       = "arn:aws:s3:::"
	customerKeyInfo = "objectkms/v1/customer-key"
	objectKeyLabel  = "object-key"
	uploadLabel     = "upload"
	objectLabel     = "object"
)

// effectiveContext returns the encryption context of the data key: the client's, and the ARN of the object, or of its bucket where
// data keys are the bucket's. SSE-C has none.
func (e *Envelope) effectiveContext(id ObjectID) kms.EncryptionContext {
	if e.mode == SSEC {
		return nil
	}
	context := e.Context()
	if context == nil {
		context = make(kms.EncryptionContext, 1)
	}
	if e.bucketKey {
		context[arnName] = arnPrefix + id.Bucket
	} else {
		context[arnName] = arnPrefix + id.Bucket + "/" + id.Key
	}
	return context
}

// sealContext returns what the sealed object key is bound to: the object, or the upload of one, which has an id of its own and no version id yet.
func (e *Envelope) sealContext(id ObjectID, uploadID string, effective kms.EncryptionContext) []byte {
	const room = 128 // for labels and lengths
	canonical := encctx.Append(make([]byte, 0, encctx.Size(effective)), effective)
	bound := e.appendBound(make([]byte, 0, room+len(e.keyID)+len(e.context)))
	label, last := objectKeyLabel, id.boundVersion()
	if uploadID != "" {
		label, last = uploadLabel, uploadID
	}
	dst := make([]byte, 0, room+len(id.Bucket)+len(id.Key)+len(last)+len(canonical)+len(bound))
	return encctx.Bind(dst, label, []byte(id.Bucket), []byte(id.Key), []byte(last), canonical, bound)
}

func newObjectKey() *kms.Secret {
	key := make([]byte, objectKeySize)
	rand.Read(key)
	return kms.NewSecret(key)
}

// A sealer seals object keys for one object, or for an upload of one, under a data key or the customer's key.
type sealer struct {
	id        ObjectID
	uploadID  string   // of an upload
	env       Envelope // of the object, but for the layout and the sealed key
	effective kms.EncryptionContext
	inputKey  *kms.Secret
	answered  protection // but for the encryption context
}

// checkContext refuses a nil Context, of which the KeyService would not know what to do.
func checkContext(ctx context.Context) error {
	if ctx == nil {
		return fmt.Errorf("%w: context is nil", kms.ErrInvalidRequest)
	}
	return nil
}

// newSealer returns the sealer for a request that has been checked.
func (s *Service) newSealer(ctx context.Context, id ObjectID, req *Request) (*sealer, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	l := &sealer{id: id, env: Envelope{mode: req.Mode, bucketKey: req.BucketKey, context: encctx.Append(nil, req.Context)}}
	l.answered = protection{mode: req.Mode, bucketKey: req.BucketKey}
	if req.Mode == SSEC {
		var err error
		l.inputKey, err = customerInputKey(req.CustomerKey)
		s.hold(l.inputKey)
		l.answered.echo = req.echoCustomerKey()
		return l, err
	}
	prefix, keyID, err := s.opts.resolveKeyID(req.KeyID)
	if err != nil {
		return nil, err
	}
	l.effective = l.env.effectiveContext(id)
	dataKey := s.ownDataKey
	if req.BucketKey {
		dataKey = s.bucketDataKey
	}
	dk, err := dataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: keyID, Spec: kms.AES256, Context: l.effective})
	if err != nil {
		return nil, s.opts.nameKey(prefix, err)
	}
	l.env.keyID, l.env.wrapped, l.inputKey = dk.KeyID, dk.Ciphertext, dk.Plaintext
	s.hold(l.inputKey)
	l.answered.keyID = s.opts.answerKeyID(prefix, dk.KeyID)
	return l, nil
}

// seal returns the envelope of an object of the given layout with this object key.
func (l *sealer) seal(objectKey *kms.Secret, layout layout) (*Envelope, error) {
	env := l.env
	env.layout = layout
	sealed := make([]byte, 0, sealedKeySize)
	sealed, err := cobblestone.Seal(sealed, l.inputKey.Bytes(), env.sealContext(l.id, l.uploadID, l.effective), objectKey.Bytes())
	if err != nil {
		return nil, err
	}
	env.sealed = sealed
	if n := env.binarySize(); n > maxEnvelope {
		return nil, fmt.Errorf("%w: envelope has %d bytes, want at most %d", kms.ErrInvalidRequest, n, maxEnvelope)
	}
	return &env, nil
}

// ownDataKey returns a new data key that can be used and stored.
func (s *Service) ownDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	dk, err := s.generateDataKey(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := checkDataKey(dk); err != nil {
		dk.Plaintext.Destroy()
		return nil, err
	}
	return dk, nil
}

// generateDataKey asks for a data key. See Options.CreateDefaultKey.
func (s *Service) generateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	dk, err := s.askForDataKey(ctx, req)
	// A refusal may wrap why the caller may know nothing of the key.
	if !s.opts.CreateDefaultKey || req.KeyID != "" || !errors.Is(err, kms.ErrKeyNotFound) || errors.Is(err, kms.ErrPermission) {
		return dk, err
	}
	missing, ok := errors.AsType[*kms.Error](err)
	if !ok || missing.KeyID == "" {
		return nil, err
	}
	if _, err := s.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: missing.KeyID}); err != nil && !errors.Is(err, kms.ErrKeyExists) {
		return nil, err
	}
	return s.askForDataKey(ctx, req)
}

// askForDataKey is GenerateDataKey, of which an answer of nothing is an error.
func (s *Service) askForDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	dk, err := s.GenerateDataKey(ctx, req)
	if err != nil {
		return nil, err
	}
	if dk == nil {
		return nil, errNoAnswer("GenerateDataKey")
	}
	return dk, nil
}

// errNoAnswer is for a KeyService that answers neither a response nor an error.
func errNoAnswer(op string) error {
	return fmt.Errorf("%w: key service answered nothing to %s", kms.ErrKeyMaterial, op)
}

// checkDataKey checks that an answered data key is one that can be used and stored.
func checkDataKey(dk *kms.GenerateDataKeyResponse) error {
	switch n := dk.Plaintext.Len(); {
	case n != cobblestone.KeySize:
		return fmt.Errorf("%w: data key has %d bytes, want %d", kms.ErrKeyMaterial, n, cobblestone.KeySize)
	case len(dk.Ciphertext) == 0 || len(dk.Ciphertext) > maxWrapped:
		return fmt.Errorf("%w: wrapped data key has %d bytes, want 1 to %d", kms.ErrKeyMaterial, len(dk.Ciphertext), maxWrapped)
	case dk.KeyID == "" || len(dk.KeyID) > maxKeyID || !utf8.ValidString(dk.KeyID):
		return fmt.Errorf("%w: data key of a key id of %d bytes, want 1 to %d of UTF-8", kms.ErrKeyMaterial, len(dk.KeyID), maxKeyID)
	}
	return nil
}

// openObjectKey checks a read request, unwraps the data key and opens the object key, which authenticates the envelope. The
// caller destroys it.
func (s *Service) openObjectKey(ctx context.Context, id ObjectID, env *Envelope, req *Request) (*kms.Secret, error) {
	if err := env.check(); err != nil {
		return nil, err
	}
	if err := id.validate(); err != nil {
		return nil, err
	}
	if err := req.checkRead(env, &s.opts); err != nil {
		return nil, err
	}
	l, key, err := s.openSealed(ctx, id, "", env, req)
	if err != nil {
		if env.mode == SSEC && errors.Is(err, kms.ErrDecrypt) {
			err = errWrongCustomerKey(err)
		}
		return nil, err
	}
	l.inputKey.Destroy()
	return key, nil
}

// openSealed opens the object key in an envelope or in the state of an upload, for a request that has been checked. It returns what has sealed it too. The
// caller destroys both keys.
func (s *Service) openSealed(ctx context.Context, id ObjectID, uploadID string, env *Envelope, req *Request) (*sealer, *kms.Secret, error) {
	if err := checkContext(ctx); err != nil {
		return nil, nil, err
	}
	l := &sealer{id: id, uploadID: uploadID, env: *env, effective: env.effectiveContext(id)}
	var err error
	if l.inputKey, err = s.openInputKey(ctx, env, l.effective, req.customerKey()); err != nil {
		return nil, nil, err
	}
	s.hold(l.inputKey)
	key := make([]byte, 0, objectKeySize)
	key, err = cobblestone.Open(key, l.inputKey.Bytes(), env.sealContext(id, uploadID, l.effective), env.sealed)
	if err != nil {
		l.inputKey.Destroy()
		return nil, nil, openError(err)
	}
	objectKey := kms.NewSecret(key)
	s.hold(objectKey)
	return l, objectKey, nil
}

// hold shows a key to tests, which see then whether it is wiped in the end.
func (s *Service) hold(key *kms.Secret) {
	if s.held != nil {
		s.held(key)
	}
}

// answered returns what the responses to reads with this request tell.
func (s *Service) answered(env *Envelope, req *Request) protection {
	p := protection{mode: env.mode, keyID: s.opts.answerKeyID("", env.keyID), bucketKey: env.bucketKey}
	if env.mode == SSEC {
		p.echo = req.echoCustomerKey()
	}
	return p
}

// openInputKey returns the key that the object key is sealed under.
func (s *Service) openInputKey(ctx context.Context, env *Envelope, effective kms.EncryptionContext, customerKey *kms.Secret) (*kms.Secret, error) {
	if env.mode == SSEC {
		return customerInputKey(customerKey)
	}
	// The key id is not given: as long as it is not authentic, it is only compared.
	dk, err := s.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: env.wrapped, Context: effective})
	if err != nil {
		return nil, s.opts.nameKey("", s.unwrapError(ctx, env, err))
	}
	if dk == nil {
		return nil, errNoAnswer("Decrypt")
	}
	if dk.KeyID != env.keyID || dk.Plaintext.Len() != cobblestone.KeySize {
		dk.Plaintext.Destroy()
		return nil, kms.ErrDecrypt
	}
	return dk.Plaintext, nil
}

// unwrapError returns the error for a wrapped data key that was not unwrapped. A wrapped data key may name its master key; if it names none that there is, although
// the envelope's is there, it was changed.
func (s *Service) unwrapError(ctx context.Context, env *Envelope, err error) error {
	if !errors.Is(err, kms.ErrKeyNotFound) || errors.Is(err, kms.ErrPermission) {
		return err
	}
	described, missing := s.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: env.keyID})
	if missing == nil && described != nil && described.Key.ID == env.keyID {
		return kms.ErrDecrypt
	}
	return err
}

// customerInputKey derives the key that object keys are sealed under from the customer's, which may not be uniform.
func customerInputKey(customerKey *kms.Secret) (*kms.Secret, error) {
	key, err := hkdf.Key(sha512.New, customerKey.Bytes(), nil, customerKeyInfo, cobblestone.KeySize)
	if err != nil {
		return nil, fmt.Errorf("HKDF-SHA-512 is not available: %w", err)
	}
	return kms.NewSecret(key), nil
}

// openError turns the error of a message that is not authentic into the one that all such failures have.
func openError(err error) error {
	if errors.Is(err, cobblestone.ErrOpen) {
		return kms.ErrDecrypt
	}
	return err
}
