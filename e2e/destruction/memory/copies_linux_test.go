// Package memory_test looks at what becomes of keys in memory: copies of them that are left behind, core dumps, limits on locked
// memory, and secrets that are not needed any more.
package memory_test

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

const masters = 4

// buildVictim builds the victim, with an experiment of the Go runtime or with none.
func buildVictim(t *testing.T, experiment string) string {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not here, which builds the program that is looked at")
	}
	binary := filepath.Join(t.TempDir(), "victim")
	build := exec.CommandContext(t.Context(), tool, "build", "-o", binary, "./victim")
	build.Env = append(os.Environ(), "GOEXPERIMENT="+experiment, "GOFLAGS=")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

// A victim is a process that uses keys and waits to be looked at.
type victim struct {
	dir     string
	secrets []byte // what it was given
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	errors  bytes.Buffer
}

// startVictim starts the program and gives it its secrets. It ends with the test.
func startVictim(t *testing.T, binary, kind string, flags ...string) *victim {
	t.Helper()
	v := &victim{dir: t.TempDir(), secrets: make([]byte, (3+masters)*32)}
	rand.Read(v.secrets)
	if kind == "file" {
		for i := range 2 {
			line := base64.StdEncoding.EncodeToString(v.secret(i)) + "\n"
			require.NoError(t, os.WriteFile(filepath.Join(v.dir, fmt.Sprintf("root-%d.key", i+1)), []byte(line), 0o600))
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	t.Cleanup(cancel)
	v.cmd = exec.CommandContext(ctx, binary, append([]string{"-dir", v.dir, "-root", kind, "-masters", fmt.Sprint(masters)}, flags...)...)
	v.cmd.Dir, v.cmd.Stderr = v.dir, &v.errors
	var err error
	v.in, err = v.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := v.cmd.StdoutPipe()
	require.NoError(t, err)
	v.out = bufio.NewReader(out)
	require.NoError(t, v.cmd.Start())
	t.Cleanup(func() {
		v.cmd.Process.Kill()
		v.cmd.Wait()
	})
	_, err = v.in.Write(v.secrets)
	require.NoError(t, err)
	return v
}

// secret returns one of the secrets in their order: two root keys, or passphrases, a key for bundles, and the master keys.
func (v *victim) secret(i int) []byte { return v.secrets[i*32:][:32] }

// ready waits for the victim to reach its next stage.
func (v *victim) ready(t *testing.T) {
	t.Helper()
	line, err := v.out.ReadString('\n')
	if err != nil {
		v.cmd.Wait()
	}
	require.NoError(t, err, v.errors.String())
	require.Equal(t, "ready\n", line)
}

// goOn lets the victim go on.
func (v *victim) goOn(t *testing.T) {
	t.Helper()
	_, err := v.in.Write([]byte{'\n'})
	require.NoError(t, err)
}

// needles returns what the victim may not leave behind: what it was given, the root keys that come from it, and all versions of its master
// keys, which are read from the records.
func (v *victim) needles(t *testing.T) (all []needle) {
	t.Helper()
	first, firstPRK := v.rootKey(t, filepath.Join(v.dir, "root-1.json"), 0)
	second, secondPRK := v.rootKey(t, filepath.Join(v.dir, "keys", "root.json"), 1)
	for name, secret := range map[string][]byte{
		"first secret": v.secret(0), "second secret": v.secret(1), "bundle key": v.secret(2), "first root key": first, "second root key": second,
		"first root's PRK": firstPRK, "second root's PRK": secondPRK,
	} {
		all = append(all, needlesOf(name, secret)...)
	}
	for i := range masters {
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
func (v *victim) rootKey(t *testing.T, path string, secret int) (key, prk []byte) {
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
func (v *victim) materials(t *testing.T, root []byte, id string) (all [][]byte) {
	t.Helper()
	var file struct {
		Record struct {
			Versions []struct {
				Version uint32
				Sealed  []byte
			}
		}
	}
	decode(t, filepath.Join(v.dir, "keys", "keys", id+".json"), &file)
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

// split tells what lies in locked memory, where keys belong, from what does not.
func split(found []finding) (locked, leaked []finding) {
	for _, f := range found {
		if f.mapping.sealed() {
			locked = append(locked, f)
		} else {
			leaked = append(leaked, f)
		}
	}
	return locked, leaked
}

// look scans the victim at each of its stages.
func (v *victim) look(t *testing.T, see func(stage string, locked, leaked []finding)) {
	t.Helper()
	var needles []needle
	for _, stage := range []string{"used", "collected", "closed"} {
		v.ready(t)
		if needles == nil {
			needles = v.needles(t)
		}
		locked, leaked := split(scan(t, v.cmd.Process.Pid, needles))
		see(stage, locked, leaked)
		v.goOn(t)
	}
	require.NoError(t, v.cmd.Wait(), v.errors.String())
}

// requireArena checks that the keys in use are where they belong, and nothing else, and that nothing is left after Close.
func requireArena(t *testing.T, stage string, locked []finding) {
	t.Helper()
	if stage == "closed" {
		require.Empty(t, locked)
		return
	}
	require.NotEmpty(t, locked, "neither the root key nor a master key was found where they belong: what was looked for is wrong")
	for _, f := range locked {
		require.NotContains(t, f.needle.of, "secret", "what the root key comes from")
		require.NotContains(t, f.needle.of, "first root", "a root key that was changed")
		require.NotContains(t, f.needle.of, "PRK")
		require.NotContains(t, f.needle.of, "bundle")
		require.NotContains(t, f.needle.of, "pad")
		require.NotContains(t, f.needle.of, "base64")
	}
}

// count says how many copies were found, of how many kinds of secrets. Two halves that lie side by side are one copy.
func count(found []finding) string {
	kinds := map[string]int{}
	for i, f := range found {
		if i > 0 && strings.HasSuffix(f.needle.of, "second half") && found[i-1].address+uint64(len(f.needle.text)) == f.address {
			continue
		}
		kind, _, _ := strings.Cut(f.needle.of, ",")
		if strings.HasPrefix(kind, "master key") {
			kind = "master keys"
		}
		kinds[kind]++
	}
	return strings.TrimPrefix(fmt.Sprint(kinds), "map")
}

func text(found []finding) string {
	var lines []string
	for _, f := range found {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

// The default runtime leaves copies behind when it moves stacks and saves registers, and they stay until their place is used for something else. What
// is kept here is their number, for docs/SECURITY.md.
func TestCopiesThatTheDefaultRuntimeLeaves(t *testing.T) {
	binary := buildVictim(t, "")
	for _, kind := range []string{"raw", "passphrase", "file"} {
		t.Run(kind, func(t *testing.T) {
			startVictim(t, binary, kind).look(t, func(stage string, locked, leaked []finding) {
				requireArena(t, stage, locked)
				t.Logf("%s: %s in locked memory, %s elsewhere", stage, count(locked), count(leaked))
			})
		})
	}
}

// secretRuntime is the experiment of the Go runtime that erases what package erase has run.
const secretRuntime = "runtimesecret"

// With runtime/secret nothing is left, once the garbage collector has run.
func TestNoCopyIsLeftWithTheSecretRuntime(t *testing.T) {
	skipWithoutSecretRuntime(t)
	binary := buildVictim(t, secretRuntime)
	for _, kind := range []string{"raw", "passphrase", "file"} {
		t.Run(kind, func(t *testing.T) {
			startVictim(t, binary, kind).look(t, func(stage string, locked, leaked []finding) {
				requireArena(t, stage, locked)
				t.Logf("%s: %s in locked memory, %s elsewhere", stage, count(locked), count(leaked))
				if stage != "used" {
					require.Empty(t, text(leaked), stage)
				}
			})
		})
	}
}

func skipWithoutSecretRuntime(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("the standard library is built anew for the experiment, which takes a minute: not with -short")
	}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("runtime/secret erases nothing on ", runtime.GOARCH, ", want amd64 or arm64")
	}
}

func TestACopyThatAProgramKeepsIsFound(t *testing.T) {
	for _, experiment := range []string{"", secretRuntime} {
		t.Run("GOEXPERIMENT="+experiment, func(t *testing.T) {
			if experiment != "" {
				skipWithoutSecretRuntime(t)
			}
			v := startVictim(t, buildVictim(t, experiment), "raw", "-keep", "-wraps", "10")
			v.look(t, func(stage string, _, leaked []finding) {
				require.Contains(t, text(leaked), "master key 0 version 1, first half", stage)
				require.Contains(t, text(leaked), "master key 0 version 1, second half", stage)
			})
		})
	}
}
