package backend_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
)

func seeds() []string {
	return []string{
		`{"backend_type":"local","key_dir":"/k","passphrase":"hush-hush","former":[{"backend_type":"local","key_dir":"/k","master_key":"` + key() + `"}]}`,
		`{"backend_type":"vault","address":"https://v:1","auth_method":{"AppRole":{"role_id":"r","secret_id":"s"}},"skip_tls_verify":true,"timeout_seconds":30}`,
		`{"backend_type":"vault-kv2","engine":"kv2","address":"https://v:1","auth_method":{"token":"t"},"former":[],"file_permissions":"0600"}`,
		` { "a" : [ 1 , {"b":"]}"} , "\"\\" ] , "\u0061b" : -1.5e+3 , "c":null, "d":{},"e":[],"f":"\ud83d\ude00\b\f\n\r\t\/" } `,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"\ud800":1}`, `{}`, `[]`, `null`, `""`, `{"a":{"a":{"a":{}}}}`,
	}
}

// Whatever comes, a document is a configuration that can be written and read again, or ErrInvalidConfig.
func FuzzParseConfig(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		cfg, err := backend.ParseConfig(doc)
		require.Equal(t, before, doc)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			require.Equal(t, kms.Config{}, cfg)
			return
		}
		require.NoError(t, cfg.Validate())
		written, err := backend.MarshalConfig(cfg)
		require.NoError(t, err)
		again, err := backend.ParseConfig(written.Bytes())
		require.NoError(t, err)
		requireSame(t, cfg, again)
		merged, err := backend.Merge(cfg, []byte(`{}`))
		require.NoError(t, err)
		requireSame(t, cfg, merged)
	})
}

func FuzzMerge(f *testing.F) {
	for _, seed := range append(seeds(), `{"engine":"kv2"}`, `{"passphrase":"x"}`, `{"key_dir":"/other"}`, `{"retry_attempts":9}`) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		for _, running := range []kms.Config{runningLocal(), runningVault(), {}} {
			cfg, err := backend.Merge(running, patch)
			if err != nil {
				require.ErrorIs(t, err, kms.ErrInvalidConfig)
				require.Equal(t, kms.Config{}, cfg)
				continue
			}
			require.NoError(t, cfg.Validate())
			backend.Destroy(cfg)
			if running.Backend != nil {
				require.NoError(t, running.Validate(), "the secrets that run are still there")
			}
		}
	})
}

// The members of an object are those that encoding/json finds, but that no name comes twice and no text is mended.
func FuzzMembers(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		names, values, err := backend.Members(doc)
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
		got := backend.Elements(doc)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, string(want[i]), got[i])
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
		got, err := backend.Unquote(quoted)
		if err != nil {
			require.Contains(t, want, "\ufffd") // what encoding/json puts there
			return
		}
		require.Equal(t, want, string(got))
		require.LessOrEqual(t, len(got), len(quoted), "the buffer did not grow")
	})
}

// A buffer that was too small holds nothing afterwards.
func TestTheWriterWipesWhatItLeaves(t *testing.T) {
	small := make([]byte, 0, 16)
	out := backend.WriteSecrets(small, []byte("hush-hush"), []byte("hush-hush"))
	require.Equal(t, "{hush-hushhush-hush", string(out))
	require.Equal(t, make([]byte, 16), small[:16])
}
