package load_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/mock"
)

// childVariable makes a child of the test binary change keys in the directory that it names, as it is told.
const childVariable = "LOAD_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := changeKeys(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// changes are those that others make of the key "k", with what must be found afterwards.
var changes = map[string]struct {
	do   func(ctx context.Context, b administrator) error
	want error
}{
	"disable": {func(ctx context.Context, b administrator) error {
		_, err := b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: "k"})
		return err
	}, kms.ErrKeyDisabled},
	"schedule": {func(ctx context.Context, b administrator) error {
		_, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k"})
		return err
	}, kms.ErrKeyPendingDeletion},
	"delete": {func(ctx context.Context, b administrator) error {
		_, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
		return err
	}, kms.ErrKeyNotFound},
}

// Two Managers of one set of keys are as two processes. The one that does not make the change, and is asked all the time, sees it when its TTL is over.
func TestAChangeElsewhereIsSeenWithinTheTTL(t *testing.T) {
	const ttl = time.Minute
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := mock.New()
				own, err := shared.Open(t.Context())
				require.NoError(t, err)
				m := kms.NewManager(own, kms.Options{Cache: kms.CacheOptions{TTL: ttl}})
				defer m.Close()
				_, err = shared.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
				require.NoError(t, err)
				wrapped, plaintext := generate(t, m)
				var changed, seen atomic.Int64
				for g := range 100 {
					go func() {
						time.Sleep(time.Duration(g) * 100 * time.Millisecond)
						for t.Context().Err() == nil {
							began := time.Now().UnixNano()
							err := unwrap(context.Background(), m, wrapped, plaintext)
							if err != nil && !errors.Is(err, change.want) && !errors.Is(err, kms.ErrClosed) {
								t.Error(err)
							}
							if at := changed.Load(); err == nil && at != 0 && began >= at+int64(ttl) {
								t.Errorf("served %v after the change", time.Duration(began-at))
							}
							if err != nil {
								seen.Add(1)
								return
							}
							time.Sleep(time.Second)
						}
					}()
				}
				time.Sleep(ttl / 2)
				require.NoError(t, change.do(t.Context(), shared))
				changed.Store(time.Now().UnixNano())
				require.NoError(t, unwrap(t.Context(), m, wrapped, plaintext), "what the cache holds serves until then")
				time.Sleep(ttl + 2*time.Second)
				synctest.Wait()
				require.EqualValues(t, 100, seen.Load())
				require.ErrorIs(t, unwrap(t.Context(), m, wrapped, plaintext), change.want)
			})
		})
	}
}

// A rotation elsewhere is seen at the next wrapping: no cache knows which version wraps.
func TestARotationElsewhereIsSeenAtOnce(t *testing.T) {
	shared := mock.New()
	own, err := shared.Open(t.Context())
	require.NoError(t, err)
	m := kms.NewManager(own, kms.Options{})
	defer m.Close()
	_, err = shared.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	for version := uint32(1); version < 50; version++ {
		dk, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", WithoutPlaintext: true})
		require.NoError(t, err)
		require.Equal(t, version, dk.KeyVersion)
		_, err = shared.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
	}
}

// childConfig is that of both processes.
func childConfig(dir string) local.Config {
	return local.Config{Dir: dir, RootKey: kms.NewSecret([]byte("0123456789abcdef0123456789abcdef")), AllowUnlockedMemory: true}
}

// changeKeys makes the changes that it reads the names of, and says when each is made.
func changeKeys(dir string) error {
	b, err := childConfig(dir).Open(context.Background())
	if err != nil {
		return err
	}
	defer b.Close()
	names := bufio.NewScanner(os.Stdin)
	for names.Scan() {
		if err := changes[names.Text()].do(context.Background(), b.(administrator)); err != nil {
			return err
		}
		fmt.Println("made")
	}
	return names.Err()
}

func TestAChangeByAnotherProcessIsSeenWithinTheTTL(t *testing.T) {
	const ttl = 300 * time.Millisecond
	dir := t.TempDir() + "/keys"
	m, err := kms.Open(t.Context(), kms.Config{
		Backend: childConfig(dir), Options: kms.Options{Cache: kms.CacheOptions{TTL: ttl}, AllowImmediateDeletion: true},
	})
	require.NoError(t, err)
	defer m.Close()
	tell, made := startChild(t, dir)
	for name, change := range changes {
		_, err = m.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		wrapped, plaintext := generate(t, m)
		require.NoError(t, unwrap(t.Context(), m, wrapped, plaintext), "and now it is cached")
		fmt.Fprintln(tell, name)
		require.True(t, made.Scan())
		require.Equal(t, "made", made.Text())
		for at := time.Now(); ; {
			late := time.Since(at) > ttl
			if err = unwrap(t.Context(), m, wrapped, plaintext); err != nil {
				break
			}
			require.False(t, late, "%s: served after the TTL", name)
		}
		require.ErrorIs(t, err, change.want, name)
		if name != "delete" {
			require.NoError(t, changes["delete"].do(t.Context(), m))
		}
	}
}

// startChild starts the other process, which ends with its input.
func startChild(t *testing.T, dir string) (tell io.Writer, made *bufio.Scanner) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+dir)
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() {
		in.Close()
		require.NoError(t, child.Wait())
	})
	return in, bufio.NewScanner(out)
}
