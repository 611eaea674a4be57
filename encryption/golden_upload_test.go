package encryption_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
)

// A goldenUpload is what was stored of an object before its upload was complete.
type goldenUpload struct {
	ID    string       `json:"id"`
	State string       `json:"state"`
	Parts []goldenPart `json:"parts"`
}

type goldenPart struct {
	Number  int    `json:"number"`
	Size    int    `json:"size"`
	ETag    string `json:"etag"`
	Receipt string `json:"receipt"`
}

func (u *goldenUpload) receipts(t testing.TB) (receipts []encryption.PartReceipt) {
	t.Helper()
	for _, part := range u.Parts {
		var receipt encryption.PartReceipt
		require.NoError(t, receipt.UnmarshalText([]byte(part.Receipt)))
		require.Equal(t, part.Number, receipt.Number)
		receipt.ETag = part.ETag
		receipts = append(receipts, receipt)
	}
	return receipts
}

func TestUploadsOfVersion1CanBeCompletedForEver(t *testing.T) {
	manifest, ring := readGolden(t)
	svc := encryption.NewService(ring, encryption.Options{})
	uploads := 0
	for _, o := range manifest.Objects {
		if o.Upload == nil {
			continue
		}
		uploads++
		t.Run(o.Name, func(t *testing.T) {
			req := func() *encryption.Request {
				if o.Mode != "SSE-C" {
					return nil
				}
				key, err := hex.DecodeString(manifest.CustomerKey)
				require.NoError(t, err)
				return &encryption.Request{CustomerKey: kms.NewSecret(key)}
			}
			state := new(encryption.UploadState)
			require.NoError(t, state.UnmarshalText([]byte(o.Upload.State)))
			upload, err := svc.OpenUpload(t.Context(), o.id(), o.Upload.ID, state, req())
			require.NoError(t, err)
			defer upload.Close()
			env, err := upload.Complete(t.Context(), o.id(), o.Upload.receipts(t))
			require.NoError(t, err)

			stored, err := encryption.ParseEnvelope(map[string]string{"objectkms-envelope": o.Envelope})
			require.NoError(t, err)
			require.Equal(t, stored.Parts().Layout, env.Parts().Layout)
			body, err := os.ReadFile(filepath.Join(golden, o.Body))
			require.NoError(t, err)
			plain, err := get(t.Context(), svc, o.id(), env, req(), bytes.NewReader(body))
			require.NoError(t, err)
			require.Equal(t, o.PlainSHA256, sha256Hex(plain))
		})
	}
	require.Equal(t, 3, uploads)
}

// TestWriteGoldenUploads adds objects that were uploaded in parts to the files of this version. It changes none that exist.
func TestWriteGoldenUploads(t *testing.T) {
	if os.Getenv("OBJECTKMS_WRITE_GOLDEN") == "" {
		t.Skip("OBJECTKMS_WRITE_GOLDEN is not set")
	}
	manifest, ring := readGolden(t)
	ring.defaultKey = "golden-default"
	for _, o := range []struct {
		name, version string
		req           *encryption.Request
		pieces        []piece
	}{
		{"sse-s3-parts", "", &encryption.Request{Mode: encryption.SSES3}, []piece{{1, 16384}, {2, 16384}, {3, 7}}},
		{"sse-kms-parts", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
			&encryption.Request{Mode: encryption.SSEKMS, KeyID: "golden.key_2", Context: kms.EncryptionContext{"tenant": "blue"}},
			[]piece{{2, 100}, {3, 0}, {7, 100}, {10000, 5}}},
		{"sse-c-parts", "null", &encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()}, []piece{{1, 20000}}},
	} {
		manifest.Objects = append(manifest.Objects, writeGoldenUpload(t, ring, o.name, o.version, o.req, o.pieces))
	}
	old, err := os.ReadFile(filepath.Join(golden, "manifest.json"))
	require.NoError(t, err)
	b, err := json.MarshalIndent(manifest, "", "  ")
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(b, bytes.TrimSuffix(old, []byte("\n  ]\n}\n"))), "golden files are frozen")
	require.NoError(t, os.WriteFile(filepath.Join(golden, "manifest.json"), append(b, '\n'), 0o644))
}

func writeGoldenUpload(t *testing.T, ring *ring, name, version string, req *encryption.Request, pieces []piece) goldenObject {
	o := goldenObject{Name: name, Bucket: "golden-bucket", Key: "dir/größe/" + name, Version: version, Mode: req.Mode.String(), Context: req.Context, Body: name + ".bin"}
	for _, piece := range pieces {
		o.PlainSize += piece.size
	}
	plain := goldenPlain(o.PlainSize)
	o.PlainSHA256, o.Upload = sha256Hex(plain), &goldenUpload{ID: "upload-" + name}
	upload, err := encryption.NewService(ring, encryption.Options{}).CreateUpload(t.Context(), o.id(), o.Upload.ID, req)
	require.NoError(t, err)
	defer upload.Close()
	state, err := upload.State().MarshalText()
	require.NoError(t, err)
	o.Upload.State = string(state)
	var body []byte
	for _, piece := range pieces {
		part := encryptPart(t, upload, piece.number, plain[:piece.size])
		plain, body = plain[piece.size:], append(body, part.body...)
		o.Upload.Parts = append(o.Upload.Parts, goldenPart{piece.number, piece.size, part.etag, part.receipt})
	}
	env, err := upload.Complete(t.Context(), o.id(), o.Upload.receipts(t))
	require.NoError(t, err)
	o.Envelope, o.KeyID = text(t, env), env.KeyID()
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
