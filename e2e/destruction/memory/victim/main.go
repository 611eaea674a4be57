// Command victim is a program that uses keys, and then waits to be looked at.
//
// It reads its secrets from standard input, so that neither its arguments nor its environment hold them, and wipes what it has
// read. It says "ready" at each stage and goes on when it reads another byte: when the keys were used, when the garbage was
// collected, and when all was closed.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/erase"
	"github.com/objectkms/kms/local"
)

const keySize = 32

var (
	dir     = flag.String("dir", "", "the `directory` for keys, and beside them root-1.json and bundle")
	kind    = flag.String("root", "raw", "what the root key comes from: raw, passphrase or file")
	masters = flag.Int("masters", 4, "how many master keys follow")
	wraps   = flag.Int("wraps", 10_000, "how many times keys are used")
	keep    = flag.Bool("keep", false, "keep a copy of the first master key, as a program with a fault would")
	abort   = flag.Bool("abort", false, "panic after the first stage, instead of waiting")
)

// kept is a copy that should not be.
var kept []byte

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// input is what comes in: the first root key, or passphrase, the second, a key for bundles, and master keys. All have 32 bytes.
type input struct{ raw []byte }

func (in input) key(i int) []byte { return in.raw[i*keySize:][:keySize:keySize] }

// secret returns a copy, which the caller destroys.
func (in input) secret(i int) (s *kms.Secret) {
	erase.After(func() { s = kms.NewSecret(bytes.Clone(in.key(i))) })
	return s
}

const (
	firstRoot = iota
	secondRoot
	bundleKey
	firstMaster
)

func run(ctx context.Context) error {
	in := input{make([]byte, (firstMaster+*masters)*keySize)}
	if _, err := io.ReadFull(os.Stdin, in.raw); err != nil {
		return err
	}
	if *keep {
		kept = bytes.Clone(in.key(firstMaster))
	}
	keys, err := use(ctx, in)
	clear(in.raw)
	if err != nil {
		return err
	}
	if *abort {
		fmt.Println("ready")
		panic("as asked for")
	}
	if err := wait(); err != nil {
		return err
	}
	runtime.GC()
	runtime.GC()
	if err := wait(); err != nil {
		return err
	}
	if err := keys.Close(); err != nil {
		return err
	}
	err = wait()
	runtime.KeepAlive(kept)
	return err
}

// wait says that the next stage is reached, and waits until it was seen.
func wait() error {
	fmt.Println("ready")
	var b [1]byte
	_, err := io.ReadFull(os.Stdin, b[:])
	return err
}

// config returns the configuration with the root key of the given number, whose secrets the caller destroys.
func config(in input, number int) local.Config {
	c := local.Config{Dir: filepath.Join(*dir, "keys")}
	switch *kind {
	case "passphrase":
		c.Passphrase = in.secret(number)
	case "file":
		c.RootKeyFile = filepath.Join(*dir, fmt.Sprintf("root-%d.key", number+1))
	default:
		c.RootKey = in.secret(number)
	}
	return c
}

func destroy(c local.Config) {
	c.RootKey.Destroy()
	c.Passphrase.Destroy()
}

// use does all that is done with keys, and returns the Manager, which is still open.
func use(ctx context.Context, in input) (*kms.Manager, error) {
	first, second := config(in, firstRoot), config(in, secondRoot)
	defer destroy(first)
	defer destroy(second)
	if err := setUp(ctx, first, in); err != nil {
		return nil, err
	}
	if err := local.ChangeRootKey(ctx, first, second); err != nil {
		return nil, err
	}
	b, err := local.New(ctx, second)
	if err != nil {
		return nil, err
	}
	keys := kms.NewManager(b, kms.Options{Cache: kms.CacheOptions{Disabled: true}})
	if err := useMany(ctx, keys); err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	if err := bundle(ctx, b, in); err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	return keys, nil
}

// setUp imports the master keys, rotates some of them, and keeps root.json for who looks on.
func setUp(ctx context.Context, c local.Config, in input) error {
	b, err := local.New(ctx, c)
	if err != nil {
		return err
	}
	defer b.Close()
	for i := range *masters {
		material := in.secret(firstMaster + i)
		_, err := b.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: id(i), Material: material})
		material.Destroy()
		if err != nil {
			return err
		}
	}
	root, err := os.ReadFile(filepath.Join(c.Dir, "root.json"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(*dir, "root-1.json"), root, 0o600)
}

func id(i int) string { return fmt.Sprint("key-", i) }

// useMany uses the keys in several goroutines at once. Each use has a new one, whose stack is small and must grow, wherever it is just then,
// and which the garbage collector interrupts: so copies come about.
func useMany(ctx context.Context, keys *kms.Manager) error {
	const together = 4
	errs := make([]error, together)
	var wg sync.WaitGroup
	for g := range together {
		wg.Go(func() {
			for i := g; i < *wraps && errs[g] == nil; i += together {
				used := make(chan error)
				go deeper(i%200, func() { used <- useOne(ctx, keys, i) })
				errs[g] = <-used
				if i%100 == 0 {
					runtime.GC()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// deeper calls f at another depth of the stack, so that it grows at another place.
func deeper(n int, f func()) {
	var room [40]byte
	if n == 0 {
		f()
	} else {
		deeper(n-1, f)
	}
	runtime.KeepAlive(&room)
}

// useOne wraps and opens a data key and a small secret, and now and then rotates and wraps again.
func useOne(ctx context.Context, keys *kms.Manager, i int) error {
	keyID := id(i % *masters)
	dk, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: keyID})
	if err != nil {
		return err
	}
	defer dk.Plaintext.Destroy()
	if i%1001 == 0 {
		if _, err := keys.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: keyID}); err != nil {
			return err
		}
		resp, err := keys.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{Items: []kms.RewrapItem{{Ciphertext: dk.Ciphertext}}})
		if err != nil {
			return err
		}
		dk.Ciphertext = resp.Items[0].Ciphertext
	}
	opened, err := keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: dk.Ciphertext})
	if err != nil {
		return err
	}
	defer opened.Plaintext.Destroy()
	_, err = keys.Encrypt(ctx, &kms.EncryptRequest{KeyID: keyID, Plaintext: opened.Plaintext.Bytes()})
	return err
}

// bundle exports all keys, and imports one that was deleted.
func bundle(ctx context.Context, b *local.Backend, in input) error {
	key := in.secret(bundleKey)
	defer key.Destroy()
	var text bytes.Buffer
	if _, err := b.Export(ctx, &text, kms.ExportOptions{Key: key}); err != nil {
		return err
	}
	if _, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id(0), Immediate: true, ConfirmKeyID: id(0)}); err != nil {
		return err
	}
	if _, err := b.Import(ctx, &text, kms.ImportOptions{Key: key}); err != nil {
		return err
	}
	_, err := b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id(0), WithoutPlaintext: true})
	return err
}
