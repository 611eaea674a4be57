package backendtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/objectkms/kms"
)

const (
	workers = 8
	rounds  = 5
)

// inParallel runs do in several goroutines at once and waits for them.
func inParallel(do func(worker int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for worker := range workers {
		wg.Go(func() {
			<-start
			do(worker)
		})
	}
	close(start)
	wg.Wait()
}

func (s *suite) concurrentDataKeys(t *testing.T) {
	b, id := s.openWithKey(t)
	ctx := t.Context()
	inParallel(func(worker int) {
		for round := range rounds {
			ec := kms.EncryptionContext{"worker": fmt.Sprint(worker, round)}
			if err := roundTrip(ctx, b, id, ec); err != nil {
				t.Errorf("data keys are made and opened concurrently\n\tgot the error: %v", err)
			}
		}
	})
}

// roundTrip makes a data key and opens it again, with the right encryption context and a wrong one.
func roundTrip(ctx context.Context, b kms.Backend, id string, ec kms.EncryptionContext) error {
	made, err := b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id, Context: ec})
	if err != nil {
		return err
	}
	got, err := b.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: made.Ciphertext, Context: ec})
	if err != nil {
		return err
	}
	if string(got.Plaintext.Bytes()) != string(made.Plaintext.Bytes()) || got.KeyVersion != made.KeyVersion {
		return errors.New("another data key was opened")
	}
	if _, err := b.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: made.Ciphertext}); !errors.Is(err, kms.ErrDecrypt) {
		return fmt.Errorf("without its encryption context: %w", err)
	}
	return nil
}

func (s *suite) concurrentCreate(t *testing.T) {
	b := s.open(t)
	for round := range rounds {
		id := fmt.Sprintf("contended-%d", round)
		keys := make([]*kms.Key, workers)
		inParallel(func(worker int) {
			resp, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id, Description: fmt.Sprint(worker)})
			if err != nil {
				wantErr(t, "of several CreateKey calls with one id one succeeds, and the others are ErrKeyExists", err, kms.ErrKeyExists)
				return
			}
			keys[worker] = &resp.Key
		})
		winners := 0
		for _, key := range keys {
			if key != nil {
				winners++
				wantSameKey(t, "the key that stands is that of the CreateKey call that succeeded", describe(t, b, id), *key)
			}
		}
		want(t, "of several CreateKey calls with one id exactly one succeeds", winners, 1)
		wantOpens(t, "a key works that several calls wanted to create", b, encrypt(t, b, id, "text", nil), nil, "text")
	}
}

// concurrentChanges changes one key from all sides: no change may be lost, and data keys work throughout.
func (s *suite) concurrentChanges(t *testing.T) {
	b := s.open(t)
	create(t, b, "shared")
	blob := encrypt(t, b, "shared", "text", nil)
	ctx := t.Context()
	inParallel(func(worker int) {
		for round := range rounds {
			name := fmt.Sprintf("%d-%d", worker, round)
			if err := s.changeConcurrently(ctx, b, worker, name); err != nil {
				t.Errorf("keys are created, changed, used and deleted concurrently\n\tgot the error: %v", err)
			}
		}
	})
	key := describe(t, b, "shared")
	if _, ok := b.(kms.KeyRotator); ok {
		want(t, "no rotation is lost where several run at once", key.Version, 1+workers/2*rounds)
	}
	if _, ok := b.(kms.KeyUpdater); ok {
		want(t, "no change of tags is lost where several run at once", len(key.Tags), workers/2*rounds)
	}
	wantOpens(t, "what was wrapped before concurrent changes opens after them", b, blob, nil, "text")
	want(t, "keys that were created and deleted concurrently are gone", len(listAll(t, b, &kms.ListKeysRequest{})), 1)
}

func (s *suite) changeConcurrently(ctx context.Context, b kms.Backend, worker int, name string) error {
	if err := roundTrip(ctx, b, "shared", kms.EncryptionContext{"name": name}); err != nil {
		return err
	}
	rotator, rotates := b.(kms.KeyRotator)
	updater, updates := b.(kms.KeyUpdater)
	switch {
	case worker%2 == 0 && rotates:
		if _, err := rotator.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: "shared"}); err != nil {
			return err
		}
	case worker%2 == 1 && updates:
		if _, err := updater.TagKey(ctx, &kms.TagKeyRequest{KeyID: "shared", Tags: map[string]string{name: ""}}); err != nil {
			return err
		}
	}
	id := strings.Repeat("own-", 1+worker) + name
	if _, err := b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id}); err != nil {
		return err
	}
	if _, err := b.ListKeys(ctx, &kms.ListKeysRequest{}); err != nil {
		return err
	}
	if err := roundTrip(ctx, b, id, kms.EncryptionContext{"name": name}); err != nil {
		return err
	}
	_, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
	return err
}

// cancelAgainstRemoval lets a cancellation and a removal race: whoever came first wins, and the other sees that.
func (s *suite) cancelAgainstRemoval(t *testing.T) {
	b := s.open(t)
	remover, ok := b.(kms.ExpiredKeyRemover)
	if !ok {
		t.Skip("the backend is no ExpiredKeyRemover")
	}
	for round := range 4 * rounds {
		id := fmt.Sprintf("k%d", round)
		create(t, b, id)
		date := schedule(t, b, id).DeletionDate
		var cancelErr, removeErr error
		var removed []string
		inParallel(func(worker int) {
			switch worker {
			case 0:
				_, cancelErr = b.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: id})
			case 1:
				removed, removeErr = remover.RemoveExpiredKeys(t.Context(), date)
			}
		})
		wantOK(t, "RemoveExpiredKeys succeeds beside a cancellation", removeErr)
		_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
		want(t, "a key is removed, or its deletion is cancelled, never both", cancelErr == nil, len(removed) == 0)
		want(t, "a key whose deletion was cancelled stands, and one that was answered as removed is gone", err == nil, len(removed) == 0)
	}
}
