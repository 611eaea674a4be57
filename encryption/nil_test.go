package encryption_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// What is nil, and may not be, is a request that cannot be right. Nothing panics.
func TestNothingThatIsNilPanics(t *testing.T) {
	var noContext context.Context
	ctx := t.Context()
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	write := func() *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} }
	env, body := put(t, svc, photo, write(), []byte("meow"))
	object, err := svc.OpenObject(ctx, photo, env, nil, int64(len(body)))
	require.NoError(t, err)
	defer object.Close()
	u := newUpload(t, ring, photo, protections()[0])
	u.put(t, 1, nil)
	upload := u.opened(t)
	fetch := func(context.Context, int64, int64) (io.ReadCloser, error) { return nil, nil }
	store := func(context.Context, encryption.Item, *encryption.Envelope) error { return nil }
	nothing := func() (encryption.Item, bool) { return encryption.Item{}, false }
	reader := func() io.Reader { return strings.NewReader("meow") }

	for name, call := range map[string]func() error{
		"EncryptStream, context": func() error { _, err := svc.EncryptStream(noContext, photo, write(), reader()); return err },
		"EncryptStream, request": func() error { _, err := svc.EncryptStream(ctx, photo, nil, reader()); return err },
		"EncryptStream, body":    func() error { _, err := svc.EncryptStream(ctx, photo, write(), nil); return err },
		"DecryptStream, context": func() error {
			_, err := svc.DecryptStream(noContext, photo, env, nil, bytes.NewReader(body))
			return err
		},
		"DecryptStream, envelope": func() error { _, err := svc.DecryptStream(ctx, photo, nil, nil, bytes.NewReader(body)); return err },
		"DecryptStream, body":     func() error { _, err := svc.DecryptStream(ctx, photo, env, nil, nil); return err },
		"OpenObject, context":     func() error { _, err := svc.OpenObject(noContext, photo, env, nil, 76); return err },
		"OpenObject, envelope":    func() error { _, err := svc.OpenObject(ctx, photo, nil, nil, 76); return err },
		"NewReaderAt":             func() error { _, err := object.NewReaderAt(nil); return err },
		"Range, fetch":            func() error { _, err := object.Range(ctx, 0, 1, nil); return err },
		"Range, what it fetches":  func() error { _, err := object.Range(ctx, 0, 1, fetch); return err },
		"OpenAttribute":           func() error { _, err := object.OpenAttribute("a", nil); return err },
		"CreateUpload, context":   func() error { _, err := svc.CreateUpload(noContext, photo, "1", write()); return err },
		"CreateUpload, request":   func() error { _, err := svc.CreateUpload(ctx, photo, "1", nil); return err },
		"OpenUpload, context":     func() error { _, err := svc.OpenUpload(noContext, photo, uploadID, upload.State(), nil); return err },
		"OpenUpload, state":       func() error { _, err := svc.OpenUpload(ctx, photo, uploadID, nil, nil); return err },
		"EncryptPart":             func() error { _, err := upload.EncryptPart(1, nil); return err },
		"Complete, context":       func() error { _, err := upload.Complete(noContext, photo, u.receipts(t, 1)); return err },
		"Complete, parts":         func() error { _, err := upload.Complete(ctx, photo, nil); return err },
		"CompletedETag":           func() error { _, err := encryption.CompletedETag(nil); return err },
		"Rewrap, context":         func() error { _, err := svc.Rewrap(noContext, photo, env, nil, photo, write()); return err },
		"Rewrap, envelope":        func() error { _, err := svc.Rewrap(ctx, photo, nil, nil, photo, write()); return err },
		"Rewrap, target":          func() error { _, err := svc.Rewrap(ctx, photo, env, nil, photo, nil); return err },
		"RewrapAll, context": func() error {
			_, err := svc.RewrapAll(noContext, nothing, encryption.RewrapAllOptions{Store: store})
			return err
		},
		"RewrapAll, items":        func() error { _, err := svc.RewrapAll(ctx, nil, encryption.RewrapAllOptions{Store: store}); return err },
		"RewrapAll, Store":        func() error { _, err := svc.RewrapAll(ctx, nothing, encryption.RewrapAllOptions{}); return err },
		"Info":                    func() error { _, err := encryption.Info(nil, 0); return err },
		"ParseEnvelope":           func() error { _, err := encryption.ParseEnvelope(nil); return err },
		"Envelope.UnmarshalText":  func() error { return new(encryption.Envelope).UnmarshalText(nil) },
		"UnmarshalText, envelope": func() error { return (*encryption.Envelope)(nil).UnmarshalText([]byte(text(t, env))) },
		"UnmarshalText, state":    func() error { return (*encryption.UploadState)(nil).UnmarshalText([]byte(u.state)) },
		"UnmarshalText, receipt":  func() error { return (*encryption.PartReceipt)(nil).UnmarshalText([]byte(u.parts[1].receipt)) },
		"Envelope.MarshalText":    func() error { _, err := (*encryption.Envelope)(nil).MarshalText(); return err },
		"UploadState.MarshalText": func() error { _, err := (*encryption.UploadState)(nil).MarshalText(); return err },
		"ParseWriteHeaders": func() error {
			_, err := encryption.ParseWriteHeaders(nil, trusted, encryption.BucketDefault{})
			return err
		},
		"ParseReadHeaders":        func() error { _, err := encryption.ParseReadHeaders(nil, trusted); return err },
		"ParseCompleteHeaders":    func() error { _, err := encryption.ParseCompleteHeaders(nil, trusted); return err },
		"ParseCopySourceHeaders":  func() error { _, err := encryption.ParseCopySourceHeaders(nil, trusted); return err },
		"ParseBucketEncryption":   func() error { _, err := encryption.ParseBucketEncryption(nil); return err },
		"EncryptedObject.WriteTo": func() error { o := start(t, svc, "meow"); _, err := o.WriteTo(nil); return err },
		"EncryptedPart.WriteTo":   func() error { p, _ := upload.EncryptPart(1, reader()); _, err := p.WriteTo(nil); return err },
		"WriteTo of a DecryptedStream": func() error {
			r, err := svc.DecryptStream(ctx, photo, env, nil, bytes.NewReader(body))
			require.NoError(t, err)
			defer r.Close()
			_, err = r.(io.WriterTo).WriteTo(nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, call(), kms.ErrInvalidRequest)
		})
	}
}

func start(t *testing.T, svc *encryption.Service, plain string) *encryption.EncryptedObject {
	t.Helper()
	object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3}, strings.NewReader(plain))
	require.NoError(t, err)
	t.Cleanup(func() { object.Close() })
	return object
}

// What has no error to answer with answers nothing.
func TestWhatNilAnswers(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	for _, env := range []*encryption.Envelope{nil, {}} {
		require.Equal(t, encryption.None, env.Mode())
		require.Empty(t, env.KeyID())
		require.False(t, env.BucketKey())
		require.Nil(t, env.Context())
		require.Zero(t, env.PlainSize())
		require.Nil(t, env.Map())
		for range env.PartSizes() {
			t.Error("a part of nothing")
		}
		h := make(http.Header)
		svc.WriteCopyHeaders(h, env, &encryption.Request{Mode: encryption.SSES3})
		require.Empty(t, h)
	}
	require.Equal(t, encryption.None, (*encryption.UploadState)(nil).Mode())
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS}, nil)
	h := make(http.Header)
	svc.WriteCopyHeaders(h, env, nil)
	require.Equal(t, headers(hSSE, "aws:kms", hKeyID, "default"), h)
	ofCustomer, _ := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()}, nil)
	h = make(http.Header)
	svc.WriteCopyHeaders(h, ofCustomer, nil)
	require.Empty(t, h, "there is no MD5 to repeat")

	object := start(t, svc, "meow")
	opened, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
	require.NoError(t, err)
	defer opened.Close()
	upload := newUpload(t, newRing("default"), photo, protections()[0]).opened(t)
	part, err := upload.EncryptPart(1, strings.NewReader(""))
	require.NoError(t, err)
	for _, write := range []func(encryption.HeaderSetter){object.WriteHeaders, opened.WriteHeaders, upload.WriteHeaders, part.WriteHeaders} {
		write(nil)
	}
	svc.WriteCopyHeaders(nil, nil, nil)

	var none *encryption.Error
	require.Equal(t, "<nil>", none.Error())
	require.NoError(t, none.Unwrap())
	require.Nil(t, encryption.S3Error(none))
}

// A server without keys is no server that stores in clear: it answers 501, but for the keys that clients bring.
func TestServiceWithoutAKeyService(t *testing.T) {
	ring := newRing("default", "other")
	for name, svc := range map[string]*encryption.Service{
		"nil":                  encryption.NewService(nil, sharing()),
		"a Manager":            encryption.NewService((*kms.Manager)(nil), sharing()),
		"a ServiceManager":     encryption.NewService((*kms.ServiceManager)(nil), sharing()),
		"the zero Service":     {},
		"without a KeyService": {KeyService: nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range protections() {
				env, body := put(t, encryption.NewService(ring, encryption.Options{}), photo, p.write(), []byte("meow"))
				_, writeErr := svc.EncryptStream(t.Context(), photo, p.write(), strings.NewReader("meow"))
				_, readErr := get(t.Context(), svc, photo, env, p.read(), bytes.NewReader(body))
				_, uploadErr := svc.CreateUpload(t.Context(), photo, "1", p.write())
				for _, err := range []error{writeErr, readErr, uploadErr} {
					if env.Mode() == encryption.SSEC {
						require.NoError(t, err)
						continue
					}
					require.ErrorIs(t, err, kms.ErrNotConfigured)
					require.Equal(t, 501, encryption.S3Error(err).Status)
				}
			}
			for op, call := range operations(t.Context(), svc) {
				require.ErrorIs(t, call(), kms.ErrNotConfigured, op)
			}
			svc.ClearBucketKeys()
			require.Zero(t, svc.BucketKeyStats())
		})
	}
}

// operations calls each method that a Service has from its KeyService.
func operations(ctx context.Context, svc *encryption.Service) map[string]func() error {
	return map[string]func() error{
		"CreateKey":   func() error { _, err := svc.CreateKey(ctx, &kms.CreateKeyRequest{}); return err },
		"DescribeKey": func() error { _, err := svc.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "a"}); return err },
		"ListKeys":    func() error { _, err := svc.ListKeys(ctx, &kms.ListKeysRequest{}); return err },
		"DeleteKey":   func() error { _, err := svc.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "a"}); return err },
		"CancelKeyDeletion": func() error {
			_, err := svc.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: "a"})
			return err
		},
		"GenerateDataKey": func() error { _, err := svc.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{}); return err },
		"Encrypt":         func() error { _, err := svc.Encrypt(ctx, &kms.EncryptRequest{}); return err },
		"Decrypt":         func() error { _, err := svc.Decrypt(ctx, &kms.DecryptRequest{}); return err },
		"HealthCheck":     func() error { return svc.HealthCheck(ctx) },
		"EnableKey":       func() error { _, err := svc.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: "a"}); return err },
		"DisableKey":      func() error { _, err := svc.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: "a"}); return err },
		"RotateKey":       func() error { _, err := svc.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: "a"}); return err },
		"ImportKey":       func() error { _, err := svc.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: "a"}); return err },
		"UpdateKeyDescription": func() error {
			_, err := svc.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: "a"})
			return err
		},
		"TagKey":            func() error { _, err := svc.TagKey(ctx, &kms.TagKeyRequest{KeyID: "a"}); return err },
		"UntagKey":          func() error { _, err := svc.UntagKey(ctx, &kms.UntagKeyRequest{KeyID: "a"}); return err },
		"RewrapDataKeys":    func() error { _, err := svc.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{KeyID: "a"}); return err },
		"RemoveExpiredKeys": func() error { _, err := svc.RemoveExpiredKeys(ctx, time.Time{}); return err },
	}
}

// silent is a KeyService that answers nothing, and no error.
type silent struct{ *kms.Manager }

func (silent) GenerateDataKey(context.Context, *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	return nil, nil
}
func (silent) Decrypt(context.Context, *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	return nil, nil
}
func (silent) DescribeKey(context.Context, *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	return nil, nil
}
func (silent) AuthorizeDataKey(context.Context, *kms.GenerateDataKeyRequest) (*kms.DescribeKeyResponse, error) {
	return nil, nil
}
func (silent) RewrapDataKeys(context.Context, *kms.RewrapDataKeysRequest) (*kms.RewrapDataKeysResponse, error) {
	return nil, nil
}

func TestAKeyServiceThatAnswersNothing(t *testing.T) {
	manager := newManager(t, newMock(t))
	right := encryption.NewService(manager, encryption.Options{})
	env, body := put(t, right, photo, &encryption.Request{Mode: encryption.SSES3}, nil)
	svc := encryption.NewService(silent{manager}, sharing())
	for _, bucketKey := range []bool{false, true} {
		_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3, BucketKey: bucketKey}, strings.NewReader(""))
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
	}
	_, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(body))
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	b := newBucket()
	b.fill(t, right, 3, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	report := b.rewrap(t, svc, encryption.RewrapAllOptions{})
	require.Equal(t, 3, report.Failed)
	require.ErrorIs(t, report.Errors[0], kms.ErrKeyMaterial)

	undescribed := encryption.NewService(undescribing{manager}, encryption.Options{})
	report = b.rewrap(t, undescribed, encryption.RewrapAllOptions{})
	require.Equal(t, 3, report.Failed)
	require.ErrorIs(t, report.Errors[0], kms.ErrKeyMaterial)
	b.open(t, right)
}

// undescribing has every key, and describes none.
type undescribing struct{ kms.KeyService }

func (undescribing) DescribeKey(context.Context, *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	return nil, nil
}
