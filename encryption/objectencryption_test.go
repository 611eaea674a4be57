package encryption_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// update returns a document with these elements in its SSE-KMS.
func update(elements ...string) string {
	return `<ObjectEncryption xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><SSE-KMS>` + strings.Join(elements, "\n") + `</SSE-KMS></ObjectEncryption>`
}

const arnElement = "<KMSKeyArn>arn:aws:kms:r:a:key/id</KMSKeyArn>"

func TestObjectEncryption(t *testing.T) {
	plain := encryption.Request{Mode: encryption.SSEKMS, KeyID: "arn:aws:kms:r:a:key/id"}
	shared := plain
	shared.BucketKey = true
	tests := []struct {
		name, document string
		want           encryption.Request
	}{
		{"a key", update(arnElement), plain},
		{"without namespace", strings.ReplaceAll(update(arnElement), ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`, ""), plain},
		{"with a bucket key", update(bucketKeyOn, arnElement), shared},
		{"without a bucket key", update(arnElement, bucketKeyOff), plain},
		{"in other letters", update(arnElement, "<BucketKeyEnabled>True</BucketKeyEnabled>"), shared},
		{"a key id", update("<KMSKeyArn>id</KMSKeyArn>"), encryption.Request{Mode: encryption.SSEKMS, KeyID: "id"}},
		{"declaration and comments", "<?xml version=\"1.0\"?><!-- a -->" + update(arnElement, "<!-- b -->") + "\n<!-- c -->", plain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := encryption.ParseObjectEncryption([]byte(tt.document))
			require.NoError(t, err)
			require.Equal(t, &tt.want, got)
		})
	}
}

func TestMalformedObjectEncryption(t *testing.T) {
	want := encryption.Error{Code: "MalformedXML", Status: 400, Err: kms.ErrInvalidRequest,
		Message: "The XML you provided was not well-formed or did not validate against our published schema"}
	right := update(arnElement)
	for name, document := range map[string]string{
		"empty":                     "",
		"a bucket's configuration":  configuration(rule(byDefault(aes256))),
		"nothing in it":             "<ObjectEncryption/>",
		"SSE-S3":                    "<ObjectEncryption><SSE-S3/></ObjectEncryption>",
		"SSE-S3 too":                strings.ReplaceAll(right, "<SSE-KMS>", "<SSE-S3/><SSE-KMS>"),
		"twice":                     strings.ReplaceAll(right, "<SSE-KMS>", "<SSE-KMS/><SSE-KMS>"),
		"no key":                    update(),
		"no key but a bucket key":   update(bucketKeyOn),
		"an empty key":              update("<KMSKeyArn/>"),
		"two keys":                  update(arnElement, arnElement),
		"an element in the key":     update("<KMSKeyArn>id<a/></KMSKeyArn>"),
		"a key that does not print": update("<KMSKeyArn>a&#10;b</KMSKeyArn>"),
		"a long key":                update("<KMSKeyArn>" + strings.Repeat("x", 2049) + "</KMSKeyArn>"),
		"two bucket keys":           update(arnElement, bucketKeyOn, bucketKeyOn),
		"a bucket key 1":            update(arnElement, "<BucketKeyEnabled>1</BucketKeyEnabled>"),
		"an unknown element":        update(arnElement, "<a/>"),
		"another namespace":         strings.ReplaceAll(right, "s3.amazonaws.com", "example.com"),
		"another namespace in it":   update(`<KMSKeyArn xmlns="urn:b">id</KMSKeyArn>`),
		"cut":                       strings.TrimSuffix(right, ">"),
		"something behind":          right + "x",
		"an element behind":         right + "<a/>",
		"more than 16 KiB":          right + strings.Repeat(" ", 16<<10),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := encryption.ParseObjectEncryption([]byte(document))
			require.Nil(t, got)
			requireAnswer(t, want, err)
		})
	}
}

func FuzzParseObjectEncryption(f *testing.F) {
	f.Add([]byte(update(arnElement, bucketKeyOn)))
	f.Add([]byte(update(bucketKeyOff)))
	f.Add([]byte("<ObjectEncryption><SSE-S3/></ObjectEncryption>"))
	f.Fuzz(func(t *testing.T, document []byte) {
		got, err := encryption.ParseObjectEncryption(document)
		if err != nil {
			require.Nil(t, got)
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
			return
		}
		require.Equal(t, encryption.SSEKMS, got.Mode)
		require.NotEmpty(t, got.KeyID)
		require.Empty(t, got.Context)
	})
}
