package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/strictjson"
)

func seeds() []string {
	return []string{
		` { "a" : [ 1 , {"b":"]}"} , "\"\\" ] , "\u0061b" : -1.5e+3 , "c":null, "d":{},"e":[],"f":"\ud83d\ude00\b\f\n\r\t\/" } `,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"\ud800":1}`, `{}`, `[]`, `null`, `""`, `{"a":{"a":{"a":{}}}}`, `{"a":true,"b":false,"c":0}`,
	}
}

func members(doc []byte) (names, values []string, err error) {
	if err := strictjson.Check(doc, len(doc)); err != nil {
		return nil, nil, err
	}
	found, err := strictjson.Object(doc)
	for _, m := range found {
		names, values = append(names, m.Name), append(values, string(m.Value))
	}
	return names, values, err
}

// The members of an object are those that encoding/json finds, but that no name comes twice and no text is mended.
func FuzzMembers(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		names, values, err := members(doc)
		wantNames, wantValues, wantErr := membersByTokens(doc)
		if !utf8.Valid(doc) || mended(doc) {
			return
		}
		require.Equal(t, wantErr == nil, err == nil, "got %v, want %v", err, wantErr)
		if err == nil {
			require.Equal(t, wantNames, names)
			require.Equal(t, wantValues, values)
		}
	})
}

// mended reports whether a document may have an escape that encoding/json would replace.
func mended(doc []byte) bool { return strings.Contains(strings.ToLower(string(doc)), `\ud`) }

func membersByTokens(doc []byte) (names, values []string, err error) {
	if !json.Valid(doc) {
		return nil, nil, errors.New("not JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(doc))
	if first, _ := decoder.Token(); first != json.Delim('{') {
		return nil, nil, errors.New("not an object")
	}
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, nil, err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		name := token.(string)
		if seen[name] {
			return nil, nil, errors.New("twice")
		}
		seen[name] = true
		if string(value) != "null" {
			names, values = append(names, name), append(values, string(value))
		}
	}
	return names, values, nil
}

func FuzzElements(f *testing.F) {
	for _, seed := range append(seeds(), `[1 , "a,]" ,{"b":[]}, [ ] ,null]`) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var want []json.RawMessage
		if err := json.Unmarshal(doc, &want); err != nil || want == nil {
			return
		}
		got, err := strictjson.Array(doc, len(doc))
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, string(want[i]), string(got[i]))
		}
	})
}

func FuzzUnquote(f *testing.F) {
	for _, seed := range []string{`""`, `"a"`, `"\"\\\/\b\f\n\r\t"`, `"\u00e4\ud83d\uDE00"`, `"\ud800"`, `"\ud800\ud800"`, `"\udc00\ud800"`, `"\ud800x12345"`, `"\ud800\n12345"`, `"\ud83d\ude00\ud83d"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, quoted []byte) {
		var want string
		if !utf8.Valid(quoted) || len(quoted) == 0 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' || json.Unmarshal(quoted, &want) != nil {
			return
		}
		got, err := strictjson.Bytes(quoted)
		if err != nil {
			require.Contains(t, want, "\ufffd") // what encoding/json puts there
			return
		}
		require.Equal(t, want, string(got))
		require.LessOrEqual(t, len(got), len(quoted), "the buffer did not grow")
	})
}
