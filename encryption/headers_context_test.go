package encryption_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func parseContext(value string) (kms.EncryptionContext, error) {
	req, err := encryption.ParseWriteHeaders(headers(hSSE, "aws:kms", hContext, value), trusted, encryption.BucketDefault{})
	if err != nil {
		return nil, err
	}
	return req.Context, nil
}

func TestContextHeader(t *testing.T) {
	for document, want := range map[string]kms.EncryptionContext{
		`{}`:                       nil,
		" {\n}\t":                  nil,
		`{"a":"b"}`:                {"a": "b"},
		`{"b":"","a":"1" , "":""}`: {"a": "1", "b": "", "": ""},
		`{"a":"\ud83d\ude00\n"}`:   {"a": "😀\n"},
		`{"AWS:x":"b","aws":"c"}`:  {"AWS:x": "b", "aws": "c"},
		`{"a":"` + strings.Repeat("x", 2039) + `"}`:      {"a": strings.Repeat("x", 2039)},
		`{"a":"` + strings.Repeat(`\u0078`, 1900) + `"}`: {"a": strings.Repeat("x", 1900)},
	} {
		got, err := parseContext(base64Of(document))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestWrongContextHeader(t *testing.T) {
	want := invalidArgument(notAContext, sse+"-context", "null")
	for name, value := range map[string]string{
		"empty":                        "",
		"not base64":                   "{}",
		"without padding":              strings.TrimRight(base64Of(`{"a":"bcd"}`), "="),
		"base64 of URLs":               base64.URLEncoding.EncodeToString([]byte(`{"a":"~~~?"}`)),
		"bits left over":               "e31=",
		"in lines":                     base64Of("{}")[:2] + "\n" + base64Of("{}")[2:],
		"no JSON":                      base64Of("x"),
		"nothing":                      base64Of(" "),
		"null":                         base64Of("null"),
		"string":                       base64Of(`"a"`),
		"array":                        base64Of(`["a","b"]`),
		"array of pairs":               base64Of(`[{"a":"b"}]`),
		"number":                       base64Of(`{"a":1}`),
		"null value":                   base64Of(`{"a":null}`),
		"nested object":                base64Of(`{"a":{"b":"c"}}`),
		"empty nested object":          base64Of(`{"a":{}}`),
		"array value":                  base64Of(`{"a":["b"]}`),
		"name twice":                   base64Of(`{"a":"b","a":"b"}`),
		"name twice, escaped":          base64Of(`{"a":"b","\u0061":"c"}`),
		"empty name twice":             base64Of(`{"":"b","":"c"}`),
		"cut":                          base64Of(`{"a":"b"`),
		"cut behind a name":            base64Of(`{"a"`),
		"comma behind the last":        base64Of(`{"a":"b",}`),
		"wrong end":                    base64Of(`{"a":"b"]`),
		"two objects":                  base64Of(`{}{}`),
		"bytes behind":                 base64Of(`{}x`),
		"bytes that are no UTF-8":      base64Of("{\"a\":\"\xff\"}"),
		"a name that is no UTF-8":      base64Of("{\"\xff\":\"a\"}"),
		"half a surrogate pair":        base64Of(`{"a":"\ud83d"}`),
		"the replacement character":    base64Of(`{"a":"\ufffd"}`),
		"a name of the server's":       base64Of(`{"aws:s3:arn":"arn:aws:s3:::b/k"}`),
		"a name beginning with aws:":   base64Of(`{"a":"b","aws:":""}`),
		"more than 2 KiB":              base64Of(`{"a":"` + strings.Repeat("x", 2040) + `"}`),
		"a header of more than 16 KiB": base64Of("{}" + strings.Repeat(" ", 3*4096)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseContext(value)
			requireAnswer(t, want, err)
		})
	}
	_, err := parseContext(base64Of("{}" + strings.Repeat(" ", 3*4096-2)))
	require.NoError(t, err)
}

func TestContextIsNotShown(t *testing.T) {
	secret := []byte("tenant7-of-nobody-else")
	for _, document := range []string{
		`{"a":"` + string(secret) + `","a":"` + string(secret) + `"}`, `{"aws:` + string(secret) + `":"` + string(secret) + `"}`, `{"` + string(secret) + `":1}`,
		`{"a":"` + strings.Repeat(string(secret), 100) + `"}`, string(secret), `{"a":"` + string(secret) + `"`, `{} ` + string(secret),
	} {
		for _, value := range []string{base64Of(document), document} {
			_, err := parseContext(value)
			require.Error(t, err)
			requireHidden(t, [][]byte{secret}, append(shown(t, err), shown(t, *encryption.S3Error(err))...)...)
			_, err = encryption.ParseReadHeaders(headers(hContext, value), trusted)
			require.Error(t, err)
			requireHidden(t, [][]byte{secret}, shown(t, err)...)
		}
	}
}

// FuzzContextHeader holds the parser against the JSON decoder: what it accepts means the same to both.
func FuzzContextHeader(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":"b"}`, `{"a":"b","c":"\ud83d\ude00"}`, `{"a":"b","a":"c"}`, `{"a":null}`, `{"aws:x":""}`, "{\"a\":\"\xff\"}", `[]`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		context, err := parseContext(base64Of(document))
		if err != nil {
			require.Equal(t, "InvalidArgument", encryption.S3Error(err).Code)
			return
		}
		require.True(t, utf8.ValidString(document))
		var want kms.EncryptionContext
		require.NoError(t, json.Unmarshal([]byte(document), &want))
		require.Len(t, context, len(want))
		for name, value := range want {
			require.Equal(t, value, context[name])
			require.False(t, strings.HasPrefix(name, "aws:"))
		}
		// What is accepted is answered, and the answer is accepted again.
		h := make(http.Header)
		encryption.WriteContext(h, context)
		if len(context) > 0 {
			again, err := parseContext(h.Get(hContext))
			require.NoError(t, err)
			require.Equal(t, context, again)
		}
	})
}
