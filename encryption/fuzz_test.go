package encryption_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// What reads and sources of copies bring along is a customer key or nothing, or an error of S3's that does not show the key.
func FuzzParseReadHeaders(f *testing.F) {
	c := withKey(headers(), "", testCustomerKey)
	f.Add(c.Get("Algorithm"), c.Get("Key"), c.Get("Key-Md5"), "", true, false)
	f.Add(c.Get("Algorithm"), c.Get("Key"), c.Get("Key-Md5"), "", true, true)
	f.Add("AES256", "AAAA", "AAAA", "", false, false)
	f.Add("", "", "", "AES256", true, false)
	f.Add("", "", "", "", false, true)
	f.Fuzz(func(t *testing.T, algorithm, encoded, sum, method string, secure, source bool) {
		parse, prefix := encryption.ParseReadHeaders, hCustomer
		if source {
			parse, prefix = encryption.ParseCopySourceHeaders, "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"
		}
		h := getter{}
		for name, value := range map[string]string{prefix + "algorithm": algorithm, prefix + "key": encoded, prefix + "key-md5": sum, hSSE: method} {
			h[strings.ToLower(name)] = value
		}
		req, err := parse(h, encryption.Transport{Secure: secure})
		if err != nil {
			require.Nil(t, req)
			require.Equal(t, 400, encryption.S3Error(err).Status)
			if len(encoded) > 32 {
				require.NotContains(t, err.Error()+encryption.S3Error(err).ArgumentValue, encoded)
			}
			return
		}
		require.True(t, method == "" || source, "headers of writes are refused, and those of the target not looked at")
		if algorithm+encoded+sum == "" {
			require.Equal(t, &encryption.Request{}, req)
			return
		}
		require.True(t, secure)
		require.Equal(t, encryption.SSEC, req.Mode)
		require.Equal(t, encoded, base64.StdEncoding.EncodeToString(req.CustomerKey.Bytes()))
		require.Equal(t, 32, req.CustomerKey.Len())
	})
}

// A named key is the one of that id, or of an ARN that ends with it: nothing else leads to it.
func FuzzKeyName(f *testing.F) {
	const own = "arn:aws:kms:us-east-1:111122223333:key/default"
	for _, name := range []string{"", "default", own, "arn:aws:kms:eu-west-1:1:key/default", "arn:aws:kms:::key/", "arn::kms", "arn:aws:s3:::key/default", "arn:aws:kms:a:b:c:key/default", "key/default", own + "\n"} {
		f.Add(name, true)
		f.Add(name, false)
	}
	ring := newRing("default")
	services := map[bool]*encryption.Service{
		false: encryption.NewService(ring, encryption.Options{}),
		true:  encryption.NewService(ring, encryption.Options{KeyARN: func(id string) string { return strings.TrimSuffix(own, "default") + id }}),
	}
	f.Fuzz(func(t *testing.T, name string, withARNs bool) {
		object, err := services[withARNs].EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: name}, strings.NewReader(""))
		if err != nil {
			require.Contains(t, []int{400, 404}, encryption.S3Error(err).Status, "%v", err)
			return
		}
		defer object.Close()
		switch {
		case name == "" || name == "default":
		case withARNs:
			require.Equal(t, own, name)
		default:
			require.True(t, strings.HasPrefix(name, "arn:") && strings.HasSuffix(name, ":key/default"), name)
		}
	})
}

// Of all bytes that a disk may give back, one body and one envelope are the object's.
func FuzzObjectBody(f *testing.F) {
	ring := newRing("default")
	u := newUpload(f, ring, photo, protections()[0])
	plain := []byte("five, and more in the third part")
	u.put(f, 1, plain[:5])
	u.put(f, 2, nil)
	u.put(f, 7, plain[5:])
	env, good := u.complete(f, 1, 2, 7)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), 0))
	f.Add(append(bytes.Clone(good[77:]), good[:77]...))
	svc := u.service()
	f.Fuzz(func(t *testing.T, stored []byte) {
		got, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(stored))
		require.Equal(t, bytes.Equal(stored, good), err == nil)
		if err == nil {
			require.Equal(t, plain, got)
			return
		}
		require.ErrorIs(t, err, kms.ErrDecrypt)
		require.True(t, bytes.HasPrefix(plain, got), "what was released is authentic")
	})
}

func FuzzOpenEnvelope(f *testing.F) {
	ring := newRing("default", "other")
	svc := encryption.NewService(ring, encryption.Options{})
	good := map[string]bool{}
	var body []byte
	for _, p := range protections()[:4] {
		var env *encryption.Envelope
		env, body = put(f, svc, photo, p.write(), []byte("seven.."))
		good[string(binaryForm(f, env))] = true
		f.Add(binaryForm(f, env))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		env, err := parseBinary(raw)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrDecrypt)
			return
		}
		object, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.Equal(t, good[string(raw)], err == nil)
		if err == nil {
			require.NoError(t, object.Close())
			return
		}
		require.NotEqual(t, kms.KindUnknown, kms.KindOf(err))
		require.GreaterOrEqual(t, encryption.S3Error(err).Status, 400)
	})
}

// Of all texts, one state opens the upload, and one receipt of each part completes it.
func FuzzOpenUpload(f *testing.F) {
	u := newUpload(f, newRing("default"), photo, protections()[0])
	u.put(f, 3, []byte("three"))
	receipt, etag := u.parts[3].receipt, u.parts[3].etag
	f.Add([]byte(u.state), []byte(receipt))
	f.Add([]byte(receipt), []byte(u.state))
	f.Fuzz(func(t *testing.T, state, text []byte) {
		changed := *u
		changed.state = string(state)
		opened, err := changed.open(t.Context())
		require.Equal(t, string(state) == u.state, err == nil)
		if err == nil {
			require.NoError(t, opened.Close())
		}
		part := encryption.PartReceipt{}
		if part.UnmarshalText(text) != nil {
			return
		}
		part.ETag = etag
		opened, err = u.open(t.Context())
		require.NoError(t, err)
		defer opened.Close()
		_, err = opened.Complete(t.Context(), photo, []encryption.PartReceipt{part})
		require.Equal(t, string(text) == receipt, err == nil)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrDecrypt)
		}
	})
}
