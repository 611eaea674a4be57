package kms_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

func TestAWarmCacheAsksNoBackend(t *testing.T) {
	m, b := newManager(t, kms.Options{})
	wrapped, plaintext := generate(t, m, "k")
	for range 10 {
		got, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
		require.Equal(t, plaintext, got)
	}
	require.Equal(t, 1, b.Calls("Decrypt"))
	require.Equal(t, 1, b.Calls("DescribeKey"))
	stats := m.CacheStats()
	require.Equal(t, uint64(9), stats.DataKeys.Hits)
	require.Equal(t, uint64(1), stats.DataKeys.Misses)
	require.Equal(t, 1, stats.DataKeys.Entries)
	require.Equal(t, 1, stats.Keys.Entries)
	m.ClearCache()
	_, err := decrypt(t, m, wrapped)
	require.NoError(t, err)
	require.Equal(t, 2, b.Calls("Decrypt"))
}

func TestACacheServesNobodyWhoHasGone(t *testing.T) {
	m, _ := newManager(t, kms.Options{})
	wrapped, _ := generate(t, m, "k")
	_, err := decrypt(t, m, wrapped)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = m.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: wrapped})
	require.ErrorIs(t, err, context.Canceled)
}

func TestCloseEmptiesTheCaches(t *testing.T) {
	m, _ := newManager(t, kms.Options{})
	wrapped, _ := generate(t, m, "k")
	_, err := decrypt(t, m, wrapped)
	require.NoError(t, err)
	require.Equal(t, 1, m.CacheStats().DataKeys.Entries)
	require.NoError(t, m.Close())
	require.Zero(t, m.CacheStats().DataKeys.Entries)
	require.Zero(t, m.CacheStats().Keys.Entries)
}

func TestADisabledCacheAsksTheBackendEveryTime(t *testing.T) {
	m, b := newManager(t, kms.Options{Cache: kms.CacheOptions{Disabled: true}})
	wrapped, _ := generate(t, m, "k")
	for range 3 {
		_, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
	}
	require.Equal(t, 3, b.Calls("Decrypt"))
	require.Equal(t, kms.CacheStats{}, m.CacheStats())
	m.ClearCache()
}

func TestEveryHitIsACopy(t *testing.T) {
	m, _ := newManager(t, kms.Options{})
	wrapped, plaintext := generate(t, m, "k")
	for range 3 {
		resp, err := m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped})
		require.NoError(t, err)
		require.Equal(t, plaintext, resp.Plaintext.Bytes())
		resp.Plaintext.Destroy()
	}
}

func TestTheCacheKnowsTheContext(t *testing.T) {
	m, _ := newManager(t, kms.Options{})
	ec := kms.EncryptionContext{"a": "1", "b": "2"}
	resp, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", Context: ec})
	require.NoError(t, err)
	_, err = m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: resp.Ciphertext, Context: ec})
	require.NoError(t, err)
	for _, wrong := range []kms.EncryptionContext{nil, {"a": "1"}, {"a": "1", "b": "3"}, {"a": "1", "b": "2", "c": ""}, {"a": "1b", "2": ""}} {
		_, err = m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: resp.Ciphertext, Context: wrong})
		require.ErrorIs(t, err, kms.ErrDecrypt)
	}
}

func TestTheCacheKnowsTheKeyID(t *testing.T) {
	m, _ := newManager(t, kms.Options{})
	createKey(t, m, "other")
	wrapped, _ := generate(t, m, "k")
	for range 2 {
		_, err := m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped, KeyID: "k"})
		require.NoError(t, err)
		_, err = m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped, KeyID: "other"})
		require.ErrorIs(t, err, kms.ErrDecrypt)
	}
}

func TestOnlyDataKeysAreCached(t *testing.T) {
	m, b := newManager(t, kms.Options{})
	for _, size := range []int{1, 15, 17, 31, 33, 4096} {
		resp, err := m.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: make([]byte, size)})
		require.NoError(t, err)
		before := b.Calls("Decrypt")
		for range 2 {
			_, err = decrypt(t, m, resp.Ciphertext)
			require.NoError(t, err)
		}
		require.Equal(t, before+2, b.Calls("Decrypt"), size)
	}
	for _, size := range []int{16, 32} {
		resp, err := m.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: make([]byte, size)})
		require.NoError(t, err)
		before := b.Calls("Decrypt")
		for range 2 {
			_, err = decrypt(t, m, resp.Ciphertext)
			require.NoError(t, err)
		}
		require.Equal(t, before+1, b.Calls("Decrypt"), size)
	}
}

func TestACachedFailureIsNoSuccess(t *testing.T) {
	m, b := newManager(t, kms.Options{})
	wrapped, _ := generate(t, m, "k")
	wrapped[len(wrapped)-1] ^= 1
	for range 2 {
		_, err := decrypt(t, m, wrapped)
		require.ErrorIs(t, err, kms.ErrDecrypt)
	}
	require.Equal(t, 2, b.Calls("Decrypt"))
}

func TestAChangeOfStateIsSeenAtOnce(t *testing.T) {
	m, b := newManager(t, kms.Options{})
	wrapped, _ := generate(t, m, "k")
	change := mutations(m)
	steps := []struct {
		op   string
		want error
	}{
		{"DisableKey", kms.ErrKeyDisabled}, {"EnableKey", nil}, {"RotateKey", nil}, {"DeleteKey", kms.ErrKeyPendingDeletion},
		{"CancelKeyDeletion", kms.ErrKeyDisabled}, {"EnableKey", nil},
	}
	for _, step := range steps {
		decrypt(t, m, wrapped)
		require.NoError(t, change[step.op](t.Context()), step.op)
		before := b.Calls("Decrypt")
		_, err := decrypt(t, m, wrapped)
		require.ErrorIs(t, err, step.want, step.op)
		require.Equal(t, before+1, b.Calls("Decrypt"), "%s must have dropped the data key", step.op)
	}
}

func TestAFailedMutationDropsTheCachesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{})
		wrapped, _ := generate(t, m, "k")
		_, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
		b.FailNext("DisableKey", unavailable(1))
		require.Error(t, mutations(m)["DisableKey"](t.Context()))
		require.Zero(t, m.CacheStats().DataKeys.Entries, "the mutation may have arrived")
	})
}

func TestAnothersChangeIsSeenWithinTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mock.New()
		m := kms.NewManager(b, kms.Options{Cache: kms.CacheOptions{TTL: time.Minute}})
		createKey(t, m, "k")
		wrapped, _ := generate(t, m, "k")
		_, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
		_, err = b.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		time.Sleep(time.Minute - 1)
		_, err = decrypt(t, m, wrapped)
		require.NoError(t, err, "within the TTL")
		time.Sleep(time.Nanosecond)
		_, err = decrypt(t, m, wrapped)
		require.ErrorIs(t, err, kms.ErrKeyDisabled, "after the TTL")
	})
}

func TestADataKeyCachedLaterDoesNotOutliveTheStateCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mock.New()
		m := kms.NewManager(b, kms.Options{Cache: kms.CacheOptions{TTL: time.Minute}})
		createKey(t, m, "k")
		first, _ := generate(t, m, "k")
		second, _ := generate(t, m, "k")
		_, err := decrypt(t, m, first)
		require.NoError(t, err)
		time.Sleep(50 * time.Second)
		_, err = decrypt(t, m, second)
		require.NoError(t, err)
		_, err = b.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		_, err = decrypt(t, m, second)
		require.ErrorIs(t, err, kms.ErrKeyDisabled)
	})
}

func TestAKeyThatAnotherRemovedIsSeenWithinTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mock.New()
		m := kms.NewManager(b, kms.Options{Cache: kms.CacheOptions{TTL: time.Minute}})
		createKey(t, m, "k")
		wrapped, _ := generate(t, m, "k")
		other, _ := generate(t, m, "k")
		_, err := decrypt(t, m, other)
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = decrypt(t, m, wrapped)
		require.NoError(t, err)
		_, err = b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
		require.NoError(t, err)
		time.Sleep(time.Minute - time.Second)
		_, err = decrypt(t, m, wrapped) // its data key is still cached, its description no longer fresh
		require.ErrorIs(t, err, kms.ErrKeyNotFound)
	})
}

func TestAnOutageFailsNoDecryptThatTheCacheCanServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mock.New()
		m := kms.NewManager(b, kms.Options{Cache: kms.CacheOptions{TTL: time.Minute}})
		createKey(t, m, "k")
		first, _ := generate(t, m, "k")
		second, _ := generate(t, m, "k")
		_, err := decrypt(t, m, first)
		require.NoError(t, err)
		time.Sleep(50 * time.Second)
		_, err = decrypt(t, m, second)
		require.NoError(t, err)
		b.Delay("DescribeKey", time.Hour)
		b.Delay("Decrypt", time.Hour)
		start, asked := time.Now(), b.Calls("DescribeKey")
		for time.Since(start) < 59*time.Second {
			before := time.Now()
			_, err = decrypt(t, m, second)
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(before), time.Second)
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, b.Calls("DescribeKey")-asked, 30, "asked for a second, and then a second's pause")
		require.GreaterOrEqual(t, b.Calls("DescribeKey")-asked, 20)
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = m.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: second})
		require.Error(t, err, "the data key's own TTL has passed")
		b.Delay("DescribeKey", 0)
		b.Delay("Decrypt", 0)
		_, err = decrypt(t, m, second)
		require.NoError(t, err)
		require.NoError(t, m.Close())
	})
}

func TestManyCallersOfAColdKeyShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{})
		wrapped, plaintext := generate(t, m, "k")
		b.Delay("Decrypt", time.Second)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				resp, err := m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped})
				require.NoError(t, err)
				require.Equal(t, plaintext, resp.Plaintext.Bytes())
				resp.Plaintext.Destroy()
			})
		}
		wg.Wait()
		require.Equal(t, 1, b.Calls("Decrypt"))
		require.Equal(t, 1, b.Calls("DescribeKey"))
	})
}

func TestALoadFromBeforeAChangeIsNotAnsweredAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{})
		wrapped, _ := generate(t, m, "k")
		b.Delay("Decrypt", time.Second)
		b.Delay("DescribeKey", time.Second)
		go decrypt(t, m, wrapped)
		time.Sleep(1500 * time.Millisecond) // decrypted, and being described
		require.NoError(t, mutations(m)["DisableKey"](t.Context()))
		_, err := decrypt(t, m, wrapped)
		require.ErrorIs(t, err, kms.ErrKeyDisabled)
		time.Sleep(time.Minute)
		_, err = decrypt(t, m, wrapped)
		require.ErrorIs(t, err, kms.ErrKeyDisabled)
	})
}

func TestOneCallerWhoLeavesHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{})
		wrapped, plaintext := generate(t, m, "k")
		b.Delay("Decrypt", 10*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var left atomic.Bool
		go func() {
			_, err := m.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: wrapped})
			left.Store(err != nil)
		}()
		synctest.Wait()
		got, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
		require.Equal(t, plaintext, got)
		require.True(t, left.Load())
		require.Equal(t, 1, b.Calls("Decrypt"))
	})
}

func TestALoadDoesNotReadTheRequestOfACallerWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{})
		wrapped, plaintext := generate(t, m, "k")
		b.Delay("Decrypt", 10*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ec := kms.EncryptionContext{}
		own := bytes.Clone(wrapped)
		go func() {
			_, err := m.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: own, Context: ec})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			clear(own)
			ec["x"] = "y"
		}()
		synctest.Wait()
		got, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
		require.Equal(t, plaintext, got)
		require.Equal(t, 1, b.Calls("Decrypt"))
	})
}

func TestTheCachesAreBounded(t *testing.T) {
	m, _ := newManager(t, kms.Options{Cache: kms.CacheOptions{MaxKeys: 10}})
	for i := range 30 {
		id := fmt.Sprint("key", i)
		createKey(t, m, id)
		wrapped, _ := generate(t, m, id)
		_, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
	}
	stats := m.CacheStats()
	require.Equal(t, 10, stats.DataKeys.Entries)
	require.Equal(t, 10, stats.Keys.Entries)
	require.GreaterOrEqual(t, stats.DataKeys.Evictions, uint64(20))
}

func TestDisabledKeysDecryptWhereTheOptionSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, cache := range []kms.CacheOptions{{}, {Disabled: true}} {
			m, _ := newManager(t, kms.Options{DecryptWithDisabledKeys: true, Cache: cache})
			wrapped, _ := generate(t, m, "k")
			change := mutations(m)
			for _, op := range []string{"DisableKey", "DeleteKey"} {
				require.NoError(t, change[op](t.Context()))
				_, err := decrypt(t, m, wrapped)
				require.NoError(t, err, op)
			}
			time.Sleep(30*24*time.Hour - time.Minute)
			_, err := decrypt(t, m, wrapped)
			require.NoError(t, err, "before the deletion date")
			time.Sleep(time.Minute)
			_, err = decrypt(t, m, wrapped)
			require.ErrorIs(t, err, kms.ErrKeyPendingDeletion, "past the deletion date, cached or not")
		}
	})
}

func TestAKeyThatIsUnavailableDoesNotDecrypt(t *testing.T) {
	b := mock.New()
	m := kms.NewManager(keysInState{b, kms.KeyUnavailable}, kms.Options{})
	createKey(t, m, "k")
	wrapped, _ := generate(t, m, "k")
	_, err := decrypt(t, m, wrapped)
	require.ErrorIs(t, err, kms.ErrUnavailable)
}

func TestADescriptionServesAnOutageForTwoTTLsAtMost(t *testing.T) {
	outages := map[string]func(*mock.Backend){
		"unavailable": func(b *mock.Backend) {
			for range 100_000 {
				b.FailNext("DescribeKey", kms.ErrUnavailable)
			}
		},
		"slow": func(b *mock.Backend) { b.Delay("DescribeKey", time.Hour) },
	}
	for name, begin := range outages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mock.New()
				m := kms.NewManager(b, kms.Options{RetryAttempts: -1, Cache: kms.CacheOptions{TTL: time.Minute}})
				createKey(t, m, "k")
				start := time.Now()
				wrapped, _ := generate(t, m, "k")
				_, err := decrypt(t, m, wrapped)
				require.NoError(t, err)
				begin(b)
				for time.Since(start) < 2*time.Minute-2*time.Second {
					_, err := decrypt(t, m, wrapped)
					require.NoError(t, err)
					time.Sleep(500 * time.Millisecond)
				}
				time.Sleep(2 * time.Second)
				_, err = decrypt(t, m, wrapped)
				require.ErrorIs(t, err, kms.ErrUnavailable)
				require.NoError(t, m.Close())
			})
		})
	}
}

// Twice the TTL, for which descriptions are kept, is more than a Duration holds.
func TestATTLWithoutEndKeepsDescriptionsToo(t *testing.T) {
	for _, ttl := range []time.Duration{math.MaxInt64 / 2, math.MaxInt64/2 + 1, math.MaxInt64} {
		m, b := newManager(t, kms.Options{Cache: kms.CacheOptions{TTL: ttl}})
		wrapped, _ := generate(t, m, "k")
		for range 3 {
			_, err := decrypt(t, m, wrapped)
			require.NoError(t, err)
		}
		require.Equal(t, 1, b.Calls("Decrypt"), ttl)
		require.Equal(t, 1, b.Calls("DescribeKey"), ttl)
	}
}

func TestASlowBackendIsAskedAtLengthAfterTwoTTLs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mock.New()
		m := kms.NewManager(b, kms.Options{Cache: kms.CacheOptions{TTL: time.Second}})
		createKey(t, m, "k")
		wrapped, _ := generate(t, m, "k")
		_, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
		_, err = b.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		b.Delay("DescribeKey", 1200*time.Millisecond)
		time.Sleep(2 * time.Second)
		_, err = decrypt(t, m, wrapped)
		require.ErrorIs(t, err, kms.ErrKeyDisabled)
	})
}

func TestADefiniteAnswerEndsWhatWasKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mock.New()
		m := kms.NewManager(b, kms.Options{RetryAttempts: -1, Cache: kms.CacheOptions{TTL: time.Minute}})
		createKey(t, m, "k")
		authorize := func() error {
			_, err := m.AuthorizeDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
			return err
		}
		require.NoError(t, authorize())
		time.Sleep(time.Minute)
		b.FailNext("DescribeKey", kms.ErrKeyNotFound)
		require.ErrorIs(t, authorize(), kms.ErrKeyNotFound)
		b.FailNext("DescribeKey", kms.ErrUnavailable)
		require.ErrorIs(t, authorize(), kms.ErrUnavailable)
	})
}

func TestADescriptionThatIsNotFreshIsNoHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, kms.Options{Cache: kms.CacheOptions{TTL: time.Minute}})
		for range 3 {
			_, err := m.AuthorizeDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		require.Equal(t, uint64(3), m.CacheStats().Keys.Misses)
		require.Zero(t, m.CacheStats().Keys.Hits)
	})
}

// keysInState describes every key as in a state.
type keysInState struct {
	kms.Backend
	state kms.KeyState
}

func (b keysInState) DescribeKey(ctx context.Context, req *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	resp, err := b.Backend.DescribeKey(ctx, req)
	if err == nil {
		resp.Key.State = b.state
	}
	return resp, err
}

func TestAStateThatNobodyKnowsDoesNotDecrypt(t *testing.T) {
	for _, option := range []bool{false, true} {
		m := kms.NewManager(keysInState{mock.New(), "Compromised"}, kms.Options{DecryptWithDisabledKeys: option})
		createKey(t, m, "k")
		wrapped, _ := generate(t, m, "k")
		_, err := decrypt(t, m, wrapped)
		require.ErrorIs(t, err, kms.ErrUnavailable)
	}
}
