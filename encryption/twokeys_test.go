package encryption_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/twokeys"
)

// A customer who gives two keys to two readers, and wants each to read another object out of the same stored bytes.
type twoFaced struct{ keys [2][]byte }

func newTwoFaced() twoFaced {
	return twoFaced{[2][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}}
}

// inputKeys returns what object keys are sealed under.
func (c twoFaced) inputKeys(t *testing.T) (inputs [2][]byte) {
	for i, key := range c.keys {
		var err error
		inputs[i], err = hkdf.Key(sha512.New, key, nil, "objectkms/v1/customer-key", 32)
		require.NoError(t, err)
	}
	return inputs
}

func (c twoFaced) request(i int) *encryption.Request {
	return &encryption.Request{Mode: encryption.SSEC, CustomerKey: kms.NewSecret(bytes.Clone(c.keys[i]))}
}

func TestAnEnvelopeOpensUnderOneKeyOnly(t *testing.T) {
	customer := newTwoFaced()
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, _ := put(t, svc, photo, customer.request(0), make([]byte, 64))
	parts := env.Parts()
	inputs := customer.inputKeys(t)
	context := parts.SealContext(photo)
	first, second, err := twokeys.Messages(inputs[0], context, inputs[1], context, 2)
	require.NoError(t, err)
	var objectKeys [2][]byte
	for i, sealed := range [][]byte{first, second} {
		objectKeys[i], err = cobblestone.Open(nil, inputs[i], context, sealed)
		require.NoError(t, err)
	}
	// The body is two messages in one as well: but for its commitment, both readers could open it.
	bodyContext := encctx.Bind(nil, "object")
	bodyOfFirst, bodyOfSecond, err := twokeys.Messages(objectKeys[0], bodyContext, objectKeys[1], bodyContext, 4)
	require.NoError(t, err)
	bodies := [][]byte{bodyOfFirst, bodyOfSecond}
	for envelope, sealed := range [][]byte{first, second} {
		parts.Sealed = sealed
		for reader := range customer.keys {
			for body, stored := range bodies {
				_, err := get(t.Context(), svc, photo, parts.Envelope(), customer.request(reader), bytes.NewReader(stored))
				if envelope == reader && body == reader {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, kms.ErrDecrypt, "envelope %d, body %d, reader %d", envelope, body, reader)
				}
			}
		}
	}
}

// A stored attribute, or the receipt of a part, reads the same for everybody too, or not at all.
func TestAnAttributeOpensUnderOneObjectKeyOnly(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	var objects [2]*encryption.Object
	for i := range objects {
		env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, nil)
		var err error
		objects[i], err = svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.NoError(t, err)
	}
	context := encctx.Bind(nil, "attribute", []byte("checksum"))
	first, second, err := twokeys.Messages(objects[0].Key().Bytes(), context, objects[1].Key().Bytes(), context, 2)
	require.NoError(t, err)
	for i, object := range objects {
		texts := [][]byte{first, second}
		value, err := object.OpenAttribute("checksum", encoded(texts[i]))
		require.NoError(t, err)
		require.Len(t, value, 32)
		value, err = object.OpenAttribute("checksum", encoded(texts[1-i]))
		require.ErrorIs(t, err, kms.ErrDecrypt)
		require.Nil(t, value)
	}
}

func encoded(b []byte) []byte { return base64.RawURLEncoding.AppendEncode(nil, b) }
