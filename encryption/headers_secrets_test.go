package encryption_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func TestNoCustomerKeyOfHeadersIsShown(t *testing.T) {
	secrets := [][]byte{testCustomerKey}
	encoded := base64.StdEncoding.EncodeToString(testCustomerKey)
	for _, parser := range []struct {
		prefix string
		parse  func(http.Header) (*encryption.Request, error)
	}{
		{hCustomer, func(h http.Header) (*encryption.Request, error) { return encryption.ParseReadHeaders(h, trusted) }},
		{hSource, func(h http.Header) (*encryption.Request, error) { return encryption.ParseCopySourceHeaders(h, trusted) }},
		{hCustomer, func(h http.Header) (*encryption.Request, error) {
			return encryption.ParseWriteHeaders(h, trusted, encryption.BucketDefault{})
		}},
	} {
		prefix, parse := parser.prefix, parser.parse
		for name, row := range customerErrors(prefix) {
			_, err := parse(row.h)
			require.Error(t, err, name)
			requireHidden(t, secrets, append(shown(t, err), shown(t, *encryption.S3Error(err))...)...)
		}
		// The key in every other header.
		for _, header := range []string{hSSE, hKeyID, hContext, hBucketKey, prefix + "Algorithm", prefix + "Key-Md5"} {
			if _, err := parse(changed(withKey(headers(), prefix, testCustomerKey), header, encoded)); err != nil {
				requireHidden(t, secrets, append(shown(t, err), shown(t, *encryption.S3Error(err))...)...)
			}
		}
		req, err := parse(withKey(headers(), prefix, testCustomerKey))
		require.NoError(t, err)
		requireHidden(t, secrets, append(shown(t, req), shown(t, *req)...)...)
	}
}

func TestRefusedCustomerKeysAreWiped(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString(testCustomerKey)
	for _, value := range []string{encoded[:42] + "5=", encoded[:43], encoded[:40] + "%%%%", encoded + "===="} {
		decoded := make([]byte, 64)
		_, err := encryption.DecodeCustomerKey(decoded, value)
		require.Error(t, err)
		require.Equal(t, make([]byte, 64), decoded)
	}
	right := withKey(headers(), "", testCustomerKey).Get("Key-Md5")
	require.NoError(t, encryption.CheckCustomerKey(customerKey(), right))
	key := bytes.Clone(testCustomerKey)
	require.Error(t, encryption.CheckCustomerKey(kms.NewSecret(key), strings.ToLower(right)))
	require.Equal(t, make([]byte, 32), key)
	key = bytes.Clone(testCustomerKey[:31])
	require.Error(t, encryption.CheckCustomerKey(kms.NewSecret(key), withKey(headers(), "", key).Get("Key-Md5")))
	require.Equal(t, make([]byte, 31), key)
}

func FuzzParseWriteHeaders(f *testing.F) {
	c := withKey(headers(), "", testCustomerKey)
	algorithm, encoded, sum := c.Get("Algorithm"), c.Get("Key"), c.Get("Key-Md5")
	f.Add("", "", "", "", "", "", "", byte(0))
	f.Add("AES256", "", "", "", "", "", "", byte(3))
	f.Add("aws:kms", "default", base64Of(`{"a":"b"}`), "true", "", "", "", byte(3))
	f.Add("", "", "", "false", "", "", "", byte(3+16))
	f.Add("", "", "", "", algorithm, encoded, sum, byte(1))
	f.Add("", "", "", "", algorithm, encoded, sum, byte(1+2*64))
	f.Add("AES256", "", "", "", algorithm, encoded, sum, byte(1))
	f.Add("AES256", "", "", "", algorithm, "Server Side Encryption with Customer provided key", sum, byte(1)) // which the error says of every key
	f.Add("aws:kms", "arn:aws:kms:a:b:key/default", "", "", "", "", "", byte(3))
	f.Add("aws:kms", "arn:aws:kms:a:b:key/another", "", "", "", "", "", byte(3))
	f.Fuzz(func(t *testing.T, s, k, x, b, algorithm, encoded, sum string, flags byte) {
		h := getter{}
		for i, value := range []string{s, k, x, b, algorithm, encoded, sum} {
			h[strings.ToLower([]string{hSSE, hKeyID, hContext, hBucketKey, hCustomer + "algorithm", hCustomer + "key", hCustomer + "key-md5"}[i])] = value
		}
		transport := encryption.Transport{Secure: flags&1 != 0, SigV4: flags&2 != 0, AllowPlainSSEC: flags&4 != 0}
		def := encryption.BucketDefault{Mode: encryption.Mode(flags >> 3 & 3), BucketKey: flags&32 != 0, CustomerKeys: encryption.CustomerKeys(flags >> 6)}
		customer := algorithm != "" || encoded != "" || sum != ""

		req, err := encryption.ParseWriteHeaders(h, transport, def)
		if err != nil {
			require.Nil(t, req)
			answer := encryption.S3Error(err)
			require.Same(t, answer, err)
			require.Contains(t, []int{400, 403, 500, 501}, answer.Status)
			require.LessOrEqual(t, len(answer.ArgumentValue), mostEchoed)
			requireErrorOfAnyKey(t, h, hCustomer, err, func(h encryption.Header) error {
				_, err := encryption.ParseWriteHeaders(h, transport, def)
				return err
			})
			return
		}
		require.Equal(t, customer, req.Mode == encryption.SSEC)
		require.False(t, req.Mode == encryption.SSEKMS && !transport.SigV4)
		require.False(t, customer && (!transport.Secure && !transport.AllowPlainSSEC || def.CustomerKeys == encryption.CustomerKeysBlocked))
		if customer {
			require.Equal(t, encoded, base64.StdEncoding.EncodeToString(req.CustomerKey.Bytes()))
		}
		// What was parsed can be used.
		ring := newRing("default")
		ring.masters[k] = ring.masters["default"]
		asIs := encryption.Options{ResolveKeyID: func(named string) (string, error) { return named, nil }} // also an ARN
		_, err = encryption.NewService(ring, asIs).EncryptStream(t.Context(), photo, req, strings.NewReader(""))
		if len(k) < 200 && utf8.ValidString(k) {
			require.NoError(t, err)
		}
	})
}
