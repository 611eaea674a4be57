package encryption_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// requireNotOpened checks the one error that all envelopes have that do not open, whatever the cause. With a customer key, which is most
// likely the wrong one, it is the answer to that too.
func requireNotOpened(t *testing.T, mode encryption.Mode, err error) {
	t.Helper()
	if mode != encryption.SSEC {
		require.Equal(t, kms.ErrDecrypt, err)
		return
	}
	require.Equal(t, &encryption.Error{Code: "AccessDenied", Status: 403, Message: mustProvide + "the correct secret key.", Err: kms.ErrDecrypt}, err)
}

// opens are the ways to open an object.
func opens(t *testing.T, svc *encryption.Service, env *encryption.Envelope, body []byte) map[string]func(*encryption.Request) error {
	return map[string]func(*encryption.Request) error{
		"DecryptStream": func(req *encryption.Request) error {
			_, err := svc.DecryptStream(t.Context(), photo, env, req, bytes.NewReader(body))
			return err
		},
		"OpenObject": func(req *encryption.Request) error {
			_, err := svc.OpenObject(t.Context(), photo, env, req, int64(len(body)))
			return err
		},
		"Rewrap": func(req *encryption.Request) error {
			_, err := svc.Rewrap(t.Context(), photo, env, req, photo, &encryption.Request{Mode: encryption.SSES3})
			return err
		},
	}
}

func TestAnswersToReadsThatDoNotFitTheObject(t *testing.T) {
	const needs = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	none := func() *encryption.Request { return nil }
	for _, p := range protections() {
		env, body := put(t, svc, photo, p.write(), []byte("meow"))
		isSSEC := env.Mode() == encryption.SSEC
		for name, open := range opens(t, svc, env, body) {
			t.Run(p.name+" "+name, func(t *testing.T) {
				require.NoError(t, open(p.read()))
				for _, req := range []*encryption.Request{none(), {}} {
					if err := open(req); isSSEC {
						requireAnswer(t, encryption.Error{Code: "InvalidRequest", Status: 400, Message: needs, Err: kms.ErrInvalidRequest}, err)
					} else {
						require.NoError(t, err)
					}
				}
				fromHeaders, err := encryption.ParseReadHeaders(withKey(headers(), hCustomer, testCustomerKey), trusted)
				require.NoError(t, err)
				for _, req := range []*encryption.Request{fromHeaders, {CustomerKey: customerKey()}} {
					if err := open(req); isSSEC {
						require.NoError(t, err)
					} else {
						requireAnswer(t, encryption.Error{Code: "InvalidRequest", Status: 400, Err: kms.ErrInvalidRequest,
							Message: "The encryption parameters are not applicable to this object."}, err)
					}
				}
				if isSSEC {
					requireNotOpened(t, encryption.SSEC, open(&encryption.Request{CustomerKey: kms.NewSecret(random(32))}))
				} else {
					err := open(&encryption.Request{Mode: encryption.SSEC})
					require.Equal(t, "The encryption parameters are not applicable to this object.", encryption.S3Error(err).Message)
				}
			})
		}
	}
}

// A body that was changed is no matter of the customer's key.
func TestAnswerToATamperedBody(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()}, []byte("meow"))
	body[60] ^= 1
	_, err := get(t.Context(), svc, photo, env, &encryption.Request{CustomerKey: customerKey()}, bytes.NewReader(body))
	require.Equal(t, 500, encryption.S3Error(err).Status)
}

func TestAnswersOfAManager(t *testing.T) {
	keys := newMock(t)
	svc := encryption.NewService(newManager(t, keys), encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other"}, nil)
	write := func(keyID string) error {
		_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: keyID}, bytes.NewReader(nil))
		return err
	}
	require.Equal(t, "Key 'third' does not exist", encryption.S3Error(write("third")).Message)
	require.Equal(t, "Key 'arn:aws:kms:r:a:key/third' does not exist", encryption.S3Error(write("arn:aws:kms:r:a:key/third")).Message)
	require.Equal(t, "Invalid keyId 'alias/other'", encryption.S3Error(write("alias/other")).Message)
	require.Equal(t, "Invalid keyId 'arn:aws:kms:r:a:key/'", encryption.S3Error(write("arn:aws:kms:r:a:key/")).Message)

	_, err := keys.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "other"})
	require.NoError(t, err)
	require.Equal(t, "other is disabled.", encryption.S3Error(write("other")).Message)
	_, err = keys.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "other"})
	require.NoError(t, err)
	require.Equal(t, "other is pending deletion.", encryption.S3Error(write("other")).Message)
	for name, open := range opens(t, svc, env, body) {
		answer := encryption.S3Error(open(nil))
		require.Equal(t, "KMS.KMSInvalidStateException", answer.Code, name)
		require.Equal(t, "other is pending deletion.", answer.Message)
	}
}

// The message names the key as the responses of the server do.
func TestErrorsNameTheKeyAsTheClientKnowsIt(t *testing.T) {
	keys := newMock(t)
	opts := encryption.Options{KeyARN: func(keyID string) string { return keyPrefix + keyID }}
	manager := newManager(t, keys)
	svc := encryption.NewService(manager, opts)
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other"}, nil)
	write := func(keyID string) *encryption.Error {
		_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: keyID}, bytes.NewReader(nil))
		require.NotContains(t, err.Error(), keyPrefix, "the log has the id of the KeyService")
		return encryption.S3Error(err)
	}
	require.Equal(t, "Key '"+keyPrefix+"third' does not exist", write("third").Message)
	require.Equal(t, "Key '"+keyPrefix+"third' does not exist", write(keyPrefix+"third").Message)
	require.Equal(t, "Invalid keyId 'a b'", write("a b").Message, "which has no ARN")
	_, err := keys.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "other"})
	require.NoError(t, err)
	require.Equal(t, keyPrefix+"other is disabled.", write("other").Message)
	for name, open := range opens(t, svc, env, body) {
		err := open(nil)
		require.ErrorIs(t, err, kms.ErrKeyDisabled)
		require.Equal(t, keyPrefix+"other is disabled.", encryption.S3Error(err).Message, name)
	}
	_, err = svc.CreateUpload(t.Context(), photo, uploadID, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other"})
	require.Equal(t, keyPrefix+"other is disabled.", encryption.S3Error(err).Message)

	opts.KeyARN = func(keyID string) string { return "arn:\n:" + keyID }
	svc = encryption.NewService(manager, opts)
	require.Equal(t, "other is disabled.", write("other").Message, "what cannot be shown is not")
}

// Where the server has ARNs of its own, those of others are no keys of its.
func TestARNsOfOtherServers(t *testing.T) {
	arn := func(keyID string) string { return "arn:aws:kms:eu-1:12:key/" + keyID }
	manager := newManager(t, newMock(t))
	svc := encryption.NewService(manager, encryption.Options{KeyARN: arn})
	for named, want := range map[string]string{
		"arn:aws:kms:us-2:12:key/default":                         "Invalid arn us-2",
		"arn:aws:kms::12:key/default":                             "Invalid arn",
		"arn:aws:kms:" + strings.Repeat("x", 33) + ":1:key/other": "Invalid arn null",
		"arn:aws:kms:eu-1:13:key/default":                         "Key 'arn:aws:kms:eu-1:13:key/default' does not exist",
		"arn:aws-cn:kms:eu-1:12:key/default":                      "Key 'arn:aws-cn:kms:eu-1:12:key/default' does not exist",
		arn("third"):                                              "Key '" + arn("third") + "' does not exist",
		arn("default"):                                            "",
		"default":                                                 "",
	} {
		_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: named}, bytes.NewReader(nil))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, kms.ErrKeyNotFound)
		answer := encryption.S3Error(err)
		require.Equal(t, "KMS.NotFoundException 400 "+want, fmt.Sprint(answer.Code, " ", answer.Status, " ", answer.Message))
	}
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS}, nil)
	_, err := get(t.Context(), svc, photo, env, &encryption.Request{KeyID: "arn:aws:kms:us-2:12:key/default"}, bytes.NewReader(body))
	require.ErrorIs(t, err, kms.ErrKeyNotFound)

	// A name of the server's own that is no ARN tells nothing of regions.
	svc = encryption.NewService(manager, encryption.Options{KeyARN: func(keyID string) string { return "key:" + keyID }})
	put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "arn:aws:kms:us-2:12:key/default"}, nil)
}

// A server that resolves key ids itself answers what it wants.
func TestAnswersOfResolveKeyID(t *testing.T) {
	own := &encryption.Error{Code: "KMS.NotFoundException", Status: 400, Message: "Invalid arn us-2", Err: kms.ErrKeyNotFound}
	svc := encryption.NewService(newManager(t, newMock(t)), encryption.Options{ResolveKeyID: func(string) (string, error) { return "", own }})
	_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "x"}, bytes.NewReader(nil))
	require.Same(t, own, encryption.S3Error(err))
}
