// Package nodes uses the same keys from several backends and several processes at once.
package nodes

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

// nodeVariable makes the test binary a child process that is a node.
const nodeVariable = "NODES_TEST_NODE"

func TestMain(m *testing.M) {
	if place := os.Getenv(nodeVariable); place != "" {
		if err := serve(place, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func engines(t *testing.T, run func(t *testing.T, engine vault.Engine)) {
	for name, engine := range map[string]vault.Engine{"Transit": vault.Transit, "KV2": vault.KV2} {
		t.Run(name, func(t *testing.T) { run(t, engine) })
	}
}

func open(t *testing.T, config kms.BackendConfig) *vault.Backend {
	t.Helper()
	b, err := config.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b.(*vault.Backend)
}

// A place is what a child process must know.
type place struct {
	Mounts testenv.Mounts
	Engine vault.Engine
}

// An order is what a child process is told to do, and an answer what came of it.
type (
	order struct {
		Do    string // "create", "rotate", "make", "open", "churn"
		KeyID string
		Key   sample.DataKey // to open
	}
	answer struct {
		Key    sample.DataKey // that was made
		Counts counts         // of a churn
		Err    string
	}
)

// serve is the child process: it opens a backend, and follows orders until there are no more.
func serve(text string, in io.Reader, out io.Writer) error {
	var p place
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	ctx := context.Background()
	b, err := p.Mounts.Config(p.Engine).Open(ctx)
	if err != nil {
		return err
	}
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return b.Close()
		} else if err != nil {
			return err
		}
		a, err := follow(ctx, b.(*vault.Backend), o)
		if err != nil {
			a.Err = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func follow(ctx context.Context, b *vault.Backend, o order) (a answer, err error) {
	switch o.Do {
	case "create":
		_, err = b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: o.KeyID})
	case "rotate":
		_, err = b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: o.KeyID})
	case "make":
		a.Key, err = sample.New(ctx, b, o.KeyID, kms.EncryptionContext{"from": "a child"})
	case "open":
		err = o.Key.Open(ctx, b)
	case "churn":
		a.Counts, err = churn(ctx, b, o.KeyID)
	default:
		err = fmt.Errorf("order %q", o.Do)
	}
	return a, err
}

// A node is another process that uses the same keys.
type node struct {
	orders  *json.Encoder
	answers *json.Decoder
}

func startNode(t *testing.T, m *testenv.Mounts, engine vault.Engine) *node {
	t.Helper()
	text, err := json.Marshal(place{*m, engine})
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), nodeVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &node{json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
}

func (n *node) do(o order) (a answer, err error) {
	if err := n.orders.Encode(o); err != nil {
		return a, err
	}
	if err := n.answers.Decode(&a); err != nil {
		return a, err
	}
	if a.Err != "" {
		return a, errors.New(a.Err)
	}
	return a, nil
}

// What one process has made, another one uses in its next call: keys, versions and data keys.
func TestKeysOfAnotherProcessAreUsedAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		m := testenv.NewMounts(t)
		b, other := open(t, m.Config(engine)), startNode(t, m, engine)
		for i := range 20 {
			id := fmt.Sprint("theirs-", i)
			_, err := other.do(order{Do: "create", KeyID: id})
			require.NoError(t, err)
			mine, err := sample.New(t.Context(), b, id, nil)
			require.NoError(t, err)
			_, err = other.do(order{Do: "open", Key: mine})
			require.NoError(t, err)

			_, err = other.do(order{Do: "rotate", KeyID: id})
			require.NoError(t, err)
			theirs, err := other.do(order{Do: "make", KeyID: id})
			require.NoError(t, err)
			require.EqualValues(t, 2, theirs.Key.KeyVersion)
			require.NoError(t, theirs.Key.Open(t.Context(), b), "a version that another process made a moment ago")
			require.NoError(t, mine.Open(t.Context(), b))

			id = fmt.Sprint("ours-", i)
			_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
			require.NoError(t, err)
			theirs, err = other.do(order{Do: "make", KeyID: id})
			require.NoError(t, err)
			require.NoError(t, theirs.Key.Open(t.Context(), b))
			_, err = other.do(order{Do: "create", KeyID: id})
			require.ErrorContains(t, err, kms.ErrKeyExists.Error())
		}
	})
}
