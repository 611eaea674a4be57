package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// A transitKey is what Transit says of a key.
type transitKey struct {
	Type       string
	Derived    bool
	Convergent bool
	Imported   bool
	Latest     uint32
	// When the first and the last of the versions were made that Transit names, which are those that may decrypt, and when Latest was.
	// Zero: it does not say.
	first, last, newest time.Time
}

// UnmarshalJSON reads the data of an answer about a key.
func (k *transitKey) UnmarshalJSON(text []byte) error {
	var said struct {
		Type       string              `json:"type"`
		Derived    *bool               `json:"derived"`
		Convergent bool                `json:"convergent_encryption"`
		Imported   bool                `json:"imported_key"`
		Latest     int64               `json:"latest_version"`
		Keys       map[string]creation `json:"keys"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return err
	}
	if said.Type == "" || said.Derived == nil || said.Latest < 1 || said.Latest > math.MaxUint32 {
		return fmt.Errorf("a key of type %q, version %d", said.Type, said.Latest)
	}
	*k = transitKey{Type: said.Type, Derived: *said.Derived, Convergent: said.Convergent, Imported: said.Imported, Latest: uint32(said.Latest)}
	for number, at := range said.Keys {
		if n, err := strconv.ParseUint(number, 10, 32); err == nil {
			k.note(uint32(n), time.Time(at))
		}
	}
	return nil
}

// note notes when a version was made.
func (k *transitKey) note(version uint32, at time.Time) {
	if k.first.IsZero() || at.Before(k.first) {
		k.first = at
	}
	if at.After(k.last) {
		k.last = at
	}
	if version == k.Latest {
		k.newest = at
	}
}

// A creation is when a version was made: seconds of Unix time for a symmetric key, an object for any other.
type creation time.Time

func (c *creation) UnmarshalJSON(text []byte) error {
	var seconds int64
	if json.Unmarshal(text, &seconds) == nil {
		*c = creation(time.Unix(seconds, 0).UTC())
		return nil
	}
	var version struct {
		Created time.Time `json:"creation_time"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return err
	}
	*c = creation(version.Created.UTC().Truncate(time.Second))
	return nil
}

// kind returns how the key wraps.
func (k *transitKey) kind() keyring.Kind {
	if k.Derived {
		return keyring.KindTransitDerived
	}
	return keyring.KindTransitAssociated
}

// keyType is the type of the keys that are made here.
const keyType = "aes256-gcm96"

// unsupported returns the error of a key that cannot bind an encryption context to what it wraps.
func (k *transitKey) unsupported() error {
	switch k.Type {
	case keyType, "aes128-gcm96", "chacha20-poly1305":
	default:
		return fmt.Errorf("%w: Transit key is of type %.100q, want an AEAD", kms.ErrUnsupported, k.Type)
	}
	if k.Convergent {
		return fmt.Errorf("%w: Transit key is convergent: equal secrets would be wrapped alike", kms.ErrUnsupported)
	}
	return nil
}

func (t *transit) path(words, name string) string { return t.mount + "/" + words + "/" + name }

// readKey asks Transit about a key, which is ErrKeyNotFound where it has none of this name.
func (t *transit) readKey(ctx context.Context, name string) (*transitKey, error) {
	var answer struct {
		Data *transitKey `json:"data"`
	}
	err := t.client.do(ctx, http.MethodGet, t.path("keys", name), nil, &answer)
	if isAbsent(err) {
		return nil, fmt.Errorf("%w: Transit has no key %q", kms.ErrKeyNotFound, name)
	}
	if err != nil {
		return nil, unlessNotFound(err)
	}
	if answer.Data == nil {
		return nil, errAnswer("describes no key")
	}
	for _, at := range []time.Time{answer.Data.first, answer.Data.last} {
		if !writable(at) {
			return nil, errAnswer("has a version of a key that was made in the year %d, want 1 to %d", at.Year(), lastYear)
		}
	}
	return answer.Data, nil
}

// makeKey makes a Transit key. Transit says nothing where there is one of this name already.
func (t *transit) makeKey(ctx context.Context, name string) error {
	body := struct {
		Type       string `json:"type"`
		Derived    bool   `json:"derived"`
		Exportable bool   `json:"exportable"`
		Backup     bool   `json:"allow_plaintext_backup"`
	}{Type: keyType, Derived: true}
	return t.explain(t.client.do(ctx, http.MethodPost, t.path("keys", name), body, nil))
}

// allowDeletion makes a Transit key one that may be deleted.
func (t *transit) allowDeletion(ctx context.Context, name string) error {
	body := struct {
		Allowed bool `json:"deletion_allowed"`
	}{true}
	return t.explain(t.client.do(ctx, http.MethodPost, t.path("keys", name)+"/config", body, nil))
}

// deleteKey deletes a Transit key, with every version of it.
func (t *transit) deleteKey(ctx context.Context, name string) error {
	return t.explain(t.client.do(ctx, http.MethodDelete, t.path("keys", name), nil, nil))
}

// randomHex returns n random bytes as hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
