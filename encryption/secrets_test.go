package encryption_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// requireHidden checks that no text has a part of a secret, however it is spelled.
func requireHidden(t *testing.T, secrets [][]byte, texts ...string) {
	t.Helper()
	for _, secret := range secrets {
		part := secret[:6]
		for _, needle := range []string{
			string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)),
			strings.Trim(fmt.Sprint(part), "[]"), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}"),
			base64.StdEncoding.EncodeToString(part), base64.RawURLEncoding.EncodeToString(part), strings.Trim(fmt.Sprintf("%q", part), `"`),
		} {
			for _, text := range texts {
				require.NotContains(t, text, needle)
			}
		}
	}
}

// shown returns every way in which a value is shown.
func shown(t *testing.T, value any) []string {
	t.Helper()
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, value))
	}
	encoded, err := json.Marshal(value)
	require.NoError(t, err)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("canary", "value", value)
	slog.New(slog.NewTextHandler(&log, nil)).Info("canary", "value", value)
	return append(texts, string(encoded), log.String())
}

func TestNoKeyIsEverShown(t *testing.T) {
	ring := newRing("default")
	// A KeyService sees to its own secrets; this one does not.
	svc := encryption.NewService(&struct{ kms.KeyService }{ring}, encryption.Options{})
	for _, p := range protections() {
		if p.write().KeyID != "" {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			req := p.write()
			texts := append(shown(t, req), shown(t, *req)...)
			object, err := svc.EncryptStream(t.Context(), photo, req, strings.NewReader("plaintext"))
			require.NoError(t, err)
			texts = append(texts, shown(t, object)...)
			stored, err := io.ReadAll(object)
			require.NoError(t, err)
			env, err := object.Envelope()
			require.NoError(t, err)
			texts = append(texts, shown(t, object)...)
			texts = append(texts, shown(t, env)...)

			opened, err := svc.OpenObject(t.Context(), photo, env, p.read(), int64(len(stored)))
			require.NoError(t, err)
			texts = append(texts, shown(t, opened)...)
			readerAt, err := opened.NewReaderAt(bytes.NewReader(stored))
			require.NoError(t, err)
			r, err := opened.Range(t.Context(), 0, 1, (&store{stored: stored}).fetch)
			require.NoError(t, err)
			for _, value := range []any{opened, readerAt, r, svc} {
				texts = append(texts, shown(t, value)...)
			}

			texts = append(texts, shown(t, *req)...)
			keyMD5 := md5.Sum(testCustomerKey)
			secrets := [][]byte{testCustomerKey, keyMD5[:], ring.masters["default"]}
			if env.Mode() != encryption.SSEC {
				dataKey := ring.issued[len(ring.issued)-1]
				objectKey, err := cobblestone.Open(nil, dataKey, env.Parts().SealContext(photo), env.Parts().Sealed)
				require.NoError(t, err)
				secrets = append(secrets, dataKey, objectKey)
			}
			requireHidden(t, secrets, texts...)
		})
	}
}

func TestErrorsShowNoSecretAndNoContext(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	const value = "confidential-value"
	secrets := [][]byte{[]byte(value), testCustomerKey, []byte("plaintext of the body")}
	body := func() io.Reader { return strings.NewReader("plaintext of the body") }
	write := &encryption.Request{Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"a": value}}
	env, stored := put(t, svc, photo, write, []byte("plaintext of the body"))
	var errs []error
	add := func(err error) { t.Helper(); require.Error(t, err); errs = append(errs, err) }

	for _, req := range []*encryption.Request{
		{Mode: encryption.SSES3, Context: write.Context},
		{Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"aws:": value}},
		{Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"a": value + "\xff"}},
		{Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"a": strings.Repeat(value, 200)}},
		{Mode: encryption.SSES3, CustomerKey: customerKey()},
		{Mode: encryption.SSEC, CustomerKey: kms.NewSecret(testCustomerKey[:31:31])},
		{Mode: encryption.SSEC, CustomerKey: customerKey(), Context: write.Context},
	} {
		if req.CustomerKey.Len() == 31 {
			req.CustomerKey = req.CustomerKey.Clone()
		}
		_, err := svc.EncryptStream(t.Context(), photo, req, body())
		add(err)
	}
	for _, req := range []*encryption.Request{
		{Context: kms.EncryptionContext{"a": value + value}}, {CustomerKey: customerKey()}, {Mode: encryption.SSES3},
	} {
		_, err := svc.DecryptStream(t.Context(), photo, env, req, bytes.NewReader(stored))
		add(err)
	}
	object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3, PlainSize: 3}, body())
	require.NoError(t, err)
	_, err = io.ReadAll(object)
	add(err)
	stored[60] ^= 1
	_, err = svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(stored))
	add(err)
	for _, err := range errs {
		requireHidden(t, secrets, shown(t, err)...)
		require.NotContains(t, err.Error(), "encryption:", "said by who calls")
	}
}

func TestKeysAreDestroyedAsSoonAsTheyAreNotNeeded(t *testing.T) {
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	// The object key is held longer than what has sealed it: attributes are sealed under it.
	requireKeys := func(object *encryption.EncryptedObject, objectKey, inputKey int) {
		t.Helper()
		require.Equal(t, objectKey, object.Keys()[0].Len())
		require.Equal(t, inputKey, object.Keys()[1].Len())
	}
	for _, p := range protections() {
		start := func(declared int64, body io.Reader) *encryption.EncryptedObject {
			t.Helper()
			req := p.write()
			req.PlainSize = declared
			object, err := svc.EncryptStream(t.Context(), photo, req, body)
			require.NoError(t, err)
			return object
		}
		requireKeys(start(3, strings.NewReader("abc")), 32, 0)

		object := start(0, strings.NewReader("abc"))
		requireKeys(object, 32, 32)
		stored, err := io.ReadAll(object)
		require.NoError(t, err)
		requireKeys(object, 32, 0)
		require.NoError(t, object.Close())
		requireKeys(object, 0, 0)

		closed := start(0, strings.NewReader("abc"))
		require.NoError(t, closed.Close())
		requireKeys(closed, 0, 0)

		for _, read := range []func(*encryption.EncryptedObject) error{
			func(o *encryption.EncryptedObject) error { _, err := io.ReadAll(o); return err },
			func(o *encryption.EncryptedObject) error { _, err := o.WriteTo(io.Discard); return err },
		} {
			failed := start(0, iotest.ErrReader(io.ErrClosedPipe))
			require.ErrorIs(t, read(failed), io.ErrClosedPipe)
			requireKeys(failed, 0, 0)
		}

		env, err := object.Envelope()
		require.NoError(t, err)
		opened, err := svc.OpenObject(t.Context(), photo, env, p.read(), int64(len(stored)))
		require.NoError(t, err)
		require.Equal(t, 32, opened.Key().Len())
		plain, err := opened.Range(t.Context(), 0, 3, (&store{stored: stored}).fetch)
		require.NoError(t, err)
		require.Equal(t, 32, opened.Key().Len(), "attributes need it")
		require.NoError(t, opened.Close())
		require.Zero(t, opened.Key().Len(), "the one message is open, and nobody else comes")
		got, err := io.ReadAll(plain)
		require.NoError(t, err)
		require.Equal(t, "abc", string(got))
	}
}
