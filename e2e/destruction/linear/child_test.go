//go:build linux

package linear_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// roleVariable makes the test binary a child process of a test: the role, and the directory that it works in.
const roleVariable = "LINEAR_TEST_ROLE"

const (
	roleHonest = "honest"
	roleStale  = "stale" // its describe answers what it has answered before
)

func TestMain(m *testing.M) {
	role, dir, ok := strings.Cut(os.Getenv(roleVariable), ":")
	if !ok {
		os.Exit(m.Run())
	}
	if err := serve(role, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// An order asks a child for its part of one history.
type order struct {
	Round, Child, Clients, Operations int
	Keys                              []string
	// Watch lets all clients only look at the keys, but for the first one of the first child. Else changes follow each other so closely that
	// hardly anything is read between them.
	Watch bool
}

// serve plays a child's part in one history after the other, as they are asked for on its standard input.
func serve(role, dir string) error {
	config := local.Config{Dir: filepath.Join(dir, "keys"), RootKey: kms.NewSecret(bytes.Repeat([]byte{7}, 32)), AllowUnlockedMemory: true}
	b, err := local.New(context.Background(), config)
	if err != nil {
		return err
	}
	defer b.Close()
	in, out := json.NewDecoder(os.Stdin), bufio.NewWriter(os.Stdout)
	for in.More() {
		var o order
		if err := in.Decode(&o); err != nil {
			return err
		}
		events, err := play(b, role, dir, o)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(out).Encode(events); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// play runs the clients of one child at the same time.
func play(b *local.Backend, role, dir string, o order) (events []event, err error) {
	clients := make([]client, o.Clients)
	errs := make([]error, o.Clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := &clients[i]
		of := func(file string) string { return filepath.Join(dir, fmt.Sprint(file, "-", o.Round)) }
		*c = client{Backend: b, order: o, number: o.Child*o.Clients + i, pool: pool(of("blobs")), end: of("end")}
		if role == roleStale {
			c.known = make(map[string]kms.Key)
		}
		wg.Go(func() { errs[i] = c.run() })
	}
	wg.Wait()
	for i, c := range clients {
		if errs[i] != nil {
			return nil, errs[i]
		}
		events = append(events, c.events...)
	}
	return events, nil
}

// A pool is a file of the ciphertexts of one history, by which all processes have those of the others.
type pool string

func (p pool) add(ciphertext []byte) error {
	f, err := os.OpenFile(string(p), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(ciphertext) + "\n")
	return err
}

// draw returns any ciphertext, or nil where there is none yet.
func (p pool) draw() ([]byte, error) {
	all, err := os.ReadFile(string(p))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	lines := slices.Collect(strings.Lines(string(all)))
	if len(lines) == 0 {
		return nil, nil
	}
	return base64.StdEncoding.DecodeString(strings.TrimSuffix(lines[rand.IntN(len(lines))], "\n"))
}

// nameOf is what events call a ciphertext.
func nameOf(ciphertext []byte) string {
	sum := sha256.Sum256(ciphertext)
	return fmt.Sprintf("%x", sum[:6])
}
