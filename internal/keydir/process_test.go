//go:build unix

package keydir_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// roleVariable makes the test binary a child process of a test, with a part to play.
const roleVariable = "KEYDIR_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role, dir, _ := strings.Cut(os.Getenv(roleVariable), ":"); role {
	case "mixed":
		exit(mixedOperations(dir))
	case "writer":
		exit(writeUntilKilled(dir))
	}
	goleak.VerifyTestMain(m)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(ctx context.Context, role, dir string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role+":"+dir)
	return cmd
}

// seal makes a record of some size from a number, in which a torn read shows.
func seal(n int) []byte {
	body := fmt.Sprintf("%d %s", n, strings.Repeat("x", n*97%5000))
	return fmt.Appendf(nil, "%x %s", sha256.Sum256([]byte(body)), body)
}

func unseal(record []byte) (int, error) {
	if record == nil {
		return 0, nil
	}
	fields := strings.Fields(string(record))
	if len(fields) < 2 {
		return 0, errors.New("torn record")
	}
	n, err := strconv.Atoi(fields[1])
	if err != nil || !bytes.Equal(seal(n), record) {
		return 0, fmt.Errorf("torn record of %d bytes", len(record))
	}
	return n, nil
}

func increment(old []byte, _ uint64) ([]byte, error) {
	n, err := unseal(old)
	return seal(n + 1), err
}

const (
	processes  = 8
	operations = 200
	sharedKeys = 5
)

// mixedOperations is a child that changes shared records, and says what it has done to each.
func mixedOperations(dir string) error {
	d, err := keydir.Open(dir, keydir.Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	least := make([]int, sharedKeys) // what must be read at least
	for range operations {
		k := rand.IntN(sharedKeys)
		if err := mixedOperation(d, k, &least[k]); err != nil {
			return err
		}
	}
	return nil
}

func mixedOperation(d *keydir.Dir, k int, least *int) error {
	ctx := context.Background()
	switch rand.IntN(5) {
	case 0:
		id := fmt.Sprint("contested-", rand.IntN(20))
		return contest(ctx, d, id)
	case 1:
		_, err := d.List(ctx, "", 1000)
		return err
	case 2:
		if err := d.Mutate(ctx, fmt.Sprint("shared-", k), increment); err != nil {
			return err
		}
		fmt.Println("increment", k)
	}
	record, err := d.Get(ctx, fmt.Sprint("shared-", k))
	if err != nil && !errors.Is(err, kms.ErrKeyNotFound) {
		return err
	}
	n, err := unseal(record)
	if err == nil && n < *least {
		err = fmt.Errorf("read %d after %d", n, *least)
	}
	*least = n
	return err
}

// contest creates a record if it is not there and deletes it if it is.
func contest(ctx context.Context, d *keydir.Dir, id string) error {
	did := "create"
	err := d.Mutate(ctx, id, func(old []byte, _ uint64) ([]byte, error) {
		if old != nil {
			did = "delete"
			return nil, nil
		}
		return seal(7), nil
	})
	fmt.Println(did, id)
	return err
}

func TestProcessesLoseNothing(t *testing.T) {
	dir := newDir(t)
	outputs := make([]bytes.Buffer, processes)
	errs := make([]error, processes)
	var wg sync.WaitGroup
	for i := range processes {
		cmd := child(t.Context(), "mixed", dir)
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
	d := open(t, dir)
	for k := range sharedKeys {
		record, err := d.Get(t.Context(), fmt.Sprint("shared-", k))
		require.NoError(t, err)
		n, err := unseal(record)
		require.NoError(t, err)
		require.Equal(t, counts[fmt.Sprint("increment ", k)], n, "an increment was lost")
	}
	for k := range 20 {
		id := fmt.Sprint("contested-", k)
		exists := 0
		if content(t, d, id) != "" {
			exists = 1
		}
		require.Equal(t, exists, counts["create "+id]-counts["delete "+id], "two winners")
	}
	require.Empty(t, strays(t, dir))
}

// deletedAt is how many changes a writer counts to: the last one deletes the record, which counts as 0.
const deletedAt = 7

// writeUntilKilled is a child that changes one record for ever, and says what has been answered.
func writeUntilKilled(dir string) error {
	d, err := keydir.Open(dir, keydir.Options{})
	if err != nil {
		return err
	}
	for {
		var n int
		err := d.Mutate(context.Background(), "n", func(old []byte, _ uint64) (record []byte, err error) {
			if n, err = unseal(old); n == deletedAt-1 {
				n = 0
				return nil, err
			}
			n++
			return seal(n), err
		})
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

func TestKilledWriterLeavesAWholeRecord(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	dir := newDir(t)
	d := open(t, dir)
	for round := range rounds {
		answered := killWriter(t, dir, rand.IntN(12))
		record, err := d.Get(t.Context(), "n")
		if errors.Is(err, kms.ErrKeyNotFound) {
			record, err = nil, nil
		}
		require.NoError(t, err, "round %d", round)
		n, err := unseal(record)
		require.NoError(t, err, "round %d", round)
		// What was answered stands, and at most the next change with it.
		if answered >= 0 {
			require.Contains(t, []int{answered, (answered + 1) % deletedAt}, n, "round %d", round)
		}
		fresh := open(t, dir)
		require.Equal(t, string(record), content(t, fresh, "n"))
		require.NoError(t, fresh.Mutate(t.Context(), "m", increment))
		require.Empty(t, strays(t, dir))
		require.NoError(t, fresh.Close())
	}
}

// killWriter kills a writer after it has answered some changes, and returns the last number that
// it answered, or -1.
func killWriter(t *testing.T, dir string, after int) int {
	t.Helper()
	cmd := child(t.Context(), "writer", dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	last := -1
	read := func() error {
		line, err := lines.ReadString('\n')
		if err == nil {
			last, err = strconv.Atoi(strings.TrimSpace(line))
		}
		return err
	}
	for range after {
		require.NoError(t, read())
	}
	// Somewhere within the next change, which takes some milliseconds.
	for range rand.IntN(200_000) {
		rand.Uint64()
	}
	require.NoError(t, cmd.Process.Kill())
	for err == nil {
		err = read()
	}
	require.ErrorIs(t, err, io.EOF)
	require.Error(t, cmd.Wait())
	return last
}
