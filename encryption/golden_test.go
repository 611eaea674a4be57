package encryption_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
)

// The files in testdata/v1 are frozen. Its README.md says what the fields are.
const golden = "testdata/v1"

type goldenManifest struct {
	Format      int               `json:"format"`
	MasterKeys  []goldenMasterKey `json:"master_keys"`
	CustomerKey string            `json:"customer_key"`
	Objects     []goldenObject    `json:"objects"`
}

type goldenMasterKey struct {
	ID       string `json:"id"`
	Version  uint32 `json:"version"`
	Material string `json:"material"`
}

type goldenObject struct {
	Name        string                `json:"name"`
	Mode        string                `json:"mode"`
	Bucket      string                `json:"bucket"`
	Key         string                `json:"key"`
	Version     string                `json:"version"`
	KeyID       string                `json:"key_id"`
	BucketKey   bool                  `json:"bucket_key"`
	Context     kms.EncryptionContext `json:"context"`
	DataKey     string                `json:"data_key"`
	ObjectKey   string                `json:"object_key"`
	Envelope    string                `json:"envelope"`
	Body        string                `json:"body"`
	PlainSize   int                   `json:"plain_size"`
	PlainSHA256 string                `json:"plain_sha256"`
	Upload      *goldenUpload         `json:"upload,omitempty"`
}

func (o goldenObject) id() encryption.ObjectID {
	return encryption.ObjectID{Bucket: o.Bucket, Key: o.Key, Version: o.Version}
}

func readGolden(t testing.TB) (goldenManifest, *ring) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(golden, "manifest.json"))
	require.NoError(t, err)
	var manifest goldenManifest
	require.NoError(t, json.Unmarshal(b, &manifest))
	require.Equal(t, 1, manifest.Format)
	ring := &ring{masters: make(map[string][]byte)}
	for _, key := range manifest.MasterKeys {
		material, err := hex.DecodeString(key.Material)
		require.NoError(t, err)
		ring.masters[key.ID], ring.version = material, key.Version
	}
	return manifest, ring
}

func TestObjectsOfVersion1OpenForEver(t *testing.T) {
	manifest, ring := readGolden(t)
	svc := encryption.NewService(ring, encryption.Options{})
	require.Len(t, manifest.Objects, 16)
	for _, o := range manifest.Objects {
		t.Run(o.Name, func(t *testing.T) {
			body, err := os.ReadFile(filepath.Join(golden, o.Body))
			require.NoError(t, err)
			env, err := encryption.ParseEnvelope(map[string]string{"objectkms-envelope": o.Envelope})
			require.NoError(t, err)
			require.Equal(t, o.Mode, env.Mode().String())
			require.Equal(t, o.KeyID, env.KeyID())
			require.Equal(t, o.BucketKey, env.BucketKey())
			require.Equal(t, o.Context, env.Context())
			require.EqualValues(t, o.PlainSize, env.PlainSize())

			req := new(encryption.Request)
			if env.Mode() == encryption.SSEC {
				key, err := hex.DecodeString(manifest.CustomerKey)
				require.NoError(t, err)
				req.CustomerKey = kms.NewSecret(key)
			}
			plain, err := get(t.Context(), svc, o.id(), env, req, bytes.NewReader(body))
			require.NoError(t, err)
			require.True(t, bytes.Equal(goldenPlain(o.PlainSize), plain))
			require.Equal(t, o.PlainSHA256, sha256Hex(plain))
		})
	}
}

// goldenPlain returns the plaintext of a golden object: byte i is (7i + size) mod 251.
func goldenPlain(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte((7*i + size) % 251)
	}
	return b
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestWriteGoldenObjects makes the files of a new version. It changes none that exist.
func TestWriteGoldenObjects(t *testing.T) {
	if os.Getenv("OBJECTKMS_WRITE_GOLDEN") == "" {
		t.Skip("OBJECTKMS_WRITE_GOLDEN is not set")
	}
	require.NoError(t, os.MkdirAll(golden, 0o755))
	ring := newRing("golden-default", "golden.key_2")
	ring.version = 258
	manifest := goldenManifest{Format: 1, CustomerKey: hex.EncodeToString(testCustomerKey)}
	for _, id := range []string{"golden-default", "golden.key_2"} {
		manifest.MasterKeys = append(manifest.MasterKeys, goldenMasterKey{id, ring.version, hex.EncodeToString(ring.masters[id])})
	}
	for _, size := range []int{0, 1, 16384, 40000} {
		for name, req := range map[string]*encryption.Request{
			"sse-s3": {Mode: encryption.SSES3},
			"sse-kms": {Mode: encryption.SSEKMS, KeyID: "golden.key_2",
				Context: kms.EncryptionContext{"tenant": "blue", "Ärger": "größe", "tena": "", "Z": "last of the capitals"}},
			"sse-kms-bucket-key": {Mode: encryption.SSEKMS, BucketKey: true, Context: kms.EncryptionContext{"tenant": "red"}},
			"sse-c":              {Mode: encryption.SSEC, CustomerKey: customerKey()},
		} {
			if req.BucketKey && size != 1 {
				continue
			}
			manifest.Objects = append(manifest.Objects, writeGolden(t, ring, name, req, size))
		}
	}
	b, err := json.MarshalIndent(manifest, "", "  ")
	require.NoError(t, err)
	writeNew(t, "manifest.json", append(b, '\n'))
}

func writeGolden(t *testing.T, ring *ring, name string, req *encryption.Request, size int) goldenObject {
	o := goldenObject{Name: fmt.Sprintf("%s-%d", name, size), Bucket: "golden-bucket", Key: "dir/größe/" + name, BucketKey: req.BucketKey, Context: req.Context, PlainSize: size}
	switch req.Mode {
	case encryption.SSEKMS:
		o.Version = "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"
	case encryption.SSEC:
		o.Version = "null"
	}
	plain := goldenPlain(size)
	env, body := put(t, encryption.NewService(ring, encryption.Options{}), o.id(), req, plain)
	o.Mode, o.KeyID, o.Envelope, o.PlainSHA256, o.Body = env.Mode().String(), env.KeyID(), text(t, env), sha256Hex(plain), o.Name+".bin"
	if req.Mode != encryption.SSEC {
		dataKey := ring.issued[len(ring.issued)-1]
		parts := env.Parts()
		objectKey, err := cobblestone.Open(nil, dataKey, parts.SealContext(o.id()), parts.Sealed)
		require.NoError(t, err)
		o.DataKey, o.ObjectKey = hex.EncodeToString(dataKey), hex.EncodeToString(objectKey)
	}
	writeNew(t, o.Body, body)
	return o
}

func writeNew(t *testing.T, name string, content []byte) {
	f, err := os.OpenFile(filepath.Join(golden, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	require.NoError(t, err, "golden files are frozen")
	_, err = f.Write(content)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
