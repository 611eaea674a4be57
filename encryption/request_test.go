package encryption_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/mock"
)

func TestModesHaveNames(t *testing.T) {
	require.Equal(t, "None", encryption.None.String())
	require.Equal(t, "SSE-S3", encryption.SSES3.String())
	require.Equal(t, "SSE-KMS", encryption.SSEKMS.String())
	require.Equal(t, "SSE-C", encryption.SSEC.String())
	require.Equal(t, "Mode(4)", encryption.Mode(4).String())
}

func TestInvalidNamesAreRefused(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	write := &encryption.Request{Mode: encryption.SSES3}
	env, _ := put(t, svc, photo, write, nil)
	calls := len(ring.requests) + len(ring.unwraps)
	for _, id := range []encryption.ObjectID{
		{}, {Bucket: "b"}, {Key: "k"}, {Bucket: "b/c", Key: "k"}, {Bucket: "/", Key: "k"}, {Bucket: "\xff", Key: "k"}, {Bucket: "b", Key: "k\xff"},
	} {
		_, err := svc.EncryptStream(t.Context(), id, write, strings.NewReader(""))
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = svc.DecryptStream(t.Context(), id, env, nil, strings.NewReader(""))
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = svc.OpenObject(t.Context(), id, env, nil, 72)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = svc.Rewrap(t.Context(), id, env, nil, photo, write)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = svc.Rewrap(t.Context(), photo, env, nil, id, write)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
	require.Equal(t, calls, len(ring.requests)+len(ring.unwraps), "refused without the KeyService")
}

func TestUnusualNamesAreRight(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	for _, id := range []encryption.ObjectID{
		{Bucket: "b", Key: "/"}, {Bucket: "b", Key: "../../etc/passwd"}, {Bucket: "b", Key: "a\x00b\n"}, {Bucket: "ü.b", Key: "日本", Version: "\xff"},
		{Bucket: "b", Key: strings.Repeat("k", 1024), Version: strings.Repeat("v", 1024)},
	} {
		env, body := put(t, svc, id, &encryption.Request{Mode: encryption.SSES3}, []byte("x"))
		got, err := get(t.Context(), svc, id, env, nil, bytes.NewReader(body))
		require.NoError(t, err)
		require.Equal(t, "x", string(got))
	}
}

func TestInvalidWriteRequestsAreRefused(t *testing.T) {
	context := kms.EncryptionContext{"a": "b"}
	key := func(n int) *kms.Secret { return kms.NewSecret(random(n)) }
	for name, req := range map[string]*encryption.Request{
		"nil":                          nil,
		"no mode":                      {},
		"no mode with key":             {KeyID: "default"},
		"no mode with customer key":    {CustomerKey: key(32)},
		"unknown mode":                 {Mode: 4},
		"negative size":                {Mode: encryption.SSES3, PlainSize: -1},
		"size too large":               {Mode: encryption.SSES3, PlainSize: encryption.MaxPlainSize + 1},
		"SSE-S3 with context":          {Mode: encryption.SSES3, Context: context},
		"SSE-S3 with customer key":     {Mode: encryption.SSES3, CustomerKey: key(32)},
		"SSE-KMS with customer key":    {Mode: encryption.SSEKMS, CustomerKey: key(32)},
		"SSE-KMS with spent key":       {Mode: encryption.SSEKMS, CustomerKey: key(0)},
		"context of the server's":      {Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"aws:s3:arn": "x"}},
		"context of another service's": {Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"a": "b", "aws:": ""}},
		"context too long":             {Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"a": strings.Repeat("x", 2048-8)}},
		"context key is not UTF-8":     {Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"\xff": ""}},
		"context value is not UTF-8":   {Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"a": "\xff"}},
		"SSE-C without key":            {Mode: encryption.SSEC},
		"SSE-C with short key":         {Mode: encryption.SSEC, CustomerKey: key(31)},
		"SSE-C with long key":          {Mode: encryption.SSEC, CustomerKey: key(33)},
		"SSE-C with key id":            {Mode: encryption.SSEC, CustomerKey: key(32), KeyID: "default"},
		"SSE-C with context":           {Mode: encryption.SSEC, CustomerKey: key(32), Context: context},
		"SSE-C with bucket key":        {Mode: encryption.SSEC, CustomerKey: key(32), BucketKey: true},
	} {
		t.Run(name, func(t *testing.T) {
			ring := newRing("default")
			svc := encryption.NewService(ring, encryption.Options{})
			body := &countingReader{r: strings.NewReader("plaintext")}
			object, err := svc.EncryptStream(t.Context(), photo, req, body)
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
			require.Nil(t, object)
			require.Zero(t, body.n)
			require.Empty(t, ring.requests)
			if req != nil {
				require.Zero(t, req.CustomerKey.Len(), "destroyed")
			}
		})
	}
}

func TestLargestContextIsRight(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	req := &encryption.Request{Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"AWS:": "", "a": strings.Repeat("x", 2048-9-12)}}
	env, body := put(t, svc, photo, req, nil)
	_, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(body))
	require.NoError(t, err)
}

func TestReadRequestsThatFitTheEnvelope(t *testing.T) {
	ring := newRing("default", "other")
	svc := encryption.NewService(ring, encryption.Options{})
	context := kms.EncryptionContext{"a": "b"}
	s3, s3Body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(5))
	forKMS, kmsBody := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other", Context: context}, random(5))
	c, cBody := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()}, random(5))
	for _, tt := range []struct {
		name string
		env  *encryption.Envelope
		body []byte
		req  *encryption.Request
		want error
	}{
		{"SSE-S3, nil", s3, s3Body, nil, nil},
		{"SSE-S3, zero", s3, s3Body, &encryption.Request{}, nil},
		{"SSE-S3, all", s3, s3Body, &encryption.Request{Mode: encryption.SSES3, KeyID: "default"}, nil},
		{"SSE-S3, what is for writes", s3, s3Body, &encryption.Request{PlainSize: 99, MD5: true, BucketKey: true}, nil},
		{"SSE-S3, another mode", s3, s3Body, &encryption.Request{Mode: encryption.SSEKMS}, kms.ErrInvalidRequest},
		{"SSE-S3, another key", s3, s3Body, &encryption.Request{KeyID: "other"}, kms.ErrInvalidRequest},
		{"SSE-S3, context", s3, s3Body, &encryption.Request{Context: context}, kms.ErrInvalidRequest},
		{"SSE-S3, customer key", s3, s3Body, &encryption.Request{CustomerKey: customerKey()}, kms.ErrInvalidRequest},
		{"SSE-S3, spent customer key", s3, s3Body, &encryption.Request{CustomerKey: kms.NewSecret(nil)}, kms.ErrInvalidRequest},
		{"SSE-KMS, nil", forKMS, kmsBody, nil, nil},
		{"SSE-KMS, all", forKMS, kmsBody, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other", Context: context}, nil},
		{"SSE-KMS, another mode", forKMS, kmsBody, &encryption.Request{Mode: encryption.SSES3}, kms.ErrInvalidRequest},
		{"SSE-KMS, another key", forKMS, kmsBody, &encryption.Request{KeyID: "default"}, kms.ErrInvalidRequest},
		{"SSE-KMS, another context", forKMS, kmsBody, &encryption.Request{Context: kms.EncryptionContext{"a": "c"}}, kms.ErrInvalidRequest},
		{"SSE-KMS, longer context", forKMS, kmsBody, &encryption.Request{Context: kms.EncryptionContext{"a": "b", "c": "d"}}, kms.ErrInvalidRequest},
		{"SSE-KMS, customer key", forKMS, kmsBody, &encryption.Request{CustomerKey: customerKey()}, kms.ErrInvalidRequest},
		{"SSE-C, key", c, cBody, &encryption.Request{CustomerKey: customerKey()}, nil},
		{"SSE-C, mode and key", c, cBody, &encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()}, nil},
		{"SSE-C, nil", c, cBody, nil, kms.ErrInvalidRequest},
		{"SSE-C, no key", c, cBody, &encryption.Request{Mode: encryption.SSEC}, kms.ErrInvalidRequest},
		{"SSE-C, short key", c, cBody, &encryption.Request{CustomerKey: kms.NewSecret(random(16))}, kms.ErrInvalidRequest},
		{"SSE-C, key id", c, cBody, &encryption.Request{CustomerKey: customerKey(), KeyID: "default"}, kms.ErrInvalidRequest},
		{"SSE-C, another mode", c, cBody, &encryption.Request{CustomerKey: customerKey(), Mode: encryption.SSES3}, kms.ErrInvalidRequest},
		{"SSE-C, another key", c, cBody, &encryption.Request{CustomerKey: kms.NewSecret(random(32))}, kms.ErrDecrypt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := len(ring.unwraps)
			_, err := get(t.Context(), svc, photo, tt.env, tt.req, bytes.NewReader(tt.body))
			if tt.want == kms.ErrDecrypt {
				requireNotOpened(t, tt.env.Mode(), err)
			}
			require.ErrorIs(t, err, tt.want)
			if tt.want == kms.ErrInvalidRequest {
				require.Len(t, ring.unwraps, calls, "refused without the KeyService")
			}
			if tt.req != nil {
				require.Zero(t, tt.req.CustomerKey.Len(), "destroyed")
			}
		})
	}
}

func TestOpenObjectAndRewrapDestroyTheCustomerKeys(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()}, nil)
	for _, size := range []int{len(body), 0} {
		req := &encryption.Request{CustomerKey: customerKey()}
		svc.OpenObject(t.Context(), photo, env, req, int64(size))
		require.Zero(t, req.CustomerKey.Len())
	}
	for _, mode := range []encryption.Mode{encryption.SSEC, encryption.SSEKMS} {
		req, target := &encryption.Request{CustomerKey: customerKey()}, &encryption.Request{Mode: mode, CustomerKey: customerKey()}
		svc.Rewrap(t.Context(), photo, env, req, photo, target)
		require.Zero(t, req.CustomerKey.Len())
		require.Zero(t, target.CustomerKey.Len())
	}
}

func TestANilReaderIsRefused(t *testing.T) {
	svc := encryption.NewService(mock.New(), encryption.Options{})
	_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSEC, CustomerKey: kms.NewSecret(bytes.Repeat([]byte{1}, 32))}, nil)
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	_, err = svc.DecryptStream(t.Context(), photo, nil, nil, nil)
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	require.Empty(t, (*encryption.Envelope)(nil).KeyID())
}

func TestAKeyARNWithBytesThatNoHeaderHasIsRefused(t *testing.T) {
	keys := kms.NewManager(mock.New(), kms.Options{})
	_, err := keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	svc := encryption.NewService(keys, encryption.Options{})
	for arn, ok := range map[string]bool{
		"arn:aws:kms:eu:1:key/k": true, "arn:aws:kms:e\r\nSet-Cookie: a=b:1:key/k": false, "arn:aws:kms:e\x00:1:key/k": false, "arn:aws:kms:\xff:1:key/k": false,
	} {
		_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: arn}, bytes.NewReader(nil))
		require.Equal(t, ok, err == nil, "%q: %v", arn, err)
	}
}
