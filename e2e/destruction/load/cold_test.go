package load_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/local"
)

// callers is how many goroutines ask for one key at the same time.
const callers = 10_000

// A crowd is a Manager over a directory, whose backend answers nothing before all callers have come.
type crowd struct {
	*local.Backend
	come, decrypts, describes, generates atomic.Int64
	all                                  chan struct{}
	fail                                 error
}

// newCrowd returns the Manager.
func newCrowd(t *testing.T, cache kms.CacheOptions) (*crowd, *kms.Manager) {
	t.Helper()
	root := make([]byte, 32)
	rand.Read(root)
	b, err := local.New(t.Context(), local.Config{
		Dir: filepath.Join(t.TempDir(), "keys"), RootKey: kms.NewSecret(root), AllowUnlockedMemory: true,
	})
	require.NoError(t, err)
	c := &crowd{Backend: b, all: make(chan struct{})}
	m := kms.NewManager(c, kms.Options{Cache: cache})
	t.Cleanup(func() { m.Close() })
	_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	return c, m
}

func (c *crowd) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	c.decrypts.Add(1)
	<-c.all
	if c.fail != nil {
		return nil, c.fail
	}
	return c.Backend.Decrypt(ctx, req)
}

func (c *crowd) DescribeKey(ctx context.Context, req *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	c.describes.Add(1)
	<-c.all
	return c.Backend.DescribeKey(ctx, req)
}

func (c *crowd) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	c.generates.Add(1)
	return c.Backend.GenerateDataKey(ctx, req)
}

// everybody calls from all goroutines, and returns the errors. The backend answers when the last one is about to call.
func (c *crowd) everybody(call func(i int) error) []error {
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			if c.come.Add(1) == callers {
				close(c.all)
			}
			errs[i] = call(i)
		})
	}
	wg.Wait()
	return errs
}

// unwrap opens a data key and compares it.
func unwrap(ctx context.Context, keys kms.KeyService, wrapped, want []byte) error {
	resp, err := keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: wrapped, KeyID: "k"})
	if err != nil {
		return err
	}
	defer resp.Plaintext.Destroy()
	if !bytes.Equal(resp.Plaintext.Bytes(), want) {
		return errors.New("another data key was answered")
	}
	return nil
}

func generate(t *testing.T, b kms.KeyService) (wrapped, plaintext []byte) {
	t.Helper()
	resp, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	return resp.Ciphertext, resp.Plaintext.Bytes()
}

func TestTenThousandCallersOfAColdKeyCostOneCall(t *testing.T) {
	c, m := newCrowd(t, kms.CacheOptions{})
	wrapped, plaintext := generate(t, c.Backend)
	for _, err := range c.everybody(func(int) error { return unwrap(t.Context(), m, wrapped, plaintext) }) {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, c.decrypts.Load())
	require.EqualValues(t, 1, c.describes.Load())
}

func TestWithoutCachesEachCallerCostsACall(t *testing.T) {
	c, m := newCrowd(t, kms.CacheOptions{Disabled: true})
	wrapped, plaintext := generate(t, c.Backend)
	for _, err := range c.everybody(func(int) error { return unwrap(t.Context(), m, wrapped, plaintext) }) {
		require.NoError(t, err)
	}
	require.EqualValues(t, callers, c.decrypts.Load())
	require.EqualValues(t, callers, c.describes.Load())
}

func TestAThousandColdKeysCostACallEach(t *testing.T) {
	const keys = 1000
	c, m := newCrowd(t, kms.CacheOptions{MaxKeys: keys})
	wrapped, plaintext := make([][]byte, keys), make([][]byte, keys)
	for i := range keys {
		wrapped[i], plaintext[i] = generate(t, c.Backend)
	}
	for _, err := range c.everybody(func(i int) error { return unwrap(t.Context(), m, wrapped[i%keys], plaintext[i%keys]) }) {
		require.NoError(t, err)
	}
	require.EqualValues(t, keys, c.decrypts.Load())
	require.EqualValues(t, 1, c.describes.Load(), "all are under one master key")
}

// A failure is answered to all who wait, and kept for nobody.
func TestAFailureOfAColdKeyIsToldToAllAndNotKept(t *testing.T) {
	c, m := newCrowd(t, kms.CacheOptions{})
	wrapped, plaintext := generate(t, c.Backend)
	c.fail = fmt.Errorf("%w: as asked for", kms.ErrPermission)
	failed := 0
	for _, err := range c.everybody(func(int) error { return unwrap(t.Context(), m, wrapped, plaintext) }) {
		require.ErrorIs(t, err, kms.ErrPermission)
		failed++
	}
	require.Equal(t, callers, failed)
	require.Less(t, c.decrypts.Load(), int64(callers), "those who wait share one call; who comes after it begins another")
	c.fail = nil
	before := c.decrypts.Load()
	require.NoError(t, unwrap(t.Context(), m, wrapped, plaintext))
	require.Equal(t, before+1, c.decrypts.Load())
}

func TestTenThousandReadsOfAnObjectCostOneCall(t *testing.T) {
	c, m := newCrowd(t, kms.CacheOptions{})
	svc := encryption.NewService(m, encryption.Options{})
	id := encryption.ObjectID{Bucket: "b", Key: "k"}
	plain := content[:100]
	enc, err := encryption.NewService(c.Backend, encryption.Options{}).
		EncryptStream(t.Context(), id, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "k"}, bytes.NewReader(plain))
	require.NoError(t, err)
	var body bytes.Buffer
	_, err = enc.WriteTo(&body)
	require.NoError(t, err)
	env, err := enc.Envelope()
	require.NoError(t, err)
	for _, err := range c.everybody(func(int) error {
		r, err := svc.DecryptStream(t.Context(), id, env, nil, bytes.NewReader(body.Bytes()))
		if err != nil {
			return err
		}
		defer r.Close()
		var got bytes.Buffer
		if _, err := got.ReadFrom(r); err != nil {
			return err
		}
		return same(got.Bytes(), plain)
	}) {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, c.decrypts.Load())
	require.EqualValues(t, 1, c.describes.Load())
}

func TestTenThousandSmallWritesShareOneDataKey(t *testing.T) {
	c, m := newCrowd(t, kms.CacheOptions{})
	svc := encryption.NewService(m, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: 1 << 40, MaxObjects: callers}})
	for _, err := range c.everybody(func(i int) error {
		id := encryption.ObjectID{Bucket: "b", Key: fmt.Sprint(i)}
		enc, err := svc.EncryptStream(t.Context(), id, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "k", BucketKey: true}, bytes.NewReader(content[:10]))
		if err != nil {
			return err
		}
		return enc.Close()
	}) {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, c.generates.Load())
	require.EqualValues(t, 1, c.describes.Load())
}
