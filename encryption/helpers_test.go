package encryption_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

const chunk = cobblestone.ChunkSize

// sizes are the sizes that every way through the package must get right.
var sizes = []int{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 100_003}

// ring is a KeyService over raw master keys, with the wrapped data keys that package local makes. Its zero default key is an error.
type ring struct {
	kms.KeyService // nil: what is not implemented panics

	masters    map[string][]byte // the material of the one version
	version    uint32
	defaultKey string
	issued     [][]byte                           // copies of all data keys, for canaries
	generate   func(*kms.GenerateDataKeyResponse) // changes the answer
	decrypt    func(*kms.DecryptResponse)         // changes the answer
	requests   []*kms.GenerateDataKeyRequest
	unwraps    []*kms.DecryptRequest
	plaintexts []*kms.Secret // what was answered, to see it destroyed
}

func newRing(ids ...string) *ring {
	r := &ring{masters: make(map[string][]byte), version: 1, defaultKey: ids[0]}
	for _, id := range ids {
		r.masters[id] = random(32)
	}
	return r
}

// forget forgets what was asked and answered. What is fuzzed asks millions of times.
func (r *ring) forget() { r.issued, r.requests, r.unwraps, r.plaintexts = nil, nil, nil, nil }

// blobHeader returns what stands before the sealed data key.
func (r *ring) blobHeader(keyID string) []byte {
	header := append([]byte{1, 1, byte(len(keyID))}, keyID...)
	return binary.BigEndian.AppendUint32(header, r.version)
}

func (r *ring) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	r.requests = append(r.requests, req)
	id := req.KeyID
	if id == "" {
		id = r.defaultKey
	}
	master, ok := r.masters[id]
	if !ok {
		return nil, fmt.Errorf("%w: %s", kms.ErrKeyNotFound, id)
	}
	key, header := random(req.Spec.Size()), r.blobHeader(id)
	blob, err := cobblestone.Seal(header, master, dataKeyContext(header, req.Context), key)
	if err != nil {
		return nil, err
	}
	r.issued = append(r.issued, bytes.Clone(key))
	resp := &kms.GenerateDataKeyResponse{KeyID: id, KeyVersion: r.version, Plaintext: kms.NewSecret(key), Ciphertext: blob}
	if r.generate != nil {
		r.generate(resp)
	}
	r.plaintexts = append(r.plaintexts, resp.Plaintext)
	return resp, nil
}

func (r *ring) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	r.unwraps = append(r.unwraps, req)
	for id, master := range r.masters {
		header := r.blobHeader(id)
		if !bytes.HasPrefix(req.Ciphertext, header) {
			continue
		}
		key, err := cobblestone.Open(nil, master, dataKeyContext(header, req.Context), req.Ciphertext[len(header):])
		if err != nil {
			return nil, kms.ErrDecrypt
		}
		resp := &kms.DecryptResponse{Plaintext: kms.NewSecret(key), KeyID: id, KeyVersion: r.version}
		if r.decrypt != nil {
			r.decrypt(resp)
		}
		r.plaintexts = append(r.plaintexts, resp.Plaintext)
		return resp, nil
	}
	return nil, fmt.Errorf("%w: wrapped by no key of this ring", kms.ErrDecrypt)
}

func dataKeyContext(header []byte, context kms.EncryptionContext) []byte {
	return encctx.Bind(nil, "data-key", header, encctx.Append(nil, context))
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// A protection is one way to protect an object: the requests to write and to read it.
type protection struct {
	name  string
	write func() *encryption.Request
	read  func() *encryption.Request
}

var testCustomerKey = []byte("a customer's key of 32 bytes ...")

func customerKey() *kms.Secret { return kms.NewSecret(bytes.Clone(testCustomerKey)) }

// protections are all modes, with and without what is optional in each.
func protections() []protection {
	none := func() *encryption.Request { return nil }
	return []protection{
		{"SSE-S3", func() *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} }, none},
		{"SSE-S3 bucket key", func() *encryption.Request {
			return &encryption.Request{Mode: encryption.SSES3, KeyID: "other", BucketKey: true}
		}, none},
		{"SSE-KMS", func() *encryption.Request {
			return &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other", Context: kms.EncryptionContext{"tenant": "blue", "a": ""}}
		}, none},
		{"SSE-KMS bucket key", func() *encryption.Request { return &encryption.Request{Mode: encryption.SSEKMS, BucketKey: true} }, none},
		{"SSE-C", func() *encryption.Request {
			return &encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()}
		},
			func() *encryption.Request { return &encryption.Request{CustomerKey: customerKey()} }},
	}
}

var photo = encryption.ObjectID{Bucket: "photos", Key: "2024/cat.jpg"}

// put encrypts an object, and returns what a server stores.
func put(t testing.TB, svc *encryption.Service, id encryption.ObjectID, req *encryption.Request, plain []byte) (*encryption.Envelope, []byte) {
	t.Helper()
	object, err := svc.EncryptStream(t.Context(), id, req, bytes.NewReader(plain))
	require.NoError(t, err)
	defer object.Close()
	stored, err := io.ReadAll(object)
	require.NoError(t, err)
	env, err := object.Envelope()
	require.NoError(t, err)
	return env, stored
}

// get decrypts an object, and fails where any part of it does.
func get(ctx context.Context, svc *encryption.Service, id encryption.ObjectID, env *encryption.Envelope, req *encryption.Request, stored io.Reader) ([]byte, error) {
	r, err := svc.DecryptStream(ctx, id, env, req, stored)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func text(t testing.TB, env *encryption.Envelope) string {
	t.Helper()
	b, err := env.MarshalText()
	require.NoError(t, err)
	return string(b)
}

// binaryForm returns the bytes behind the text of an envelope.
func binaryForm(t testing.TB, env *encryption.Envelope) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text(t, env))
	require.NoError(t, err)
	return b
}

func parseBinary(b []byte) (*encryption.Envelope, error) {
	env := new(encryption.Envelope)
	return env, env.UnmarshalText([]byte(base64.RawURLEncoding.EncodeToString(b)))
}
