package encryption_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// What reads, completions of uploads and sources of copies bring along is a customer key or nothing, or an error of S3's that does not show the key.
func FuzzParseReadHeaders(f *testing.F) {
	c := withKey(headers(), "", testCustomerKey)
	f.Add(c.Get("Algorithm"), c.Get("Key"), c.Get("Key-Md5"), "", true, false)
	f.Add(c.Get("Algorithm"), c.Get("Key"), c.Get("Key-Md5"), "", true, true)
	f.Add(c.Get("Algorithm"), c.Get("Key"), "", "", true, false)
	f.Add("AES256", "AAAA", "AAAA", "", false, false)
	f.Add("", "", "", "AES256", true, false)
	f.Add("", "", "", "", false, true)
	f.Add("AES256", "Requests specifying Server Side Encryption", "AAAA", "", false, false) // which the error says of every key
	f.Add(strings.Repeat("A", 20), "invalid request)"+strings.Repeat("A", 20), "AAAA", "", true, false)
	f.Add(strings.Repeat("A", 40), strings.Repeat("A", 40), "AAAA", "", true, false)
	f.Fuzz(func(t *testing.T, algorithm, encoded, sum, method string, secure, source bool) {
		prefix := hCustomer
		if source {
			prefix = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"
		}
		h := getter{}
		for name, value := range map[string]string{prefix + "algorithm": algorithm, prefix + "key": encoded, prefix + "key-md5": sum, hSSE: method} {
			h[strings.ToLower(name)] = value
		}
		transport := encryption.Transport{Secure: secure}
		if source {
			req, err := encryption.ParseCopySourceHeaders(h, transport)
			requireCustomerKeyOrNothing(t, req, err, secure, algorithm, encoded, sum)
			requireErrorOfAnyKey(t, h, prefix, err, func(h encryption.Header) error {
				_, err := encryption.ParseCopySourceHeaders(h, transport)
				return err
			})
			return
		}
		req, err := encryption.ParseCompleteHeaders(h, transport)
		requireCustomerKeyOrNothing(t, req, err, secure, algorithm, encoded, sum)
		requireErrorOfAnyKey(t, h, prefix, err, func(h encryption.Header) error {
			_, err := encryption.ParseCompleteHeaders(h, transport)
			return err
		})
		read, readErr := encryption.ParseReadHeaders(h, transport)
		if method == "" {
			requireCustomerKeyOrNothing(t, read, readErr, secure, algorithm, encoded, sum)
			require.Equal(t, err, readErr)
			return
		}
		require.Nil(t, read)
		require.Error(t, readErr, "headers of writes are refused in reads, and passed over where an upload is completed")
		require.Equal(t, 400, encryption.S3Error(readErr).Status)
		require.LessOrEqual(t, len(encryption.S3Error(readErr).ArgumentValue), mostEchoed)
		delete(h, strings.ToLower(hSSE))
		_, without := encryption.ParseCompleteHeaders(h, transport)
		require.Equal(t, without, err)
	})
}

// mostEchoed is how much of a header an error repeats, in bytes: less than a customer key has that came in the wrong one.
const mostEchoed = 32

// requireCustomerKeyOrNothing checks what was parsed of three headers.
func requireCustomerKeyOrNothing(t *testing.T, req *encryption.Request, err error, secure bool, algorithm, encoded, sum string) {
	t.Helper()
	if err != nil {
		require.Nil(t, req)
		status := 400
		if secure && algorithm == "AES256" && encoded != "" && sum == "" {
			status = 403
		}
		require.Equal(t, status, encryption.S3Error(err).Status, "%v", err)
		require.LessOrEqual(t, len(encryption.S3Error(err).ArgumentValue), mostEchoed)
		return
	}
	if algorithm+encoded+sum == "" {
		require.Equal(t, &encryption.Request{}, req)
		return
	}
	require.True(t, secure)
	require.Equal(t, encryption.SSEC, req.Mode)
	require.Equal(t, encoded, base64.StdEncoding.EncodeToString(req.CustomerKey.Bytes()))
	require.Equal(t, 32, req.CustomerKey.Len())
}

// requireErrorOfAnyKey checks that an error says nothing of the customer key: other keys in its place have the same. To look for the key in the error would not do,
// since any text may come as a key, also one that stands there for another reason.
func requireErrorOfAnyKey(t *testing.T, h getter, prefix string, err error, parse func(encryption.Header) error) {
	t.Helper()
	name := strings.ToLower(prefix + "key")
	if err == nil || h[name] == "" {
		return
	}
	var others []error
	// The MD5 that came can be right for one of the two keys at most.
	for _, key := range []string{"?", base64Of(strings.Repeat("a", 32)), base64Of(strings.Repeat("b", 32))} {
		other := maps.Clone(h)
		other[name] = key
		others = append(others, parse(other))
	}
	require.Contains(t, others, err)
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
		ring.forget()
		object, err := services[withARNs].EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: name}, strings.NewReader(""))
		if err != nil {
			require.Equal(t, "KMS.NotFoundException", encryption.S3Error(err).Code, "%v", err)
			require.Equal(t, 400, encryption.S3Error(err).Status)
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

// goldenOf returns a golden object and its body, which are the same in every process, as what is fuzzed must be, and a Service that can open it.
func goldenOf(t testing.TB, name string) (o goldenObject, body []byte, svc *encryption.Service) {
	t.Helper()
	manifest, ring := readGolden(t)
	i := slices.IndexFunc(manifest.Objects, func(o goldenObject) bool { return o.Name == name })
	require.GreaterOrEqual(t, i, 0)
	body, err := os.ReadFile(filepath.Join(golden, name+".bin"))
	require.NoError(t, err)
	return manifest.Objects[i], body, encryption.NewService(ring, encryption.Options{})
}

// Of all bytes that a disk may give back, one body is the object's.
func FuzzObjectBody(f *testing.F) {
	o, good, svc := goldenOf(f, "sse-kms-parts")
	env, err := encryption.ParseEnvelope(map[string]string{"objectkms-envelope": o.Envelope})
	require.NoError(f, err)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), 0))
	f.Add(append(bytes.Clone(good[172:]), good[:172]...))
	f.Fuzz(func(t *testing.T, stored []byte) {
		svc.KeyService.(*ring).forget()
		got, err := get(t.Context(), svc, o.id(), env, nil, bytes.NewReader(stored))
		require.Equal(t, bytes.Equal(stored, good), err == nil)
		if err == nil {
			require.Equal(t, goldenPlain(o.PlainSize), got)
			return
		}
		require.ErrorIs(t, err, kms.ErrDecrypt)
		require.True(t, bytes.HasPrefix(goldenPlain(o.PlainSize), got), "what was released is authentic")
	})
}

// Of all envelopes, one opens an object.
func FuzzOpenEnvelope(f *testing.F) {
	var objects []goldenObject
	var sizes []int
	var svc *encryption.Service
	for i, name := range []string{"sse-s3-1", "sse-kms-1", "sse-kms-bucket-key-1", "sse-kms-parts"} {
		o, body, opener := goldenOf(f, name)
		objects, sizes, svc = append(objects, o), append(sizes, len(body)), opener
		f.Add(i, o.Envelope)
		f.Add(i+1, o.Envelope)
	}
	f.Fuzz(func(t *testing.T, i int, text string) {
		svc.KeyService.(*ring).forget()
		i = int(uint(i) % uint(len(objects)))
		o := objects[i]
		env := new(encryption.Envelope)
		if env.UnmarshalText([]byte(text)) != nil {
			require.NotEqual(t, o.Envelope, text)
			return
		}
		object, err := svc.OpenObject(t.Context(), o.id(), env, nil, int64(sizes[i]))
		require.Equal(t, o.Envelope == text, err == nil)
		if err == nil {
			require.NoError(t, object.Close())
			return
		}
		require.NotEqual(t, kms.KindUnknown, kms.KindOf(err))
		require.GreaterOrEqual(t, encryption.S3Error(err).Status, 400)
	})
}

// Of all texts, one state opens the upload.
func FuzzOpenUpload(f *testing.F) {
	o, _, svc := goldenOf(f, "sse-kms-parts")
	f.Add(o.Upload.ID, o.Upload.State)
	f.Add("another", o.Upload.State)
	f.Add(o.Upload.ID, o.Envelope)
	f.Fuzz(func(t *testing.T, uploadID, text string) {
		svc.KeyService.(*ring).forget()
		state := new(encryption.UploadState)
		if state.UnmarshalText([]byte(text)) != nil {
			require.NotEqual(t, o.Upload.State, text)
			return
		}
		upload, err := svc.OpenUpload(t.Context(), o.id(), uploadID, state, nil)
		require.Equal(t, o.Upload.State == text && o.Upload.ID == uploadID, err == nil)
		if err == nil {
			require.NoError(t, upload.Close())
			return
		}
		require.NotEqual(t, kms.KindUnknown, kms.KindOf(err))
	})
}

// Of all texts, one is the receipt of a part.
func FuzzOpenReceipt(f *testing.F) {
	o, _, svc := goldenOf(f, "sse-kms-parts")
	state := new(encryption.UploadState)
	require.NoError(f, state.UnmarshalText([]byte(o.Upload.State)))
	upload, err := svc.OpenUpload(f.Context(), o.id(), o.Upload.ID, state, nil)
	require.NoError(f, err)
	f.Cleanup(func() { upload.Close() })
	for i, part := range o.Upload.Parts {
		f.Add(i, part.Receipt)
		f.Add(i+1, part.Receipt)
	}
	f.Fuzz(func(t *testing.T, i int, text string) {
		receipts := o.Upload.receipts(t)
		i = int(uint(i) % uint(len(receipts)))
		changed := encryption.PartReceipt{}
		if changed.UnmarshalText([]byte(text)) != nil || changed.Number != receipts[i].Number {
			require.NotEqual(t, o.Upload.Parts[i].Receipt, text)
			return
		}
		changed.ETag = receipts[i].ETag
		receipts[i] = changed
		_, err := upload.Complete(t.Context(), o.id(), receipts)
		require.Equal(t, o.Upload.Parts[i].Receipt == text, err == nil)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrDecrypt)
		}
	})
}

// Of all texts, those that were sealed under a name open under it, and no others.
func FuzzOpenAttribute(f *testing.F) {
	const name = "x-amz-checksum-crc32c"
	sealed := sealedGolden(f, "sse-s3-1")
	good := sealed[name]
	manifest, ring := readGolden(f)
	o, _, _ := goldenOf(f, "sse-s3-1")
	object := openGolden(f, ring, manifest, o)
	for name, text := range sealed {
		f.Add(name, []byte(text))
	}
	f.Add("b", []byte(good))
	f.Add("", []byte("AA"))
	f.Add(name, []byte(strings.Repeat("A", 96)))
	f.Fuzz(func(t *testing.T, named string, text []byte) {
		value, err := object.OpenAttribute(named, text)
		want, known := sealed[named]
		require.Equal(t, known && string(text) == want, err == nil)
		if err != nil {
			require.Nil(t, value)
		}
	})
}

// sealedGolden returns the texts of all golden attributes of an object, by their names.
func sealedGolden(t testing.TB, object string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(golden, "attributes.json"))
	require.NoError(t, err)
	var all []goldenAttribute
	require.NoError(t, json.Unmarshal(b, &all))
	sealed := make(map[string]string)
	for _, a := range all {
		if a.Object == object {
			sealed[a.Name] = a.Sealed
		}
	}
	require.Len(t, sealed, 2)
	return sealed
}
