package outages

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/faultproxy"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/vault"
)

// An object is a stored object and what it must read as.
type object struct {
	id       encryption.ObjectID
	envelope *encryption.Envelope
	stored   []byte
	plain    []byte
}

func putObject(ctx context.Context, s *encryption.Service, id encryption.ObjectID, req *encryption.Request, plain []byte) (object, error) {
	sealed, err := s.EncryptStream(ctx, id, req, bytes.NewReader(plain))
	if err != nil {
		return object{}, err
	}
	defer sealed.Close()
	stored, err := io.ReadAll(sealed)
	if err != nil {
		return object{}, err
	}
	envelope, err := sealed.Envelope()
	return object{id, envelope, stored, plain}, err
}

func (o object) get(ctx context.Context, s *encryption.Service) error {
	plain, err := s.DecryptStream(ctx, o.id, o.envelope, nil, bytes.NewReader(o.stored))
	if err != nil {
		return err
	}
	defer plain.Close()
	got, err := io.ReadAll(plain)
	if err == nil && !bytes.Equal(got, o.plain) {
		err = fmt.Errorf("%s: not what was stored", o.id.Key)
	}
	return err
}

func openManager(t *testing.T, config kms.BackendConfig) *kms.Manager {
	t.Helper()
	keys, err := kms.Open(t.Context(), kms.Config{Backend: config, Options: kms.Options{DefaultKeyID: "k"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, keys.Close()) })
	_, err = keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	return keys
}

// With the caches warm, objects are read at 500 a second while Vault is down, each in one of two ways: killed, or there but never answering. No read
// fails, and objects that are not in the cache are ErrUnavailable.
func TestReadsOfCachedObjectsOutliveVault(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		s := testenv.StartServer(t, testenv.ServerOptions{})
		balancer := faultproxy.StartRelay(t, s.URL())
		service := encryption.NewService(openManager(t, s.Mounts(t).At(t, balancer.URL()).Config(engine)), encryption.Options{})
		var objects []object
		for i := range 100 {
			o, err := putObject(t.Context(), service, encryption.ObjectID{Bucket: "b", Key: fmt.Sprint(i)}, &encryption.Request{Mode: encryption.SSEKMS}, []byte(fmt.Sprint("object ", i)))
			require.NoError(t, err)
			require.NoError(t, o.get(t.Context(), service))
			objects = append(objects, o)
		}
		unread, err := putObject(t.Context(), service, encryption.ObjectID{Bucket: "b", Key: "unread"}, &encryption.Request{Mode: encryption.SSEKMS}, []byte("text"))
		require.NoError(t, err)

		stop, done := make(chan struct{}), make(chan []call)
		go func() {
			done <- load(t.Context(), stop, func(ctx context.Context, i int) error { return objects[i%len(objects)].get(ctx, service) })
		}()
		balancer.Fail(faultproxy.StreamFault{Kind: faultproxy.StallStream})
		time.Sleep(outage(t) / 2)
		s.Kill()
		balancer.Fail(faultproxy.StreamFault{})
		time.Sleep(outage(t) / 2)
		if engine == vault.Transit {
			require.ErrorIs(t, unread.get(t.Context(), service), kms.ErrUnavailable)
		}
		close(stop)
		calls := <-done
		slowest := time.Duration(0)
		for _, c := range calls {
			require.NoError(t, c.err)
			slowest = max(slowest, c.end.Sub(c.start))
		}
		t.Logf("%d reads in %v, the slowest %v", len(calls), outage(t), slowest.Round(time.Microsecond))
	})
}
