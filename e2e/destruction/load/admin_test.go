package load_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/local"
)

// adminActions are what the administrator does, one at a time. A key lives on for mostVersions.
var adminActions = []struct {
	name string
	do   func(s *server, ctx context.Context) error
}{
	{"rotate", (*server).rotate},
	{"disable", (*server).disable},
	{"life of a key", (*server).life},
	{"sweep", (*server).sweep},
	{"reconfigure", (*server).reconfigure},
	{"restart", func(s *server, ctx context.Context) error { return s.keys.Restart(ctx) }},
	{"stop", (*server).stop},
	{"rewrap all", func(s *server, ctx context.Context) error { return s.rewrapAll(ctx, "", "") }},
	{"export", (*server).export},
}

const mostVersions = 6

// administrate does the next thing.
func (s *server) administrate(ctx context.Context, turn int) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	a := adminActions[turn%len(adminActions)]
	if err := a.do(s, ctx); err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	s.count(a.name)
	return nil
}

func (s *server) rotate(ctx context.Context) error {
	n := &s.names[rand.N(len(s.names))]
	resp, err := s.keys.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: n.id()})
	if err != nil || resp.Key.Version < mostVersions {
		return err
	}
	return s.retire(ctx, n)
}

// retire lets a successor take over from a key, brings all objects under it, and deletes the key.
func (s *server) retire(ctx context.Context, n *keyName) error {
	old := n.id()
	n.mu.Lock()
	n.successor++
	_, err := s.keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: n.id()})
	n.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.rewrapAll(ctx, old, n.id()); err != nil {
		return err
	}
	s.count("retire")
	return s.deleteNow(ctx, old)
}

// rewrapAll brings the objects of a key, or all, under another key, or the newest version of their own.
func (s *server) rewrapAll(ctx context.Context, from, to string) error {
	i := 0
	loaded := map[string]*object{}
	next := func() (encryption.Item, bool) {
		for ; i < len(s.slots); i++ {
			obj := s.load(i)
			if from != "" && obj.env.KeyID() != from {
				continue
			}
			loaded[obj.id.Key] = obj
			i++
			return encryption.Item{ID: obj.id, Envelope: obj.env}, true
		}
		return encryption.Item{}, false
	}
	report, err := s.svc.RewrapAll(ctx, next, encryption.RewrapAllOptions{
		KeyID: to,
		Store: func(_ context.Context, item encryption.Item, env *encryption.Envelope) error {
			obj := loaded[item.ID.Key]
			var slot int
			fmt.Sscan(item.ID.Key, &slot)
			if !s.replace(slot, obj, &object{obj.id, env, obj.body, obj.plain, obj.customer}) {
				return encryption.ErrChanged
			}
			return nil
		},
	})
	if err == nil && len(report.Errors) > 0 {
		err = report.Errors[0]
	}
	return err
}

// disable disables a key, looks whether that is in force, and enables it again.
func (s *server) disable(ctx context.Context) error {
	id := s.names[rand.N(len(s.names))].id()
	dk, err := s.keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id})
	if err != nil {
		return err
	}
	dk.Plaintext.Destroy()
	if _, err := s.keys.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: id}); err != nil {
		return err
	}
	if _, err := s.keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: dk.Ciphertext}); !errors.Is(err, kms.ErrKeyDisabled) {
		return fmt.Errorf("decrypt under a disabled key: %w", err)
	}
	if _, err := s.keys.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: id}); err != nil {
		return err
	}
	resp, err := s.keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: dk.Ciphertext})
	if err == nil {
		resp.Plaintext.Destroy()
	}
	return err
}

// life is all that becomes of a key, which has a name that was never used.
func (s *server) life(ctx context.Context) error {
	created, err := s.keys.CreateKey(ctx, &kms.CreateKeyRequest{})
	if err != nil {
		return err
	}
	id := created.Key.ID
	dk, err := s.keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id})
	if err != nil {
		return err
	}
	dk.Plaintext.Destroy()
	for range 2 { // from the backend and from the cache
		resp, err := s.keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: dk.Ciphertext})
		if err != nil {
			return err
		}
		resp.Plaintext.Destroy()
	}
	_, rotated := s.keys.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id})
	_, tagged := s.keys.TagKey(ctx, &kms.TagKeyRequest{KeyID: id, Tags: map[string]string{"a": "b"}})
	_, scheduled := s.keys.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: 7})
	_, cancelled := s.keys.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: id})
	if err := errors.Join(rotated, tagged, scheduled, cancelled, s.deleteNow(ctx, id)); err != nil {
		return err
	}
	if _, err := s.keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: dk.Ciphertext}); !errors.Is(err, kms.ErrKeyNotFound) {
		return fmt.Errorf("decrypt under a deleted key: %w", err)
	}
	return nil
}

func (s *server) deleteNow(ctx context.Context, id string) error {
	_, err := s.keys.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
	return err
}

func (s *server) sweep(ctx context.Context) error {
	report, err := s.keys.SweepExpiredKeys(ctx)
	if err == nil && len(report.Removed) > 0 {
		err = fmt.Errorf("%v were removed before their date", report.Removed)
	}
	return err
}

func (s *server) reconfigure(ctx context.Context) error {
	return s.keys.Reconfigure(ctx, s.config(time.Duration(3+rand.N(4))*time.Second))
}

// stop stops the service and starts it again. Clients are refused meanwhile.
func (s *server) stop(ctx context.Context) error {
	return errors.Join(s.keys.Stop(ctx), s.keys.Start(ctx))
}

// export opens the directory once more, writes a bundle of all keys, and reads it.
func (s *server) export(ctx context.Context) error {
	b, err := local.New(ctx, local.Config{Dir: s.dir, RootKey: s.root, AllowUnlockedMemory: true})
	if err != nil {
		return err
	}
	defer b.Close()
	var bundle bytes.Buffer
	exported, err := b.Export(ctx, &bundle, kms.ExportOptions{Key: s.root})
	if err != nil {
		return err
	}
	imported, err := b.Import(ctx, &bundle, kms.ImportOptions{Key: s.root, DryRun: true})
	if err == nil && len(imported.Keys) != len(exported.Keys) {
		err = fmt.Errorf("%d keys were exported, %d imported", len(exported.Keys), len(imported.Keys))
	}
	return err
}
