package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
	"github.com/objectkms/kms/mock"
)

// keeping keeps what passes through it, as nobody should.
type keeping struct {
	docs  [][]byte
	merge func()
	cfg   kms.Config
}

func (k *keeping) ParseConfig(doc []byte) (kms.Config, error) {
	k.docs = append(k.docs, doc)
	return k.cfg, nil
}

func (k *keeping) Merge(_ kms.Config, patch []byte) (kms.Config, error) {
	k.docs = append(k.docs, patch)
	if k.merge != nil {
		k.merge()
	}
	return k.cfg, nil
}

func (k *keeping) Summary(kms.Config) (json.RawMessage, error) {
	doc := json.RawMessage(`{"backend_type":"mock"}`)
	k.docs = append(k.docs, doc)
	return doc, nil
}

func (*keeping) Destroy(kms.Config) {}

func TestBodiesAreWiped(t *testing.T) {
	decoders := &keeping{cfg: kms.Config{Backend: mock.New()}}
	s := newServer(t, admin.Options{Authorize: allow, Decoders: decoders})
	s.ok(t, "POST", "/kms/configure", `{"passphrase":"`+hush+`"}`)
	s.ok(t, "POST", "/kms/reconfigure", `{"passphrase":"`+hush+`"}`)
	s.ok(t, "GET", "/kms/config", "")
	require.Len(t, decoders.docs, 3)
	s.Close() // every request has ended
	for _, doc := range decoders.docs {
		require.Equal(t, make([]byte, len(doc)), doc)
	}
}

// A keyKeeper is a backend that keeps the secrets that it is given and gives.
type keyKeeper struct {
	*mock.Backend
	secrets []*kms.Secret
}

func (k *keyKeeper) Open(context.Context) (kms.Backend, error) { return k, nil }

func (k *keyKeeper) ImportKey(ctx context.Context, req *kms.ImportKeyRequest) (*kms.ImportKeyResponse, error) {
	k.secrets = append(k.secrets, req.Material)
	return k.Backend.ImportKey(ctx, req)
}

func (k *keyKeeper) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	resp, err := k.Backend.GenerateDataKey(ctx, req)
	if err == nil {
		k.secrets = append(k.secrets, resp.Plaintext)
	}
	return resp, err
}

func TestSecretsAreDestroyed(t *testing.T) {
	s := newServer(t, admin.Options{Authorize: allow, PlaintextDataKeys: true})
	keeper := &keyKeeper{Backend: mock.New()}
	require.NoError(t, s.keys.Reconfigure(t.Context(), kms.Config{Backend: keeper}))
	s.ok(t, "POST", "/kms/keys/import", `{"key_id":"k","material":"`+hushInBase64()+`"}`)
	s.ok(t, "POST", "/kms/generate-data-key", `{"key_id":"k"}`)
	require.Len(t, keeper.secrets, 2)
	s.Close()
	for _, secret := range keeper.secrets {
		require.Zero(t, secret.Len())
	}
}

// A change waits for the one before, as long as its caller does.
func TestAChangeWaitsForTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		decoders := &keeping{cfg: kms.Config{Backend: mock.New()}, merge: func() { <-release }}
		var keys kms.ServiceManager
		handler := admin.New(&keys, admin.Options{Authorize: allow, Decoders: decoders})
		post := func(ctx context.Context, status *int) {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, "POST", "/kms/reconfigure", strings.NewReader("{}")))
			*status = recorder.Code
		}
		var first, second, third int
		ctx, cancel := context.WithCancel(t.Context())
		go post(t.Context(), &first)
		synctest.Wait()
		go post(ctx, &second)
		go post(t.Context(), &third)
		synctest.Wait()
		require.Len(t, decoders.docs, 1)
		cancel()
		synctest.Wait()
		require.Equal(t, 499, second)
		close(release)
		synctest.Wait()
		require.Equal(t, http.StatusOK, first)
		require.Equal(t, http.StatusOK, third)
		require.Len(t, decoders.docs, 2)
		require.NoError(t, keys.Stop(t.Context()))
	})
}

// A slowBody notes how much room its readers have for it.
type slowBody struct {
	io.ReadCloser
	rooms []int
}

func (b *slowBody) Read(p []byte) (int, error) {
	b.rooms = append(b.rooms, len(p))
	return b.ReadCloser.Read(p)
}

// Who only announces a large body, and may do nothing, does not hold memory for it.
func TestBodiesTakeNoMoreMemoryThanWasSent(t *testing.T) {
	handler := admin.New(new(kms.ServiceManager), admin.Options{Authorize: func(*http.Request, admin.Call) error { return kms.ErrPermission }})
	for _, announced := range []int64{-1, 8 << 20} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/kms/rewrap", strings.NewReader(strings.Repeat("x", 3<<20)))
		body := &slowBody{ReadCloser: r.Body}
		r.Body, r.ContentLength = body, announced
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, http.StatusForbidden, w.Code)
		require.LessOrEqual(t, body.rooms[0], 64<<10)
		require.LessOrEqual(t, slices.Max(body.rooms), 4<<20)
	}
}

// A buffer that a body has outgrown is wiped like the last one.
func TestOutgrownBuffersAreWiped(t *testing.T) {
	var buffers [][]byte
	handler := admin.New(new(kms.ServiceManager), admin.Options{Authorize: allow})
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/kms/rewrap", nil)
	r.Body = readerFunc(func(p []byte) (int, error) {
		buffers = append(buffers, p)
		return strings.NewReader(hush).Read(p)
	})
	r.ContentLength = -1
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	for _, buffer := range buffers {
		require.Zero(t, bytes.Count(buffer[:min(len(buffer), len(hush))], []byte("hush")))
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
func (readerFunc) Close() error                 { return nil }
