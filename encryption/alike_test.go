package encryption_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
)

// messageParts are the places of a message, from its end, at which a bit may be wrong.
var messageParts = map[string]int{"tag": 1, "ciphertext": cobblestone.Overhead + 1, "commitment": cobblestone.Overhead + 33, "salt": cobblestone.Overhead + 65}

// spoiled returns a copy with a wrong bit so many bytes before the end.
func spoiled(b []byte, fromEnd int) []byte {
	b = bytes.Clone(b)
	b[len(b)-fromEnd] ^= 0x10
	return b
}

// spoiledText is spoiled for what is stored as text.
func spoiledText(t *testing.T, text []byte, fromEnd int) []byte {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	require.NoError(t, err)
	return encoded(spoiled(b, fromEnd))
}

// Nobody learns from an error, or from what the KeyService is asked for, what was wrong with an envelope: the key, a name, or which part of it.
func TestFailuresToOpenAnEnvelopeAreAlike(t *testing.T) {
	for _, p := range protections() {
		t.Run(p.name, func(t *testing.T) {
			ring := newRing("default", "other")
			svc := encryption.NewService(ring, encryption.Options{})
			env, body := put(t, svc, photo, p.write(), []byte("text"))
			asked := map[string]int{}
			open := func(name string, id encryption.ObjectID, env *encryption.Envelope, req *encryption.Request) error {
				before := len(ring.unwraps)
				_, err := svc.OpenObject(t.Context(), id, env, req, int64(len(body)))
				asked[name] = len(ring.unwraps) - before
				return err
			}
			require.NoError(t, open("right", photo, env, p.read()))
			failures := map[string]error{
				"another bucket": open("another bucket", encryption.ObjectID{Bucket: "other", Key: photo.Key}, env, p.read()),
				"another key":    open("another key", encryption.ObjectID{Bucket: photo.Bucket, Key: "other"}, env, p.read()),
				"a version":      open("a version", encryption.ObjectID{Bucket: photo.Bucket, Key: photo.Key, Version: "1"}, env, p.read()),
			}
			for part, at := range messageParts {
				parts := env.Parts()
				parts.Sealed = spoiled(parts.Sealed, at)
				failures[part] = open(part, photo, parts.Envelope(), p.read())
				if len(parts.Wrapped) > 0 {
					parts = env.Parts()
					parts.Wrapped = spoiled(parts.Wrapped, at)
					failures["wrapped "+part] = open("wrapped "+part, photo, parts.Envelope(), p.read())
				}
			}
			if parts := env.Parts(); parts.Mode == encryption.SSEC {
				failures["another customer key"] = open("another customer key", photo, env, newTwoFaced().request(0))
			} else {
				for id := range ring.masters {
					ring.masters[id] = random(32)
				}
				failures["another master key"] = open("another master key", photo, env, p.read())
			}
			for name, err := range failures {
				require.ErrorIs(t, err, kms.ErrDecrypt, name)
				require.Equal(t, failures["tag"], err, name)
				require.Equal(t, encryption.S3Error(failures["tag"]), encryption.S3Error(err), name)
				require.Equal(t, asked["right"], asked[name], name)
			}
		})
	}
}

func TestFailuresToOpenAnUploadAreAlike(t *testing.T) {
	for _, p := range protections() {
		t.Run(p.name, func(t *testing.T) {
			u := newUpload(t, newRing("default", "other"), photo, p)
			errorOf := func(change func(u *upload)) error {
				changed := *u
				change(&changed)
				_, err := changed.open(t.Context())
				return err
			}
			require.NoError(t, errorOf(func(*upload) {}))
			failures := map[string]error{
				"another upload": errorOf(func(u *upload) { u.name = "upload-2" }),
				"another object": errorOf(func(u *upload) { u.id.Key = "other" }),
			}
			state := new(encryption.UploadState)
			require.NoError(t, state.UnmarshalText([]byte(u.state)))
			wrapped := 2 // the length of the wrapped data key, and the key itself, stand behind the sealed object key
			if p.name != "SSE-C" {
				env, _ := put(t, u.service(), photo, p.write(), nil)
				wrapped += len(env.Parts().Wrapped)
			}
			for part, at := range messageParts {
				failures[part] = errorOf(func(u *upload) { u.state = string(spoiledText(t, []byte(u.state), wrapped+at)) })
			}
			for name, err := range failures {
				require.ErrorIs(t, err, kms.ErrDecrypt, name)
				require.Equal(t, failures["tag"], err, name)
			}
		})
	}
}

func TestFailuresToOpenAReceiptAreAlike(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	u.put(t, 1, []byte("one"))
	u.put(t, 2, []byte("two"))
	other := newUpload(t, u.ring, photo, protections()[0])
	other.put(t, 1, []byte("one"))
	complete := func(text []byte) error {
		part := encryption.PartReceipt{}
		require.NoError(t, part.UnmarshalText(text))
		part.ETag = u.parts[1].etag
		_, err := u.opened(t).Complete(t.Context(), photo, []encryption.PartReceipt{part})
		return err
	}
	good := []byte(u.parts[1].receipt)
	require.NoError(t, complete(good))
	second, err := base64.RawURLEncoding.DecodeString(u.parts[2].receipt)
	require.NoError(t, err)
	second[1] = 1
	failures := map[string]error{"another upload": complete([]byte(other.parts[1].receipt)), "another part": complete(encoded(second))}
	for part, at := range messageParts {
		failures[part] = complete(spoiledText(t, good, at))
	}
	for name, err := range failures {
		require.Equal(t, kms.ErrDecrypt, err, name)
	}
}

func TestFailuresToOpenAnAttributeAreAlike(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	var objects [2]*encryption.Object
	for i := range objects {
		env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, nil)
		var err error
		objects[i], err = svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.NoError(t, err)
	}
	good, err := objects[0].SealAttribute("a", []byte("the value of it ...."))
	require.NoError(t, err)
	open := func(object *encryption.Object, name string, text []byte) error {
		_, err := object.OpenAttribute(name, text)
		return err
	}
	require.NoError(t, open(objects[0], "a", good))
	failures := map[string]error{"another name": open(objects[0], "b", good), "another object": open(objects[1], "a", good)}
	for part, at := range messageParts {
		failures[part] = open(objects[0], "a", spoiledText(t, good, at))
	}
	for name, err := range failures {
		require.Equal(t, kms.ErrDecrypt, err, name)
	}
}
