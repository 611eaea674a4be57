package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/objectkms/kms"
)

// A kv reads and writes entries of a KV engine, version 2, below one prefix. Every write is a compare-and-set. The names of
// entries are made of fixed words and of key ids that [kms.ValidateKeyID] accepts, so that no request leaves the prefix.
type kv struct {
	client *client
	mount  string
	prefix string
}

// An entry is what one name of a KV engine holds.
type entry struct {
	version uint64          // the newest one, whatever became of it; 0: nothing was ever written
	data    json.RawMessage // nil where nothing was written, or where somebody deleted it in Vault
}

// lost reports whether somebody has deleted or destroyed in Vault what had been written.
func (e entry) lost() bool { return e.version > 0 && e.data == nil }

// errConflict says that a compare-and-set found another version than it wanted.
var errConflict = errors.New("the entry was changed meanwhile")

// The bounds of an entry. Versions count the changes of one key. A record of engine KV2 has up to 1 MiB of text, and in JSON up to twice as much.
const (
	maxVersion   = 1 << 32
	maxEntrySize = 4 << 20 // bytes
)

// The methods of requests that list.
const methodList = "LIST"

func (k *kv) path(api, name string) string {
	return k.mount + "/" + api + "/" + k.prefix + "/" + name
}

// read returns the entry, which may never have been written.
func (k *kv) read(ctx context.Context, name string) (entry, error) {
	var answer struct {
		Data struct {
			Data     json.RawMessage `json:"data"`
			Metadata struct {
				Version uint64 `json:"version"`
			} `json:"metadata"`
		} `json:"data"`
	}
	err := k.client.do(ctx, http.MethodGet, k.path("data", name), nil, &answer)
	e := entry{version: answer.Data.Metadata.Version, data: answer.Data.Data}
	if bytes.Equal(e.data, []byte("null")) {
		e.data = nil
	}
	switch {
	case e.version > maxVersion:
		return entry{}, errAnswer("has version %d of an entry, want at most %d", e.version, uint64(maxVersion))
	case isStatus(err, http.StatusNotFound) && e.lost():
		return e, nil
	case isAbsent(err):
		return entry{}, nil
	case err != nil:
		return entry{}, unlessNotFound(err)
	case e.version == 0 || e.data == nil:
		return entry{}, errAnswer("holds no entry and no version")
	case len(e.data) > maxEntrySize:
		clear(e.data)
		return entry{}, errAnswer("has an entry of %d bytes, want at most %d", len(e.data), maxEntrySize)
	}
	return e, nil
}

// write writes the version after cas, which is the newest version that the entry has now. Where it has another one, nothing is
// written and the error is errConflict.
func (k *kv) write(ctx context.Context, name string, cas uint64, data any) error {
	type options struct {
		CAS uint64 `json:"cas"`
	}
	body := struct {
		Options options `json:"options"`
		Data    any     `json:"data"`
	}{options{cas}, data}
	var answer struct {
		Data struct {
			Version uint64 `json:"version"`
		} `json:"data"`
	}
	err := k.client.do(ctx, http.MethodPost, k.path("data", name), body, &answer)
	if refusal, ok := errors.AsType[*statusError](err); ok && refusal.status == http.StatusBadRequest {
		return k.refused(ctx, name, cas, refusal)
	}
	if err != nil {
		return unlessNotFound(err)
	}
	if got := answer.Data.Version; got != cas+1 {
		return errAnswer("says that version %d was written, want %d", got, cas+1)
	}
	return nil
}

// refused returns errConflict where a write was refused because of its version. Where the server's words do not tell, which may have been
// redacted or differ from server to server, the version does.
func (k *kv) refused(ctx context.Context, name string, cas uint64, refusal *statusError) error {
	if refusal.says("check-and-set parameter did not match") {
		return errConflict
	}
	now, err := k.read(ctx, name)
	switch {
	case err != nil:
		return err
	case now.version != cas:
		return errConflict
	}
	return fmt.Errorf("%w: an entry was not accepted: %s", kms.ErrUnavailable, refusal.detail())
}

// list returns the names right below dir, sorted; those that are directories end in a slash.
func (k *kv) list(ctx context.Context, dir string) ([]string, error) {
	names, err := k.client.list(ctx, k.path("metadata", dir))
	if err != nil {
		return nil, unlessNotFound(err)
	}
	return names, nil
}

// list returns the names that a path lists, sorted, each once. A path that lists nothing is no error.
func (c *client) list(ctx context.Context, path string) ([]string, error) {
	var answer struct {
		Data struct {
			Keys []string `json:"keys"`
		} `json:"data"`
	}
	err := c.do(ctx, methodList, path, nil, &answer)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(answer.Data.Keys)
	return slices.Compact(answer.Data.Keys), nil
}

// destroy removes the data of versions for good. Those that do not exist are passed over.
func (k *kv) destroy(ctx context.Context, name string, versions []uint64) error {
	body := struct {
		Versions []uint64 `json:"versions"`
	}{versions}
	return unlessNotFound(k.client.do(ctx, http.MethodPost, k.path("destroy", name), body, nil))
}

func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.status == status
}

// isAbsent reports whether Vault itself has said that there is nothing at a path of a mount: a 404 without a message. A path that no
// engine is mounted at has one.
func isAbsent(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.status == http.StatusNotFound && len(e.messages) == 0
}

// unlessNotFound makes a 404 that says nothing of a key ErrUnavailable: the caller may ask again when the mount is there.
func unlessNotFound(err error) error {
	if e, ok := errors.AsType[*statusError](err); ok && e.status == http.StatusNotFound {
		return fmt.Errorf("%w: %s", kms.ErrUnavailable, e.detail())
	}
	return err
}

// errAnswer is the error of an answer that is not what was asked for: nothing follows from it about any key.
func errAnswer(format string, args ...any) error {
	return fmt.Errorf("%w: the server's answer "+format, append([]any{kms.ErrUnavailable}, args...)...)
}
