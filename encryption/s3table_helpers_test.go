package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/mock"
)

// An s3Server does for each operation of S3 what a server does with this package, as docs/S3.md has it, and nothing else. Its objects and uploads have one of each mode.
type s3Server struct {
	t         testing.TB
	keys      *mock.Backend
	svc       *encryption.Service
	transport encryption.Transport
	bucket    encryption.BucketDefault
	objects   map[encryption.Mode]*s3Object
	uploads   map[encryption.Mode]*encryption.UploadState
	receipts  map[encryption.Mode][]encryption.PartReceipt
}

type s3Object struct {
	env  *encryption.Envelope
	body []byte
}

// modes are the headers with which a client asks for each mode.
func modes() map[encryption.Mode]http.Header {
	return map[encryption.Mode]http.Header{
		encryption.SSES3:  headers(hSSE, "AES256"),
		encryption.SSEKMS: headers(hSSE, "aws:kms", hKeyID, keyPrefix+"other", hContext, base64Of(`{"a":"b"}`), hBucketKey, "true"),
		encryption.SSEC:   withKey(headers(), hCustomer, testCustomerKey),
	}
}

// readHeaders are what reads of an object in this mode need.
func readHeaders(mode encryption.Mode) http.Header {
	if mode == encryption.SSEC {
		return withKey(headers(), hCustomer, testCustomerKey)
	}
	return headers()
}

// sourceHeaders are what copies of an object in this mode need.
func sourceHeaders(h http.Header, mode encryption.Mode) http.Header {
	if mode == encryption.SSEC {
		return withKey(h, hSource, testCustomerKey)
	}
	return h
}

func newS3Server(t testing.TB) *s3Server {
	keys := newMock(t)
	manager := kms.NewManager(keys, kms.Options{DefaultKeyID: "default", RetryAttempts: 1, Cache: kms.CacheOptions{Disabled: true}})
	t.Cleanup(func() { manager.Close() })
	s := &s3Server{t: t, keys: keys, transport: trusted,
		svc:     encryption.NewService(manager, encryption.Options{KeyARN: func(keyID string) string { return keyPrefix + keyID }}),
		objects: make(map[encryption.Mode]*s3Object), uploads: make(map[encryption.Mode]*encryption.UploadState),
		receipts: make(map[encryption.Mode][]encryption.PartReceipt),
	}
	for mode, h := range modes() {
		req, err := encryption.ParseWriteHeaders(h, trusted, encryption.BucketDefault{})
		require.NoError(t, err)
		env, body := put(t, s.svc, photo, req, []byte("meow"))
		s.objects[mode] = &s3Object{env, body}
		req, err = encryption.ParseWriteHeaders(h, trusted, encryption.BucketDefault{})
		require.NoError(t, err)
		upload, err := s.svc.CreateUpload(t.Context(), photo, uploadID, req)
		require.NoError(t, err)
		s.uploads[mode] = upload.State()
		part, err := upload.EncryptPart(1, strings.NewReader("meow"))
		require.NoError(t, err)
		_, err = part.WriteTo(io.Discard)
		require.NoError(t, err)
		receipt, err := part.Receipt()
		require.NoError(t, err)
		s.receipts[mode] = []encryption.PartReceipt{receipt}
		require.NoError(t, upload.Close())
	}
	return s
}

// write is PutObject, or a POST form, whose fields are the headers.
func (s *s3Server) write(h encryption.Header) (http.Header, error) {
	req, err := encryption.ParseWriteHeaders(h, s.transport, s.bucket)
	if err != nil {
		return nil, err
	}
	object, err := s.svc.EncryptStream(s.t.Context(), photo, req, strings.NewReader("purr"))
	if err != nil {
		return nil, err
	}
	defer object.Close()
	if _, err := object.WriteTo(io.Discard); err != nil {
		return nil, err
	}
	response := make(http.Header)
	object.WriteHeaders(response)
	return response, nil
}

func (s *s3Server) putObject(h http.Header) (http.Header, error) { return s.write(h) }

func (s *s3Server) postObject(h http.Header) (http.Header, error) {
	form := make(url.Values)
	for name, values := range h {
		form[strings.ToLower(name)] = values
	}
	return s.write(form)
}

func (s *s3Server) createMultipartUpload(h http.Header) (http.Header, error) {
	req, err := encryption.ParseWriteHeaders(h, s.transport, s.bucket)
	if err != nil {
		return nil, err
	}
	upload, err := s.svc.CreateUpload(s.t.Context(), photo, "upload-2", req)
	if err != nil {
		return nil, err
	}
	defer upload.Close()
	response := make(http.Header)
	upload.WriteHeaders(response)
	return response, nil
}

// copyObject copies the object of a mode.
func (s *s3Server) copyObject(source encryption.Mode) func(h http.Header) (http.Header, error) {
	return func(h http.Header) (http.Header, error) {
		read, err := encryption.ParseCopySourceHeaders(h, s.transport)
		if err != nil {
			return nil, err
		}
		target, err := encryption.ParseWriteHeaders(h, s.transport, s.bucket)
		if err != nil {
			return nil, err
		}
		env, err := s.svc.Rewrap(s.t.Context(), photo, s.objects[source].env, read, encryption.ObjectID{Bucket: "copies", Key: "cat"}, target)
		if err != nil {
			return nil, err
		}
		response := make(http.Header)
		s.svc.WriteCopyHeaders(response, env, target)
		return response, nil
	}
}

// part is UploadPart of a body to the upload of a mode.
func (s *s3Server) part(h http.Header, mode encryption.Mode, body io.Reader) (http.Header, error) {
	req, err := encryption.ParseReadHeaders(h, s.transport)
	if err != nil {
		return nil, err
	}
	upload, err := s.svc.OpenUpload(s.t.Context(), photo, uploadID, s.uploads[mode], req)
	if err != nil {
		return nil, err
	}
	defer upload.Close()
	part, err := upload.EncryptPart(2, body)
	if err != nil {
		return nil, err
	}
	if _, err := part.WriteTo(io.Discard); err != nil {
		return nil, err
	}
	response := make(http.Header)
	part.WriteHeaders(response)
	return response, nil
}

func (s *s3Server) uploadPart(mode encryption.Mode) func(h http.Header) (http.Header, error) {
	return func(h http.Header) (http.Header, error) { return s.part(h, mode, strings.NewReader("purr")) }
}

// uploadPartCopy copies the object of the upload's own mode into a part.
func (s *s3Server) uploadPartCopy(mode encryption.Mode) func(h http.Header) (http.Header, error) {
	return func(h http.Header) (http.Header, error) {
		read, err := encryption.ParseCopySourceHeaders(h, s.transport)
		if err != nil {
			return nil, err
		}
		source := s.objects[mode]
		plain, err := s.svc.DecryptStream(s.t.Context(), photo, source.env, read, bytes.NewReader(source.body))
		if err != nil {
			return nil, err
		}
		defer plain.Close()
		return s.part(h, mode, plain)
	}
}

func (s *s3Server) completeMultipartUpload(mode encryption.Mode) func(h http.Header) (http.Header, error) {
	return func(h http.Header) (http.Header, error) {
		req, err := encryption.ParseReadHeaders(h, s.transport)
		if err != nil {
			return nil, err
		}
		upload, err := s.svc.OpenUpload(s.t.Context(), photo, uploadID, s.uploads[mode], req)
		if err != nil {
			return nil, err
		}
		defer upload.Close()
		if _, err := upload.Complete(s.t.Context(), photo, s.receipts[mode]); err != nil {
			return nil, err
		}
		response := make(http.Header)
		upload.WriteHeaders(response)
		return response, nil
	}
}

// errBody is an error in the middle of a body, when the response has begun.
var errBody = errors.New("after the headers")

// getObject is GetObject of the object of a mode, with a Range header or without.
func (s *s3Server) getObject(mode encryption.Mode) func(h http.Header) (http.Header, error) {
	return func(h http.Header) (http.Header, error) {
		req, err := encryption.ParseReadHeaders(h, s.transport)
		if err != nil {
			return nil, err
		}
		stored := s.objects[mode]
		object, err := s.svc.OpenObject(s.t.Context(), photo, stored.env, req, int64(len(stored.body)))
		if err != nil {
			return nil, err
		}
		defer object.Close()
		off, n, _, err := object.ParseRange(h.Get("Range"))
		if err != nil {
			return nil, err
		}
		plain, err := object.Range(s.t.Context(), off, n, (&store{stored: stored.body}).fetch)
		if err != nil {
			return nil, err
		}
		defer plain.Close()
		response := make(http.Header)
		object.WriteHeaders(response)
		if _, err := io.Copy(io.Discard, plain); err != nil {
			return response, errors.Join(errBody, err)
		}
		return response, nil
	}
}

func (s *s3Server) getRange(mode encryption.Mode) func(h http.Header) (http.Header, error) {
	return func(h http.Header) (http.Header, error) { return s.getObject(mode)(changed(h, "Range", "bytes=1-2")) }
}

func (s *s3Server) headObject(mode encryption.Mode) func(h http.Header) (http.Header, error) {
	return func(h http.Header) (http.Header, error) {
		response := make(http.Header)
		return response, s.open(h, mode, func(object *encryption.Object) { object.WriteHeaders(response) })
	}
}

// getObjectAttributes answers no headers. So do SelectObjectContent and ListParts.
func (s *s3Server) getObjectAttributes(mode encryption.Mode) func(h http.Header) (http.Header, error) {
	return func(h http.Header) (http.Header, error) {
		return make(http.Header), s.open(h, mode, func(*encryption.Object) {})
	}
}

func (s *s3Server) open(h http.Header, mode encryption.Mode, answer func(*encryption.Object)) error {
	req, err := encryption.ParseReadHeaders(h, s.transport)
	if err != nil {
		return err
	}
	stored := s.objects[mode]
	object, err := s.svc.OpenObject(s.t.Context(), photo, stored.env, req, int64(len(stored.body)))
	if err != nil {
		return err
	}
	defer object.Close()
	answer(object)
	return nil
}

// updateObjectEncryption puts the object of a mode under another key. Its document is the server's to read, and its response has no headers.
func (s *s3Server) updateObjectEncryption(mode encryption.Mode, keyARN string) error {
	env := s.objects[mode].env
	target := &encryption.Request{Mode: encryption.SSEKMS, KeyID: keyARN, Context: env.Context()}
	env, err := s.svc.Rewrap(s.t.Context(), photo, env, nil, photo, target)
	if err == nil {
		s.objects[mode].env = env
	}
	return err
}

func (s *s3Server) disable(keyID string) {
	_, err := s.keys.DisableKey(s.t.Context(), &kms.DisableKeyRequest{KeyID: keyID})
	require.NoError(s.t, err)
}

func (s *s3Server) delete(keyID string) {
	_, err := s.keys.DeleteKey(s.t.Context(), &kms.DeleteKeyRequest{KeyID: keyID})
	require.NoError(s.t, err)
}

// wear gives the server another KeyService.
func (s *s3Server) wear(keys kms.KeyService) {
	s.svc = encryption.NewService(keys, encryption.Options{})
}

// fail lets every later call of the backend for a data key fail.
func (s *s3Server) fail(failure error) {
	for range 100 {
		s.keys.FailNext("GenerateDataKey", failure)
		s.keys.FailNext("Decrypt", failure)
	}
}

// denied is a KeyService that lets nobody use its keys.
type denied struct{ kms.KeyService }

func (denied) GenerateDataKey(context.Context, *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	return nil, &kms.Error{Op: "GenerateDataKey", KeyID: "other", Err: kms.ErrPermission}
}

func (denied) Decrypt(context.Context, *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	return nil, &kms.Error{Op: "Decrypt", KeyID: "other", Err: kms.ErrPermission}
}

// configure is PutBucketEncryption.
func configure(document string) []try {
	return []try{{"PUT ?encryption", func(http.Header) (http.Header, error) {
		_, err := encryption.ParseBucketEncryption([]byte(document))
		return nil, err
	}, nil}}
}

// declare is PutObject of 4 bytes with other sizes declared.
func declare(s *s3Server, sizes ...int64) (tries []try) {
	for _, size := range sizes {
		tries = append(tries, try{"PUT", func(http.Header) (http.Header, error) {
			object, err := s.svc.EncryptStream(s.t.Context(), photo, &encryption.Request{Mode: encryption.SSES3, PlainSize: size}, strings.NewReader("meow"))
			require.NoError(s.t, err)
			defer object.Close()
			_, err = object.WriteTo(io.Discard)
			return nil, err
		}, nil})
	}
	return tries
}

// withPrefix returns the headers with another beginning of their names.
func withPrefix(h http.Header, old, prefix string) http.Header {
	other := make(http.Header)
	for name, values := range h {
		other[strings.Replace(name, old, prefix, 1)] = values
	}
	return other
}

// sourcePart adds what a part of an upload of this mode needs beside its source.
func sourcePart(h http.Header, mode encryption.Mode) http.Header {
	if mode != encryption.SSEC {
		return h
	}
	return withKey(maps.Clone(h), hCustomer, testCustomerKey)
}
