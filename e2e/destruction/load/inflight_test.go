package load_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// A held backend keeps its answers back: those to the named operation until it is let go. The mock has given them at once, before any change.
type held struct {
	*mock.Backend
	op  string
	let chan struct{}
}

func (h *held) wait(op string) {
	if op == h.op {
		<-h.let
	}
}

func (h *held) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := h.Backend.Decrypt(ctx, req)
	h.wait("Decrypt")
	return resp, err
}

func (h *held) DescribeKey(ctx context.Context, req *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	resp, err := h.Backend.DescribeKey(ctx, req)
	h.wait("DescribeKey")
	return resp, err
}

// Loads of a cold key are under way, and the backend has answered them as if nothing happened, when the key is deleted. Whatever they
// answer to those who began before: nothing of it is served afterwards.
func TestNothingOfALoadFromBeforeADeletionIsServedAfterIt(t *testing.T) {
	for name, change := range changes {
		for _, op := range []string{"Decrypt", "DescribeKey"} {
			t.Run(name+" while in "+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { changeInFlight(t, op, change.do, change.want) })
			})
		}
	}
}

func changeInFlight(t *testing.T, op string, change func(context.Context, administrator) error, want error) {
	h := &held{Backend: mock.New(), op: op, let: make(chan struct{})}
	m := kms.NewManager(h, kms.Options{AllowImmediateDeletion: true})
	defer m.Close()
	_, err := m.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	wrapped, plaintext := generate(t, m)

	const before, after = 100, 100
	answers := make(chan error, before)
	for range before {
		go func() { answers <- unwrap(t.Context(), m, wrapped, plaintext) }()
	}
	synctest.Wait() // all of them wait for the answer
	require.Empty(t, answers)
	require.NoError(t, change(t.Context(), m))

	later := make(chan error, after)
	for range after {
		go func() { later <- unwrap(t.Context(), m, wrapped, plaintext) }()
	}
	synctest.Wait()
	close(h.let)
	synctest.Wait()
	for range before {
		if err := <-answers; err != nil {
			require.ErrorIs(t, err, want, "before the change it would have been served")
		}
	}
	for range after {
		require.ErrorIs(t, <-later, want, "began after the change")
	}
	time.Sleep(time.Minute)
	require.ErrorIs(t, unwrap(t.Context(), m, wrapped, plaintext), want)
}

// A key that is made again under its name opens nothing of the former one, also where a load of that one is under way all the time.
func TestALoadFromBeforeADeletionIsNotOfTheKeyThatIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &held{Backend: mock.New(), op: "Decrypt", let: make(chan struct{})}
		m := kms.NewManager(h, kms.Options{AllowImmediateDeletion: true})
		defer m.Close()
		_, err := m.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		wrapped, plaintext := generate(t, m)
		answers := make(chan error, 1)
		go func() { answers <- unwrap(t.Context(), m, wrapped, plaintext) }()
		synctest.Wait()
		require.NoError(t, changes["delete"].do(t.Context(), m))
		_, err = m.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		const after = 100
		later := make(chan error, after)
		for range after {
			go func() { later <- unwrap(t.Context(), m, wrapped, plaintext) }()
		}
		synctest.Wait()
		require.Empty(t, later, "all loads are under way")
		close(h.let)
		if err := <-answers; err != nil {
			require.True(t, errors.Is(err, kms.ErrKeyNotFound) || errors.Is(err, kms.ErrDecrypt), fmt.Sprint(err))
		}
		for range after {
			require.ErrorIs(t, <-later, kms.ErrDecrypt, "began when there was the new key")
		}
		require.ErrorIs(t, unwrap(t.Context(), m, wrapped, plaintext), kms.ErrDecrypt)
	})
}
