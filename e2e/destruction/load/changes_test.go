package load_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// An administrator is a KeyService with the operations that change keys: a Manager or a ServiceManager.
type administrator interface {
	kms.KeyService
	kms.KeyStateChanger
	kms.KeyRotator
}

// newConfig returns a configuration of a new directory, in which keys may be deleted at once.
func newConfig(t *testing.T) kms.Config {
	t.Helper()
	root := make([]byte, 32)
	rand.Read(root)
	return kms.Config{
		Backend: local.Config{Dir: filepath.Join(t.TempDir(), "keys"), RootKey: kms.NewSecret(root), AllowUnlockedMemory: true},
		Options: kms.Options{AllowImmediateDeletion: true},
	}
}

// administrators opens a Manager and a ServiceManager, each over a directory of its own.
func administrators(t *testing.T) map[string]administrator {
	t.Helper()
	m, err := kms.Open(t.Context(), newConfig(t))
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	service := new(kms.ServiceManager)
	require.NoError(t, service.Reconfigure(t.Context(), newConfig(t)))
	t.Cleanup(func() { service.Stop(context.Background()) })
	return map[string]administrator{"Manager": m, "ServiceManager": service}
}

// A chronicle says what was in force when: steps are even while a change is under way.
type chronicle struct {
	step  atomic.Int64
	wants sync.Map // by odd step: the expected
}

// An expected is what whoever uses the key must find, if he begins and ends while it is in force.
type expected struct {
	blobs   map[string]error // how the opening of each ends
	version uint32           // that wraps, or 0 for none
	refusal error            // of wrapping
}

// change makes a change, during which nothing is expected of anybody.
func (c *chronicle) change(do func() (expected, error)) error {
	next := c.step.Add(1) + 1
	want, err := do()
	c.wants.Store(next, want)
	c.step.Store(next)
	return err
}

// watch uses the key for ever, and compares.
func (c *chronicle) watch(ctx context.Context, keys kms.KeyService, g int) error {
	for n := 0; ctx.Err() == nil; n++ {
		before := c.step.Load()
		w, ok := c.wants.Load(before)
		if !ok {
			continue
		}
		want := w.(expected)
		got := check(keys, want, g+n)
		if got != nil && c.step.Load() == before {
			return fmt.Errorf("step %d: %w", before, got)
		}
	}
	return nil
}

// check opens one blob, or wraps, and compares with what is expected.
func check(keys kms.KeyService, want expected, n int) error {
	if n%3 == 0 {
		dk, err := keys.GenerateDataKey(context.Background(), &kms.GenerateDataKeyRequest{KeyID: "k", WithoutPlaintext: true})
		if !errors.Is(err, want.refusal) || err == nil && dk.KeyVersion != want.version {
			return fmt.Errorf("wrapped %+v, %v, want version %d, %v", dk, err, want.version, want.refusal)
		}
		return nil
	}
	for blob, end := range want.blobs { // one of chance
		resp, err := keys.Decrypt(context.Background(), &kms.DecryptRequest{Ciphertext: []byte(blob)})
		if err == nil {
			resp.Plaintext.Destroy()
		}
		if !errors.Is(err, end) {
			return fmt.Errorf("opened: %v, want %v", err, end)
		}
		return nil
	}
	return nil
}

// A life is one key that goes through its states again and again.
type life struct {
	t    *testing.T
	keys administrator
	want expected
}

func (l *life) run(c *chronicle, rounds int) error {
	steps := []func(context.Context) error{
		l.create, l.wrap, l.rotate, l.wrap, l.disable, l.enable, l.rotate, l.wrap, l.schedule, l.cancel, l.enable, l.remove,
	}
	for range rounds {
		for _, step := range steps {
			if err := c.change(func() (expected, error) { err := step(l.t.Context()); return l.copy(), err }); err != nil {
				return err
			}
			// Somebody should see this state: at least who makes it.
			for n := range 6 {
				if err := check(l.keys, l.want, n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// copy returns what is expected in maps of their own.
func (l *life) copy() expected {
	w := l.want
	w.blobs = map[string]error{}
	for blob, end := range l.want.blobs {
		w.blobs[blob] = end
	}
	return w
}

// all says how the opening of all blobs of this life ends from now on. Those of former lives never open.
func (l *life) all(end error) {
	for blob, former := range l.want.blobs {
		if !errors.Is(former, kms.ErrDecrypt) {
			l.want.blobs[blob] = end
		}
	}
}

func (l *life) create(ctx context.Context) error {
	_, err := l.keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "k"})
	blobs := map[string]error{}
	for blob := range l.want.blobs {
		blobs[blob] = kms.ErrDecrypt // another key of the same name
		if len(blobs) == 3 {
			break
		}
	}
	l.want = expected{blobs: blobs, version: 1}
	return err
}

func (l *life) wrap(ctx context.Context) error {
	dk, err := l.keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "k"})
	if err != nil {
		return err
	}
	dk.Plaintext.Destroy()
	l.want.blobs[string(dk.Ciphertext)] = nil
	return nil
}

func (l *life) rotate(ctx context.Context) error {
	_, err := l.keys.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: "k"})
	l.want.version++
	return err
}

func (l *life) disable(ctx context.Context) error {
	_, err := l.keys.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: "k"})
	l.all(kms.ErrKeyDisabled)
	l.want.refusal = kms.ErrKeyDisabled
	return err
}

func (l *life) enable(ctx context.Context) error {
	_, err := l.keys.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: "k"})
	l.all(nil)
	l.want.refusal = nil
	return err
}

func (l *life) schedule(ctx context.Context) error {
	_, err := l.keys.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k"})
	l.all(kms.ErrKeyPendingDeletion)
	l.want.refusal = kms.ErrKeyPendingDeletion
	return err
}

func (l *life) cancel(ctx context.Context) error {
	_, err := l.keys.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: "k"})
	l.all(kms.ErrKeyDisabled)
	l.want.refusal = kms.ErrKeyDisabled
	return err
}

func (l *life) remove(ctx context.Context) error {
	_, err := l.keys.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
	for blob := range l.want.blobs {
		l.want.blobs[blob] = kms.ErrKeyNotFound
	}
	l.want.refusal = kms.ErrKeyNotFound
	return err
}

func TestEveryChangeIsSeenAtOnceByAllWhoBeginAfterIt(t *testing.T) {
	rounds := 10
	switch {
	case os.Getenv("KMS_LONG") == "1":
		rounds = 300
	case testing.Short():
		rounds = 3
	}
	for name, keys := range administrators(t) {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, liveBeforeWatchers(t, keys, rounds))
		})
	}
}

// liveBeforeWatchers lives a key's life that many times, while others use the key.
func liveBeforeWatchers(t *testing.T, keys administrator, rounds int) error {
	const watchers = 4
	c := &chronicle{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := make([]error, watchers)
	var wg sync.WaitGroup
	for g := range watchers {
		wg.Go(func() {
			if errs[g] = c.watch(ctx, keys, g); errs[g] != nil {
				cancel()
			}
		})
	}
	l := &life{t: t, keys: keys}
	err := l.run(c, rounds)
	cancel()
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

// A late administrator answers from before a change, now and then.
type late struct {
	administrator
	n      atomic.Int64
	cached sync.Map
}

func (l *late) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := l.administrator.Decrypt(ctx, req)
	if err == nil {
		l.cached.Store(string(req.Ciphertext), *resp)
	} else if held, ok := l.cached.Load(string(req.Ciphertext)); ok && l.n.Add(1)%5 == 0 {
		answer := held.(kms.DecryptResponse)
		answer.Plaintext = nil
		return &answer, nil
	}
	return resp, err
}

func TestAnAnswerFromBeforeAChangeIsTold(t *testing.T) {
	err := liveBeforeWatchers(t, &late{administrator: administrators(t)["Manager"]}, 5)
	require.ErrorContains(t, err, "opened: <nil>, want ")
}
