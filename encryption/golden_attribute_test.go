package encryption_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// A goldenAttribute is what was sealed about a golden object.
type goldenAttribute struct {
	Object string `json:"object"`
	Name   string `json:"name"`
	Value  string `json:"value"`
	Sealed string `json:"sealed"`
}

// openGolden opens a golden object without its body.
func openGolden(t testing.TB, ring *ring, manifest goldenManifest, o goldenObject) *encryption.Object {
	t.Helper()
	env, err := encryption.ParseEnvelope(map[string]string{"objectkms-envelope": o.Envelope})
	require.NoError(t, err)
	req := new(encryption.Request)
	if env.Mode() == encryption.SSEC {
		key, err := hex.DecodeString(manifest.CustomerKey)
		require.NoError(t, err)
		req.CustomerKey = kms.NewSecret(key)
	}
	stored, err := os.Stat(filepath.Join(golden, o.Body))
	require.NoError(t, err)
	object, err := encryption.NewService(ring, encryption.Options{}).OpenObject(t.Context(), o.id(), env, req, stored.Size())
	require.NoError(t, err)
	t.Cleanup(func() { object.Close() })
	return object
}

func TestAttributesOfVersion1OpenForEver(t *testing.T) {
	manifest, ring := readGolden(t)
	b, err := os.ReadFile(filepath.Join(golden, "attributes.json"))
	require.NoError(t, err)
	var attributes []goldenAttribute
	require.NoError(t, json.Unmarshal(b, &attributes))
	require.Len(t, attributes, 14)
	for _, a := range attributes {
		for _, o := range manifest.Objects {
			value, err := openGolden(t, ring, manifest, o).OpenAttribute(a.Name, []byte(a.Sealed))
			if o.Name != a.Object {
				require.Equal(t, kms.ErrDecrypt, err)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, a.Value, hex.EncodeToString(value))
		}
	}
}

// TestWriteGoldenAttributes seals something about some golden objects of this version. It changes no file that exists.
func TestWriteGoldenAttributes(t *testing.T) {
	if os.Getenv("OBJECTKMS_WRITE_GOLDEN") == "" {
		t.Skip("OBJECTKMS_WRITE_GOLDEN is not set")
	}
	manifest, ring := readGolden(t)
	var attributes []goldenAttribute
	for _, o := range manifest.Objects {
		if o.PlainSize != 1 && o.Upload == nil {
			continue
		}
		object := openGolden(t, ring, manifest, o)
		for name, value := range map[string][]byte{"x-amz-checksum-crc32c": {0xde, 0xad, 0xbe, 0xef}, "größe": goldenPlain(o.PlainSize)[:min(o.PlainSize, 100)]} {
			if name == "größe" && o.Upload != nil && o.Mode == "SSE-S3" {
				value = nil
			}
			sealed, err := object.SealAttribute(name, value)
			require.NoError(t, err)
			attributes = append(attributes, goldenAttribute{o.Name, name, hex.EncodeToString(value), string(sealed)})
		}
	}
	b, err := json.MarshalIndent(attributes, "", "  ")
	require.NoError(t, err)
	writeNew(t, "attributes.json", append(b, '\n'))
}
