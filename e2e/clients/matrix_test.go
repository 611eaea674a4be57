package clients

import (
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/clients/s3client"
	"github.com/objectkms/kms/e2e/clients/server"
)

const (
	smallSize = 150_001    // several chunks, and a part of one
	largeSize = 20<<20 - 3 // four parts
	partEdge  = s3client.PartSize
	chunkEdge = 64 << 10

	withTools, withoutTools = true, false
)

// A scenario is what one client does in one mode, in a bucket of its own.
type scenario struct {
	*testing.T
	s      *server.Server
	c      s3client.Client
	depth  depth
	bucket string
	keyID  string // wraps the data keys; none for SSE-C
	enc    s3client.Encryption
	kept   []kept
}

// A depth is how much of a scenario is done. A tool of the command line does less than an SDK, since each of its calls takes most of a second.
type depth int

const (
	most depth = iota // one of everything
	all
)

// kept is an object that must stay readable.
type kept struct {
	at   s3client.Object
	enc  s3client.Encryption
	body []byte
}

// Every client does all it can in every mode, with the keys in a directory and in Vault. What it has stored is read again after the server
// was stopped, and after it was killed.
func TestEveryClientInEveryMode(t *testing.T) {
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && backend.name != "local" {
				t.Skip("wants a Vault server, which -short does without")
			}
			s := backend.start(t)
			stored := make(map[string][]kept)
			for _, kind := range kinds {
				t.Run(kind.name, func(t *testing.T) {
					if testing.Short() && kind.tool {
						t.Skip("wants to start many processes, which -short does without")
					}
					depth := all
					if kind.tool {
						depth = most
					}
					c, err := kind.open(t, s)
					stored[kind.name] = everyMode(t, s, orSkip(t, c, err), depth)
				})
			}
			s.Terminate(t)
			s.Restart(t)
			t.Run("after SIGTERM", func(t *testing.T) { readAll(t, s, stored, withoutTools) })
			s.Kill()
			s.Restart(t)
			t.Run("after SIGKILL", func(t *testing.T) { readAll(t, s, stored, withTools) })
		})
	}
}

// everyMode lets a client do what it can, and returns what it has stored.
func everyMode(t *testing.T, s *server.Server, c s3client.Client, d depth) (stored []kept) {
	bucket := "of-" + c.Name()
	makeBucket(t, s, bucket)
	for _, enc := range encryptions(t, s, c) {
		t.Run(string(enc.Mode), func(t *testing.T) {
			if enc.Mode == s3client.SSEC && !c.Can(s3client.CustomerKeys) {
				t.Skip(c.Name(), "has no customer keys")
			}
			sc := &scenario{T: t, s: s, c: c, depth: d, bucket: bucket, enc: enc, keyID: s.Env["KMS_DEFAULT_KEY_ID"]}
			if enc.KeyID != "" {
				sc.keyID = enc.KeyID
			}
			sc.run()
			stored = append(stored, sc.kept...)
		})
	}
	return stored
}

// encryptions returns what a client asks for in each mode. Each client has a key of its own.
func encryptions(t *testing.T, s *server.Server, c s3client.Client) []s3client.Encryption {
	t.Helper()
	keyID := "key-of-" + c.Name()
	s.Key(t, "", keyID)
	withKMS := s3client.Encryption{Mode: s3client.SSEKMS, KeyID: keyID}
	if c.Can(s3client.Contexts) {
		withKMS.Context = map[string]string{"customer": "Łódź", "": "empty"}
	}
	return []s3client.Encryption{{Mode: s3client.SSES3}, withKMS, {Mode: s3client.SSEC, CustomerKey: newCustomerKey()}}
}

func (sc *scenario) run() {
	sc.one(sc.object("small"), randomBody(1, smallSize), sc.c.Put)
	if sc.depth == all {
		sc.one(sc.object("empty"), nil, sc.c.Put)
	}
	sc.parts(sc.object("large"), randomBody(2, largeSize))
	sc.copies(sc.kept[0])
	sc.list()
	sc.tampered()
	sc.wrongKeys(sc.kept[0])
	sc.missingKey(sc.kept[0])
	sc.disabledKey(sc.kept[0])
	sc.rotatedKey(sc.kept[0])
}

// object returns where an object of this mode is.
func (sc *scenario) object(name string) s3client.Object {
	return s3client.Object{Bucket: sc.bucket, Key: strings.ToLower(string(sc.enc.Mode)) + "/" + name}
}

type putFunc = func(ctx context.Context, o s3client.Object, body []byte, e s3client.Encryption) error

// one stores an object and reads all there is of it.
func (sc *scenario) one(at s3client.Object, body []byte, put putFunc) {
	sc.Helper()
	require.NoError(sc, put(sc.Context(), at, body, sc.enc), at.Key)
	k := kept{at, sc.enc, body}
	sc.kept = append(sc.kept, k)
	readsAs(sc.T, sc.c, k)
	info := sc.head(k)
	if sc.c.Can(s3client.HeadTells) {
		sc.etag(k, info.ETag, len(body) > partEdge)
	}
	if sc.c.Can(s3client.Ranges) {
		sc.ranges(k)
	}
}

// parts stores an object in parts. A tool that does not send the customer key to complete an upload is refused: this library wants it, and S3 does not.
func (sc *scenario) parts(at s3client.Object, body []byte) {
	if sc.enc.Mode == s3client.SSEC && !sc.c.Can(s3client.CustomerParts) {
		if err := sc.c.PutParts(sc.Context(), at, body, sc.enc); err != nil {
			require.ErrorContains(sc, err, partParameters)
			return
		}
	}
	sc.one(at, body, sc.c.PutParts)
}

// ranges reads across the edges of chunks and of parts, and both ends.
func (sc *scenario) ranges(k kept) {
	sc.Helper()
	size := len(k.body)
	ranges := [][2]int{{partEdge - 9, partEdge + 9}, {chunkEdge - 5, chunkEdge + 5}, {size - 7, size - 1}, {0, 0}}
	for _, r := range ranges {
		if r[0] < 0 || r[1] >= size {
			continue
		}
		got, err := sc.c.GetRange(sc.Context(), k.at, int64(r[0]), int64(r[1]), k.enc)
		require.NoError(sc, err, "%s, range %v", k.at.Key, r)
		require.Equal(sc, k.body[r[0]:r[1]+1], got, "%s, range %v", k.at.Key, r)
		if sc.depth < all {
			return
		}
	}
}

var (
	opaqueETag = regexp.MustCompile(`^[0-9a-f]{32}$`)
	partsETag  = regexp.MustCompile(`^[0-9a-f]{32}-[0-9]+$`)
)

// etag requires the MD5 of the body where S3 answers that, and else something that is none.
func (sc *scenario) etag(k kept, etag string, parts bool) {
	sc.Helper()
	sum := fmt.Sprintf("%x", md5.Sum(k.body))
	switch {
	case parts:
		require.Regexp(sc, partsETag, etag)
	case k.enc.Mode == s3client.SSES3:
		require.Equal(sc, sum, etag)
	default:
		require.Regexp(sc, opaqueETag, etag)
		require.NotEqual(sc, sum, etag)
	}
}

// readsAs requires that an object can be read, and is what it was.
func readsAs(t *testing.T, c s3client.Client, k kept) {
	t.Helper()
	got, err := c.Get(t.Context(), k.at, k.enc)
	require.NoError(t, err, k.at.Key)
	require.True(t, bytes.Equal(k.body, got), "%s has %d bytes, want the %d that were stored", k.at.Key, len(got), len(k.body))
}

// head requires that HEAD tells the size of what was stored, not of how it is stored, and the mode.
func (sc *scenario) head(k kept) s3client.Info {
	sc.Helper()
	info, err := sc.c.Head(sc.Context(), k.at, k.enc)
	require.NoError(sc, err, k.at.Key)
	require.EqualValues(sc, len(k.body), info.Size, k.at.Key)
	if !sc.c.Can(s3client.HeadTells) {
		return info
	}
	want := s3client.Info{Size: info.Size, ETag: info.ETag}
	switch k.enc.Mode {
	case s3client.SSES3:
		want.Algorithm = "AES256"
	case s3client.SSEKMS:
		want.Algorithm, want.KeyID = "aws:kms", k.enc.KeyID
	case s3client.SSEC:
		want.KeyMD5 = s3client.KeyMD5(k.enc.CustomerKey)
	}
	require.Equal(sc, want, info, k.at.Key)
	return info
}

// copies copies an object within its mode, and from it to all others.
func (sc *scenario) copies(from kept) {
	targets := []s3client.Encryption{sc.enc}
	if sc.depth == all && sc.c.Can(s3client.CopyAcross) {
		targets = []s3client.Encryption{{Mode: s3client.SSES3}, {Mode: s3client.SSEKMS, KeyID: "key-of-" + sc.c.Name()}}
		if sc.c.Can(s3client.CustomerKeys) {
			targets = append(targets, s3client.Encryption{Mode: s3client.SSEC, CustomerKey: newCustomerKey()})
		}
	}
	for _, target := range targets {
		to := kept{sc.object("copied-to-" + string(target.Mode)), target, from.body}
		require.NoError(sc, sc.c.Copy(sc.Context(), from.at, from.enc, to.at, target), to.at.Key)
		readsAs(sc.T, sc.c, to)
		sc.head(to)
		sc.kept = append(sc.kept, to)
	}
}

// list requires the sizes of what was stored.
func (sc *scenario) list() {
	want := make(map[string]int64)
	for _, k := range sc.kept {
		want[k.at.Key] = int64(len(k.body))
	}
	got, err := sc.c.List(sc.Context(), sc.bucket, strings.ToLower(string(sc.enc.Mode))+"/")
	require.NoError(sc, err)
	require.Equal(sc, want, got)
}

// wrongKeys reads an object with another customer key than its own, and without any.
func (sc *scenario) wrongKeys(k kept) {
	if sc.enc.Mode != s3client.SSEC {
		return
	}
	other := s3client.Encryption{Mode: s3client.SSEC, CustomerKey: newCustomerKey()}
	sc.refused(k, other, http.StatusForbidden, "AccessDenied")
	sc.refused(k, s3client.Encryption{}, http.StatusBadRequest, "InvalidRequest")
}

// refused requires that an object cannot be read, nor asked about.
func (sc *scenario) refused(k kept, enc s3client.Encryption, status int, code string) {
	sc.Helper()
	got, err := sc.c.Get(sc.Context(), k.at, enc)
	require.Empty(sc, got, "a refused object has no bytes")
	sc.explained(err, s3client.ReadExplains, code)
	if sc.depth == all { // the answer to a HEAD has only the status
		_, err = sc.c.Head(sc.Context(), k.at, enc)
		require.Error(sc, err)
		require.Regexp(sc, fmt.Sprintf(`\b%d\b|%s`, status, http.StatusText(status)), err.Error())
	}
}

// explained requires an error, and the code of the answer in it, where the client shows it.
func (sc *scenario) explained(err error, f s3client.Feature, code string) {
	sc.Helper()
	require.Error(sc, err)
	if sc.c.Can(f) {
		require.ErrorContains(sc, err, code)
	}
}

// missingKey writes under a key that there is not.
func (sc *scenario) missingKey(k kept) {
	if sc.enc.Mode != s3client.SSEKMS {
		return
	}
	none := s3client.Encryption{Mode: s3client.SSEKMS, KeyID: "none-such"}
	sc.explained(sc.c.Put(sc.Context(), sc.object("refused"), k.body, none), s3client.WriteExplains, "KMS.NotFoundException")
}

// disabledKey disables the key that the objects are under. SSE-C has none, and goes on.
func (sc *scenario) disabledKey(k kept) {
	sc.s.Key(sc, "disable", sc.keyID)
	enabled := false
	enable := func() {
		if !enabled {
			sc.s.Key(sc, "enable", sc.keyID)
			enabled = true
		}
	}
	defer enable()
	if sc.enc.Mode == s3client.SSEC {
		readsAs(sc.T, sc.c, k)
		return
	}
	const code = "KMS.DisabledException"
	sc.refused(k, k.enc, http.StatusBadRequest, code)
	sc.explained(sc.c.Put(sc.Context(), sc.object("refused"), k.body, sc.enc), s3client.WriteExplains, code)
	enable()
	readsAs(sc.T, sc.c, k)
}

// rotatedKey rotates the key. Objects of both versions can be read.
func (sc *scenario) rotatedKey(k kept) {
	key, ok := sc.s.Key(sc, "rotate", sc.keyID)["key_metadata"].(map[string]any)
	require.True(sc, ok)
	require.Greater(sc, key["version"], 1.0)
	readsAs(sc.T, sc.c, k)
	if sc.depth == all {
		sc.one(sc.object("rotated"), randomBody(3, smallSize), sc.c.Put)
	}
}

// tampered changes what is stored of an object, everywhere. The client sees an error, and never a byte that was not stored.
func (sc *scenario) tampered() {
	k := kept{sc.object("tampered"), sc.enc, randomBody(4, 1<<20+7)}
	require.NoError(sc, sc.c.Put(sc.Context(), k.at, k.body, k.enc))
	sc.kept = append(sc.kept, k)
	places := []float64{0.01, 0.5, 1, 0}
	if sc.depth < all {
		places = places[:3]
	}
	for _, at := range places {
		back := sc.s.Flip(sc, k.at.Bucket, k.at.Key, at)
		sc.damaged(k, "flipped at "+strconv.FormatFloat(at, 'f', -1, 64))
		back()
	}
	back := sc.s.Cut(sc, k.at.Bucket, k.at.Key)
	sc.damaged(k, "cut")
	back()
	readsAs(sc.T, sc.c, k)
}

func (sc *scenario) damaged(k kept, how string) {
	sc.Helper()
	got, err := sc.c.Get(sc.Context(), k.at, k.enc)
	require.Error(sc, err, how)
	require.Less(sc, len(got), len(k.body), how)
	require.True(sc, bytes.HasPrefix(k.body, got), "%s: %d bytes are not the first of what was stored", how, len(got))
}

// readAll lets each client read what it has stored. A tool reads the first object of each mode, if tools are wanted.
func readAll(t *testing.T, s *server.Server, stored map[string][]kept, tools bool) {
	for _, kind := range kinds {
		if stored[kind.name] == nil || kind.tool && !tools {
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			c, err := kind.open(t, s)
			c = orSkip(t, c, err)
			for _, k := range stored[kind.name] {
				if !kind.tool || strings.HasSuffix(k.at.Key, "/small") {
					readsAs(t, c, k)
				}
			}
		})
	}
}
