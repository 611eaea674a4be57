package vault_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// An absurd number of the server's is an error that names it, and is not remembered.
func TestAbsurdNumbers(t *testing.T) {
	made := func(at string) func([]byte) []byte { return setting("keys", json.RawMessage(`{"1":`+at+`}`)) }
	versioned := func(version string) func([]byte) []byte {
		return func(answer []byte) []byte {
			return edited(answer, func(data map[string]any) {
				data["metadata"] = json.RawMessage(`{"version":` + version + `}`)
				if record, ok := data["data"].(map[string]any); ok {
					record["generation"] = json.RawMessage(version)
				}
			})
		}
	}
	recorded := func(field string, value any) func([]byte) []byte {
		return func(answer []byte) []byte {
			return edited(answer, func(data map[string]any) { data["data"].(map[string]any)[field] = value })
		}
	}
	const transit, record = "transit/keys/k", "secret/data/objectkms/keys/k"
	long := strings.Repeat("x", 256<<10)
	tests := []struct {
		name, path string
		change     func([]byte) []byte
		class      error // nil: the number is still a good one
		says       string
	}{
		{"the last year", transit, made("253370764799"), nil, ""},
		{"the year after it", transit, made("253370764800"), kms.ErrUnavailable, "was made in the year 9999, want 1 to 9998"},
		{"a year after it beside a good one", transit, setting("keys", json.RawMessage(`{"1":1795642914,"2":253370764800}`)), kms.ErrUnavailable, "in the year 9999"},
		{"no year of a date", transit, made("9223372036854775807"), kms.ErrUnavailable, "was made in the year 292277026596, want 1 to 9998"},
		{"the first year", transit, made("-62135596800"), nil, ""},
		{"the year before it", transit, made("-62135596801"), kms.ErrUnavailable, "was made in the year 0, want 1 to 9998"},
		{"a date that is another year in UTC", transit, made(`{"creation_time":"9998-12-31T23:59:59-23:59"}`), kms.ErrUnavailable, "was made in the year 9999"},
		{"a date of the last year", transit, made(`{"creation_time":"9998-12-31T23:59:59Z"}`), nil, ""},
		{"a type without an end", transit, setting("type", long), kms.ErrUnsupported, `Transit key is of type "xxx`},
		{"the largest version", record, versioned("4294967296"), nil, ""},
		{"a version above it", record, versioned("4294967297"), kms.ErrUnavailable, "has version 4294967297 of an entry, want at most 4294967296"},
		{"the last version of all", record, versioned("18446744073709551615"), kms.ErrUnavailable, "has version 18446744073709551615 of an entry"},
		{"a record of the last year", record, recorded("created", "9998-12-31T23:59:59Z"), nil, ""},
		{"a record of the year after it", record, recorded("created", "9998-12-31T23:59:59-23:59"), kms.ErrKeyMaterial, "it was created in the year 9999, want 1 to 9998"},
		{"a large record", record, recorded("description", long[1<<10:]), nil, ""},
		{"a larger record", record, recorded("description", long), kms.ErrKeyMaterial, "bytes, want at most 262144"},
		{"an entry without an end", record, recorded("description", strings.Repeat(long, 16)), kms.ErrUnavailable, "bytes, want at most 4194304"},
		{"a record's word without an end", record, recorded("phase", long[1<<10:]), kms.ErrKeyMaterial, `phase is "xxx`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeVault()
			b := f.open(t, vault.Transit)
			createKey(t, b, "k")
			blob := encrypt(t, b, "k", nil)
			b = f.open(t, vault.Transit)
			f.set(nil, func(method, path string, answer []byte) []byte {
				if method == "GET" && path == tt.path {
					return tt.change(answer)
				}
				return answer
			})
			if tt.class == nil {
				_, err := json.Marshal(describeKey(t, b, "k"))
				require.NoError(t, err, "the times of a key can be written")
				if tt.path == transit {
					resp, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k"})
					require.NoError(t, err)
					_, err = json.Marshal(resp.Key)
					require.NoError(t, err)
				}
				return
			}
			err := decrypt(t, b, blob, nil)
			require.ErrorIs(t, err, tt.class)
			require.ErrorContains(t, err, tt.says)
			require.Less(t, len(err.Error()), 1000)
			_, err = b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k"})
			require.ErrorIs(t, err, tt.class, "the request is not to blame")
			f.set(nil, nil)
			require.NoError(t, decrypt(t, b, blob, nil))
		})
	}
}

// That a key was never made follows from an answer of Vault's, and not from one with a version that none has.
func TestAnAbsurdVersionOfALostEntryIsNoFreeName(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		for version, want := range map[string]error{"4294967296": kms.ErrKeyMaterial, "4294967297": kms.ErrUnavailable, "18446744073709551615": kms.ErrUnavailable} {
			f := newFakeVault()
			b := f.open(t, engine)
			f.set(func(method, path string, _ []byte) (int, string) {
				if method == "GET" && path == "secret/data/objectkms/keys/k" {
					return 404, `{"data":{"data":null,"metadata":{"version":` + version + `}}}`
				}
				return 0, ""
			}, nil)
			_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
			require.ErrorIs(t, err, want, version)
		}
	})
}

func TestAnEntryThatIsNoRecordIsNotRepeatedInTheError(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		f := newFakeVault()
		b := f.open(t, engine)
		f.put("objectkms/keys/k", `{"`+strings.Repeat("x", 100<<10)+`":1}`)
		_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
		require.ErrorContains(t, err, `unknown field "xxx`)
		require.Less(t, len(err.Error()), 1000)
	})
}

func TestAMountOfATypeWithoutAnEnd(t *testing.T) {
	for _, field := range []string{"type", "path", "options"} {
		f := newFakeVault()
		f.set(nil, func(_, path string, answer []byte) []byte {
			if path != "sys/internal/ui/mounts/secret" {
				return answer
			}
			long := strings.Repeat("x\n", 1<<20)
			if field == "options" {
				return setting(field, map[string]string{"version": long})(answer)
			}
			return setting(field, long)(answer)
		})
		_, err := f.tryOpen(t, vault.Transit)
		require.ErrorIs(t, err, kms.ErrInvalidConfig)
		require.Less(t, len(err.Error()), 1000)
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestANameThatIsListedOftenIsOneKey(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		f := newFakeVault()
		b := f.open(t, engine)
		createKey(t, b, "k")
		createKey(t, b, "l")
		f.set(nil, func(_, path string, answer []byte) []byte {
			if strings.HasPrefix(path, "secret/metadata/") || path == "transit/keys" {
				return setting("keys", []string{"l", "k", "l", "k", "k"})(answer)
			}
			return answer
		})
		list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
		require.NoError(t, err)
		require.Len(t, list.Keys, 2)
		require.Equal(t, "k", list.Keys[0].ID)
		require.Equal(t, "l", list.Keys[1].ID)
	})
}
