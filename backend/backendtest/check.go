package backendtest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/objectkms/kms"
)

// clockSlack is how far the clock of a backend may be from ours.
const clockSlack = 5 * time.Minute

// open returns a fresh backend that is closed when the test ends.
func (s *suite) open(t *testing.T) kms.Backend {
	t.Helper()
	b := s.h.Open(t)
	if b == nil {
		t.Fatal("Harness.Open returned nil")
	}
	// A test may have closed it already.
	t.Cleanup(func() { b.Close() })
	return b
}

// openWithKey returns a fresh backend and the id of an Enabled key.
func (s *suite) openWithKey(t *testing.T) (kms.Backend, string) {
	t.Helper()
	b := s.open(t)
	if s.h.KeyID != "" {
		return b, s.h.KeyID
	}
	create(t, b, "key-one")
	return b, "key-one"
}

// wantOK ends the test unless err is nil.
func wantOK(t *testing.T, rule string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s\n\tgot the error: %v", rule, err)
	}
}

// wantErr fails unless err is one of those wanted.
func wantErr(t *testing.T, rule string, err error, wants ...error) {
	t.Helper()
	for _, want := range wants {
		if errors.Is(err, want) {
			return
		}
	}
	t.Errorf("%s\n\tgot the error: %v\n\twant: %v", rule, err, wants)
}

// want fails unless got is what is wanted.
func want[T comparable](t *testing.T, rule string, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s\n\tgot: %v\n\twant: %v", rule, got, wanted)
	}
}

// wantTrue fails unless ok.
func wantTrue(t *testing.T, rule string, ok bool) {
	t.Helper()
	if !ok {
		t.Error(rule)
	}
}

// wantTime fails unless a time is as wanted, give or take the difference of two clocks.
func wantTime(t *testing.T, rule string, got, wanted time.Time) {
	t.Helper()
	if d := got.Sub(wanted); d < -clockSlack || d > clockSlack {
		t.Errorf("%s\n\tgot: %v\n\twant: about %v", rule, got, wanted)
	}
}

// wantSameKey fails unless two descriptions of a key are equal.
func wantSameKey(t *testing.T, rule string, got, wanted kms.Key) {
	t.Helper()
	want(t, rule, keyText(got), keyText(wanted))
}

// keyText writes a key so that equal keys have equal texts.
func keyText(k kms.Key) string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("id %q, description %q, state %s, usage %s, origin %s, version %d, tags %q, created %s, rotated %s, deletion %s, native rewrap %t",
		k.ID, k.Description, k.State, k.Usage, k.Origin, k.Version, k.Tags, at(k.CreatedAt), at(k.RotatedAt), at(k.DeletionDate), k.NativeRewrap)
}

func create(t *testing.T, b kms.Backend, id string) kms.Key {
	t.Helper()
	resp, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	wantOK(t, "CreateKey makes a key with an id that is free", err)
	return resp.Key
}

func describe(t *testing.T, b kms.Backend, id string) kms.Key {
	t.Helper()
	resp, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
	wantOK(t, "DescribeKey describes a key in any state", err)
	return resp.Key
}

func schedule(t *testing.T, b kms.Backend, id string) kms.Key {
	t.Helper()
	resp, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: 7})
	wantOK(t, "DeleteKey schedules the deletion of a key that is not pending deletion", err)
	return resp.Key
}

func deleteNow(t *testing.T, b kms.Backend, id string) kms.Key {
	t.Helper()
	resp, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
	wantOK(t, "DeleteKey with Immediate removes a key in any state", err)
	return resp.Key
}

// disable makes a key Disabled, which every backend can by taking a deletion back.
func disable(t *testing.T, b kms.Backend, id string) {
	t.Helper()
	schedule(t, b, id)
	_, err := b.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: id})
	wantOK(t, "CancelKeyDeletion takes a scheduled deletion back", err)
}

func rotate(t *testing.T, b kms.KeyRotator, id string) kms.Key {
	t.Helper()
	resp, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: id})
	wantOK(t, "RotateKey gives an Enabled key a new version", err)
	return resp.Key
}

func encrypt(t *testing.T, b kms.Backend, id, text string, ec kms.EncryptionContext) []byte {
	t.Helper()
	resp, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id, Plaintext: []byte(text), Context: ec})
	wantOK(t, "Encrypt wraps 1 to 4,096 bytes under an Enabled key", err)
	return resp.Ciphertext
}

func decrypt(t *testing.T, b kms.Backend, blob []byte, ec kms.EncryptionContext) (string, error) {
	t.Helper()
	resp, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, Context: ec})
	if err != nil {
		wantTrue(t, "a method that fails answers nil beside its error", resp == nil)
		return "", err
	}
	defer resp.Plaintext.Destroy()
	return string(resp.Plaintext.Bytes()), nil
}

// wantOpens fails unless a blob opens to the text.
func wantOpens(t *testing.T, rule string, b kms.Backend, blob []byte, ec kms.EncryptionContext, text string) {
	t.Helper()
	got, err := decrypt(t, b, blob, ec)
	if err != nil {
		t.Errorf("%s\n\tgot the error: %v", rule, err)
		return
	}
	want(t, rule, got, text)
}
