//go:build unix

package local_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// roleVariable makes the test binary a child process of a test, with a part to play.
const roleVariable = "LOCAL_TEST_ROLE"

func TestMain(m *testing.M) {
	role, dir, _ := strings.Cut(os.Getenv(roleVariable), ":")
	switch role {
	case "mixed":
		exit(mixedOperations(dir))
	case "rotate":
		exit(rotateOnDemand(dir))
	case "memory":
		exit(openWithoutMemory(dir))
	case "flip":
		exit(flipRootKey(dir))
	case "mode":
		exit(openInMode(dir))
	case "descriptors":
		exit(withoutDescriptors(dir))
	}
	goleak.VerifyTestMain(m)
}

func exit(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, role, dir string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role+":"+dir)
	return cmd
}

// rotateOnDemand is a child that rotates the key "k" for every line that it reads.
func rotateOnDemand(dir string) error {
	b, err := config(dir).Open(context.Background())
	if err != nil {
		return err
	}
	defer b.Close()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		resp, err := b.(kms.KeyRotator).RotateKey(context.Background(), &kms.RotateKeyRequest{KeyID: "k"})
		if err != nil {
			return err
		}
		fmt.Println(resp.Key.Version)
	}
	return nil
}

func TestRotationByAnotherProcessIsSeenAtOnce(t *testing.T) {
	dir := newDir(t)
	b := open(t, config(dir))
	create(t, b, "k")
	cmd := child(t, "rotate", dir)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for want := uint32(2); want < 20; want++ {
		fmt.Fprintln(in)
		require.True(t, lines.Scan())
		version, err := unwrap(t, b, "k", wrap(t, b, "k"))
		require.NoError(t, err)
		require.Equal(t, want, version)
		require.Equal(t, fmt.Sprint(want), lines.Text())
	}
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
}

const (
	processes  = 8
	operations = 200
)

// mixedOperations is a child that uses shared keys in all ways, and says what it has done.
func mixedOperations(dir string) error {
	b, err := local.New(context.Background(), config(dir))
	if err != nil {
		return err
	}
	defer b.Close()
	newest := map[string]uint32{}
	for range operations {
		if err := mixedOperation(b, fmt.Sprint("k", rand.IntN(6)), newest); err != nil {
			return err
		}
	}
	return nil
}

func mixedOperation(b *local.Backend, id string, newest map[string]uint32) (err error) {
	ctx := context.Background()
	switch rand.IntN(8) {
	case 0:
		if _, err = b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id}); err == nil {
			fmt.Println("create", id)
		}
	case 1:
		if _, err = b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id}); err == nil {
			fmt.Println("rotate", id)
		}
	case 2:
		_, err = b.TagKey(ctx, &kms.TagKeyRequest{KeyID: id, Tags: map[string]string{"n": fmt.Sprint(rand.IntN(9))}})
	case 3:
		_, err = b.ListKeys(ctx, &kms.ListKeysRequest{})
	case 4:
		if _, err = b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: id}); err == nil {
			_, err = b.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: id})
		}
	default:
		err = roundTrip(ctx, b, id, newest)
	}
	for _, fine := range []error{kms.ErrKeyExists, kms.ErrKeyNotFound, kms.ErrKeyDisabled} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	return err
}

// roundTrip wraps and unwraps, and checks that versions never go back.
func roundTrip(ctx context.Context, b *local.Backend, id string, newest map[string]uint32) error {
	dk, err := b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id})
	if err != nil {
		return err
	}
	defer dk.Plaintext.Destroy()
	back, err := b.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: dk.Ciphertext})
	if err != nil {
		return err
	}
	defer back.Plaintext.Destroy()
	if !bytes.Equal(back.Plaintext.Bytes(), dk.Plaintext.Bytes()) || dk.KeyVersion < newest[id] {
		return fmt.Errorf("version %d after %d, or another data key", dk.KeyVersion, newest[id])
	}
	newest[id] = dk.KeyVersion
	return nil
}

func TestProcessesShareADirectory(t *testing.T) {
	dir := newDir(t)
	outputs := make([]bytes.Buffer, processes)
	errs := make([]error, processes)
	var wg sync.WaitGroup
	for i := range processes {
		cmd := child(t, "mixed", dir)
		cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		wg.Go(func() { errs[i] = cmd.Run() })
	}
	wg.Wait()
	counts := map[string]int{}
	for i := range processes {
		require.NoError(t, errs[i], outputs[i].String())
		for line := range strings.Lines(outputs[i].String()) {
			counts[strings.TrimSpace(line)]++
		}
	}
	list, err := open(t, config(dir)).ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Empty(t, list.Damaged)
	require.Len(t, list.Keys, 6)
	for _, key := range list.Keys {
		require.Equal(t, 1, counts["create "+key.ID], "one winner")
		require.Equal(t, counts["rotate "+key.ID]+1, int(key.Version), "a rotation was lost")
	}
}

// openWithoutMemory is a child that may lock no memory.
func openWithoutMemory(dir string) error {
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{}); err != nil {
		return err
	}
	c := config(dir)
	c.AllowUnlockedMemory = false
	if _, err := c.Open(context.Background()); !errors.Is(err, kms.ErrInvalidConfig) {
		return fmt.Errorf("without AllowUnlockedMemory: %w", err)
	} else {
		fmt.Println(kms.KindOf(err), err)
	}
	c.AllowUnlockedMemory = true
	m, err := kms.Open(context.Background(), kms.Config{Backend: c, Options: kms.Options{Logger: slog.New(slog.NewTextHandler(os.Stdout, nil))}})
	if err != nil {
		return err
	}
	if err := m.Close(); err != nil {
		return err
	}
	fmt.Println("with a logger of its own")
	c.Logger = slog.New(slog.NewTextHandler(os.Stdout, nil))
	m, err = kms.Open(context.Background(), kms.Config{Backend: c, Options: kms.Options{Logger: slog.New(slog.DiscardHandler)}})
	if err != nil {
		return err
	}
	return m.Close()
}

// openInMode is a child in some FIPS mode. It says what Open answers to each kind of root key.
func openInMode(dir string) error {
	for i, c := range []local.Config{config(dir + "/raw"), {Dir: dir + "/passphrase", Passphrase: passphrase("x"), AllowUnlockedMemory: true}} {
		b, err := c.Open(context.Background())
		switch {
		case errors.Is(err, kms.ErrUnsupported):
			_, statErr := os.Stat(c.Dir)
			fmt.Println(i, "unsupported, directory made:", statErr == nil)
		case err != nil:
			return err
		default:
			fmt.Println(i, "open")
			b.Close()
		}
	}
	return nil
}

func TestPassphraseUnderFIPS(t *testing.T) {
	for mode, want := range map[string]string{
		"off":  "0 open\n1 open\n",
		"on":   "0 open\n1 open\n",
		"only": "0 unsupported, directory made: true\n1 unsupported, directory made: false\n",
	} {
		cmd := child(t, "mode", t.TempDir())
		cmd.Env = append(cmd.Env, "GODEBUG=fips140="+mode)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, want, string(out), mode)
	}
}
