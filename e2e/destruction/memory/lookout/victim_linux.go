package lookout

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/kdf"
)

// Masters is how many master keys a victim is given.
const Masters = 4

// Build builds the victim, with an experiment of the Go runtime or with none.
func Build(t *testing.T, experiment string) string {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not here, which builds the program that is looked at")
	}
	binary := filepath.Join(t.TempDir(), "victim")
	build := exec.CommandContext(t.Context(), tool, "build", "-o", binary, "github.com/objectkms/kms/e2e/destruction/memory/victim")
	build.Env = append(os.Environ(), "GOEXPERIMENT="+experiment, "GOFLAGS=")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

// A Victim is a process that uses keys and waits to be looked at.
type Victim struct {
	Dir     string
	secrets []byte // what it was given
	Cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	Errors  bytes.Buffer
}

// Start starts the program and gives it its secrets. It ends with the test.
func Start(t *testing.T, binary, kind string, flags ...string) *Victim {
	t.Helper()
	v := &Victim{Dir: t.TempDir(), secrets: make([]byte, (3+Masters)*32)}
	rand.Read(v.secrets)
	if kind == "file" {
		for i := range 2 {
			line := base64.StdEncoding.EncodeToString(v.secret(i)) + "\n"
			require.NoError(t, os.WriteFile(filepath.Join(v.Dir, fmt.Sprintf("root-%d.key", i+1)), []byte(line), 0o600))
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	t.Cleanup(cancel)
	v.Cmd = exec.CommandContext(ctx, binary, append([]string{"-dir", v.Dir, "-root", kind, "-masters", fmt.Sprint(Masters)}, flags...)...)
	v.Cmd.Dir, v.Cmd.Stderr = v.Dir, &v.Errors
	var err error
	v.in, err = v.Cmd.StdinPipe()
	require.NoError(t, err)
	out, err := v.Cmd.StdoutPipe()
	require.NoError(t, err)
	v.out = bufio.NewReader(out)
	require.NoError(t, v.Cmd.Start())
	t.Cleanup(func() {
		v.Cmd.Process.Kill()
		v.Cmd.Wait()
	})
	_, err = v.in.Write(v.secrets)
	require.NoError(t, err)
	return v
}

// secret returns one of the secrets in their order: two root keys, or passphrases, a key for bundles, and the master keys.
func (v *Victim) secret(i int) []byte { return v.secrets[i*32:][:32] }

// Ready waits for the victim to reach its next stage.
func (v *Victim) Ready(t *testing.T) {
	t.Helper()
	line, err := v.out.ReadString('\n')
	if err != nil {
		v.Cmd.Wait() // and with it all that the victim has to say is in Errors
		require.NoError(t, err, v.Errors.String())
	}
	require.Equal(t, "ready\n", line)
}

// GoOn lets the victim go on.
func (v *Victim) GoOn(t *testing.T) {
	t.Helper()
	_, err := v.in.Write([]byte{'\n'})
	require.NoError(t, err)
}

// Needles returns what the victim may not leave behind: what it was given, the root keys that come from it, and all versions of its master
// keys, which are read from the records.
func (v *Victim) Needles(t *testing.T) (all []Needle) {
	t.Helper()
	first, firstPRK := v.rootKey(t, filepath.Join(v.Dir, "root-1.json"), 0)
	second, secondPRK := v.rootKey(t, filepath.Join(v.Dir, "keys", "root.json"), 1)
	for name, secret := range map[string][]byte{
		"first secret": v.secret(0), "second secret": v.secret(1), "bundle key": v.secret(2), "first root key": first, "second root key": second,
		"first root's PRK": firstPRK, "second root's PRK": secondPRK,
	} {
		all = append(all, needlesOf(name, secret)...)
	}
	for i := range Masters {
		materials := v.materials(t, second, fmt.Sprint("key-", i))
		require.Equal(t, v.secret(3+i), materials[0])
		for version, material := range materials {
			all = append(all, needlesOf(fmt.Sprintf("master key %d version %d", i, version+1), material)...)
		}
	}
	return all
}

// rootKey derives the root key of a root.json from one of the secrets. The pseudorandom key that HKDF has between them is as good as
// the root key: a passphrase has none, and its place is taken by the secret.
func (v *Victim) rootKey(t *testing.T, path string, secret int) (key, prk []byte) {
	t.Helper()
	var file struct {
		Roots []struct {
			KDF, Params string
			Salt        []byte
		}
	}
	decode(t, path, &file)
	root := file.Roots[len(file.Roots)-1]
	key, err := kdf.Spec{Name: root.KDF, Params: root.Params, Salt: root.Salt}.Derive(v.secret(secret), "objectkms/v1/root-key")
	require.NoError(t, err)
	if root.KDF == kdf.Passphrase {
		return key, v.secret(secret)
	}
	prk, err = hkdf.Extract(sha512.New, v.secret(secret), root.Salt)
	require.NoError(t, err)
	return key, prk
}

// materials opens all versions in the record of a key.
func (v *Victim) materials(t *testing.T, root []byte, id string) (all [][]byte) {
	t.Helper()
	var file struct {
		Record struct {
			Versions []struct {
				Version uint32
				Sealed  []byte
			}
		}
	}
	decode(t, filepath.Join(v.Dir, "keys", "keys", id+".json"), &file)
	for _, version := range file.Record.Versions {
		context := encctx.Bind(nil, "master-key", []byte(id), encctx.Uint32(version.Version))
		material, err := cobblestone.Open(nil, root, context, version.Sealed)
		require.NoError(t, err)
		all = append(all, material)
	}
	return all
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, into), path)
}

// Split tells what lies in locked memory, where keys belong, from what does not.
func Split(found []Finding) (locked, leaked []Finding) {
	for _, f := range found {
		if f.mapping.sealed() {
			locked = append(locked, f)
		} else {
			leaked = append(leaked, f)
		}
	}
	return locked, leaked
}

// Look scans the victim at each of its stages.
func (v *Victim) Look(t *testing.T, see func(stage string, locked, leaked []Finding)) {
	t.Helper()
	var needles []Needle
	for _, stage := range []string{"used", "collected", "closed"} {
		v.Ready(t)
		if needles == nil {
			needles = v.Needles(t)
		}
		locked, leaked := Split(Scan(t, v.Cmd.Process.Pid, needles))
		see(stage, locked, leaked)
		v.GoOn(t)
	}
	require.NoError(t, v.Cmd.Wait(), v.Errors.String())
}

// Count says how many copies were found, of how many kinds of secrets. Two halves that lie side by side are one copy.
func Count(found []Finding) string {
	kinds := map[string]int{}
	for i, f := range found {
		if i > 0 && strings.HasSuffix(f.Needle.Of, "second half") && found[i-1].address+uint64(len(f.Needle.text)) == f.address {
			continue
		}
		kind, _, _ := strings.Cut(f.Needle.Of, ",")
		if strings.HasPrefix(kind, "master key") {
			kind = "master keys"
		}
		kinds[kind]++
	}
	return strings.TrimPrefix(fmt.Sprint(kinds), "map")
}

// Text returns findings as lines.
func Text(found []Finding) string {
	var lines []string
	for _, f := range found {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

// SecretRuntime is the experiment of the Go runtime that erases what package erase has run.
const SecretRuntime = "runtimesecret"

// SkipWithoutSecretRuntime skips a test where the experiment cannot be, or should not take the time.
func SkipWithoutSecretRuntime(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("the standard library is built anew for the experiment, which takes a minute: not with -short")
	}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("runtime/secret erases nothing on ", runtime.GOARCH, ", want amd64 or arm64")
	}
}
