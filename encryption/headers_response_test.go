package encryption_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/encryption"
)

// Which headers each operation answers: S, K, X, B, and c for those of a customer key without the key.
func TestResponseHeadersOfOperations(t *testing.T) {
	tells := map[string]string{
		"PutObject": "SKXBc", "POST": "SKXBc", "CopyObject": "SKXBc", "CreateMultipartUpload": "SKXBc",
		"UploadPart": "SKBc", "UploadPartCopy": "SKBc", "GetObject": "SKBc", "HeadObject": "SKBc",
		"CompleteMultipartUpload": "SKB",
		"AbortMultipartUpload":    "", "ListParts": "", "GetObjectAttributes": "", "SelectObjectContent": "",
	}
	operations := encryption.Operations()
	require.Len(t, operations, len(tells))
	for name, write := range operations {
		t.Run(name, func(t *testing.T) {
			letters := []rune(tells[name])
			// want adds a header where the operation tells it.
			want := func(h http.Header, letter rune, name, value string) {
				if slices.Contains(letters, letter) {
					h.Set(name, value)
				}
			}
			h, none := make(http.Header), make(http.Header)
			write(h, encryption.None, true)
			require.Equal(t, none, h)

			h, s3 := make(http.Header), make(http.Header)
			write(h, encryption.SSES3, true)
			want(s3, 'S', hSSE, "AES256")
			require.Equal(t, s3, h)

			h, kmsHeaders := make(http.Header), make(http.Header)
			write(h, encryption.SSEKMS, false)
			want(kmsHeaders, 'S', hSSE, "aws:kms")
			want(kmsHeaders, 'K', hKeyID, "id")
			want(kmsHeaders, 'X', hContext, base64Of(`{"a":"<b>"}`))
			require.Equal(t, kmsHeaders, h)

			write(h, encryption.SSEKMS, true)
			want(kmsHeaders, 'B', hBucketKey, "true")
			require.Equal(t, kmsHeaders, h)

			h, customer := make(http.Header), make(http.Header)
			write(h, encryption.SSEC, true)
			want(customer, 'c', hCustomer+"Algorithm", "AES256")
			want(customer, 'c', hCustomer+"Key-Md5", "digest")
			require.Equal(t, customer, h)
		})
	}
}

func TestContextInResponsesIsInOrder(t *testing.T) {
	h := make(http.Header)
	encryption.WriteContext(h, map[string]string{"b": "2", "a": "1", "ü&": "\""})
	require.Equal(t, base64Of(`{"a":"1","b":"2","ü&":"\""}`), h.Get(hContext))
	h = make(http.Header)
	encryption.WriteContext(h, map[string]string{})
	require.NotContains(t, h, hContext)
}
