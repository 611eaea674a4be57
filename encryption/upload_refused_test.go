package encryption_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

func TestReceiptsAreShortAndKeepTheirText(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	u.put(t, 10_000, []byte("meow"))
	encoded := u.parts[10_000].receipt
	require.Less(t, len(encoded), 300)
	receipt := u.receipts(t, 10_000)[0]
	again, err := receipt.MarshalText()
	require.NoError(t, err)
	require.Equal(t, encoded, string(again))
}

func TestChangedReceiptsAreRefused(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	u.put(t, 258, []byte("meow"))
	opened := u.opened(t)
	raw, err := base64.RawURLEncoding.DecodeString(u.parts[258].receipt)
	require.NoError(t, err)
	for bit := range 8 * len(raw) {
		raw[bit/8] ^= 1 << (bit % 8)
		var receipt encryption.PartReceipt
		err := receipt.UnmarshalText([]byte(base64.RawURLEncoding.EncodeToString(raw)))
		if err == nil {
			receipt.ETag = u.parts[258].etag
			_, err = opened.Complete(t.Context(), photo, []encryption.PartReceipt{receipt})
		}
		require.ErrorIs(t, err, kms.ErrDecrypt, bit)
		raw[bit/8] ^= 1 << (bit % 8)
	}
}

func TestMalformedReceiptsAreRefused(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	u.put(t, 1, nil)
	good := u.parts[1].receipt
	raw := func(number uint16, n int) string {
		return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint16(nil, number), make([]byte, n)...))
	}
	const least, most = 8 + 56 + 1 + 1 + 72, 8 + 56 + 1 + 64 + 72
	for _, bad := range []string{
		good + "\n", good[:10] + "\r\n" + good[10:], good + "=", " " + good, "!", `"` + good + `"`,
		raw(0, least), raw(10_001, least), raw(1, least-1), raw(1, most+1), raw(1, 0), "AA", strings.Repeat("A", 1<<20),
	} {
		receipt := encryption.PartReceipt{Number: 7, ETag: "x"}
		require.ErrorIs(t, receipt.UnmarshalText([]byte(bad)), kms.ErrDecrypt)
		require.Equal(t, encryption.PartReceipt{Number: 7, ETag: "x"}, receipt, "left alone")
	}
	for _, fine := range []string{raw(1, least), raw(10_000, most)} {
		require.NoError(t, new(encryption.PartReceipt).UnmarshalText([]byte(fine)))
	}
	require.ErrorIs(t, new(encryption.PartReceipt).UnmarshalText(nil), kms.ErrInvalidRequest)
	for _, none := range []encryption.PartReceipt{{}, {Number: 1}, {ETag: "x"}} {
		_, err := none.MarshalText()
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
	receipt := u.receipts(t, 1)[0]
	for _, number := range []int{0, -1, 10_001, 65_537} {
		receipt.Number = number
		_, err := receipt.MarshalText()
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
}

// Only who has the object key can seal these. They are refused all the same.
func TestReceiptsOfImpossiblePartsAreRefused(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	u.put(t, 1, nil)
	opened := u.opened(t)
	seal := func(size uint64, etag string, length byte, extra ...byte) encryption.PartReceipt {
		b := append(binary.BigEndian.AppendUint64(nil, size), make([]byte, 56)...)
		b = append(append(append(b, length), etag...), extra...)
		sealed, err := cobblestone.Seal(nil, opened.Keys()[0].Bytes(), encctx.Bind(nil, "receipt", []byte(uploadID), encctx.Uint32(1)), b)
		require.NoError(t, err)
		return encryption.PartReceipt{Number: 1, ETag: etag}.WithSealed(sealed)
	}
	complete := func(receipt encryption.PartReceipt) error {
		_, err := opened.Complete(t.Context(), photo, []encryption.PartReceipt{receipt})
		return err
	}
	maxSize := uint64(encryption.MaxPlainSize)
	long := strings.Repeat("x", 64)
	require.NoError(t, complete(seal(maxSize, "x", 1)))
	require.NoError(t, complete(seal(0, long, 64)))
	for _, bad := range []encryption.PartReceipt{
		seal(maxSize+1, "x", 1), seal(1<<63, "x", 1), seal(0, "", 0), seal(0, long+"x", 65), seal(0, "xy", 1), seal(0, "x", 2), seal(0, "x", 1, 0),
		seal(0, "\x1f", 1), seal(0, "\x7f", 1), seal(0, "ä", 2),
	} {
		require.ErrorIs(t, complete(bad), kms.ErrDecrypt)
	}
}

// Receipts of two uploads in all pairs of modes: only a row of an upload's own completes it.
func TestSwappedReceiptsAreRefused(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		for _, q := range protections() {
			a, b := newUpload(t, ring, photo, p), newUpload(t, ring, photo, q)
			var receipts [2][2]encryption.PartReceipt // of upload, of number
			for i, u := range []*upload{a, b} {
				u.put(t, 1, []byte("same"))
				u.put(t, 2, []byte("same"))
				copy(receipts[i][:], u.receipts(t, 1, 2))
			}
			opened := a.opened(t)
			for mask := range 1 << 6 {
				row := []encryption.PartReceipt{receipts[0][0], receipts[0][1]}
				for i := range row {
					if mask&(1<<i) != 0 {
						row[i] = row[i].WithSealed(receipts[1][i].Sealed())
					}
					if mask&(4<<i) != 0 {
						row[i].ETag = receipts[1][i].ETag
					}
				}
				if mask&16 != 0 {
					row[0], row[1] = row[0].WithSealed(row[1].Sealed()), row[1].WithSealed(row[0].Sealed())
				}
				if mask&32 != 0 {
					row[0].ETag, row[1].ETag = row[1].ETag, row[0].ETag
				}
				_, err := opened.Complete(t.Context(), photo, row)
				require.Equal(t, mask == 0, err == nil, "%s and %s: %06b: %v", p.name, q.name, mask, err)
			}
		}
	}
}

func TestWhatAClientDoesWrongToComplete(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	for number := 1; number <= 3; number++ {
		u.put(t, number, []byte("meow"))
	}
	old := u.receipts(t, 2)[0]
	u.put(t, 2, []byte("purr"))
	r := func(numbers ...int) []encryption.PartReceipt { return u.receipts(t, numbers...) }
	withETag := func(etag string) []encryption.PartReceipt {
		parts := r(1, 2)
		parts[1].ETag = etag
		return parts
	}
	opened := u.opened(t)
	for _, tt := range []struct {
		name  string
		parts []encryption.PartReceipt
		code  string
	}{
		{"none", nil, "MalformedXML"},
		{"falling", r(2, 1), "InvalidPartOrder"},
		{"twice", r(1, 1), "InvalidPartOrder"},
		{"unknown", append(r(1), encryption.PartReceipt{Number: 4, ETag: u.parts[1].etag}), "InvalidPart"},
		{"wrong ETag", withETag(u.parts[1].etag), "InvalidPart"},
		{"no ETag", withETag(""), "InvalidPart"},
		{"half quoted", withETag(`"` + u.parts[2].etag), "InvalidPart"},
		{"quote", withETag(`"`), "InvalidPart"},
		{"ETag of an earlier attempt", withETag(old.ETag), "InvalidPart"},
		{"number 0", []encryption.PartReceipt{{}}, "InvalidArgument"},
		{"number 10001", append(r(1), encryption.PartReceipt{Number: 10_001}), "InvalidArgument"},
		{"too many", make([]encryption.PartReceipt, 10_001), "InvalidArgument"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := opened.Complete(t.Context(), photo, tt.parts)
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
			answer := encryption.S3Error(err)
			require.Equal(t, tt.code, answer.Code)
			require.Equal(t, 400, answer.Status)
		})
	}
	_, err := opened.Complete(t.Context(), photo, withETag(`"`+u.parts[2].etag+`"`))
	require.NoError(t, err, "clients send quotes")
	for _, id := range []encryption.ObjectID{{}, {Bucket: photo.Bucket, Key: "dog"}, {Bucket: "other", Key: photo.Key}} {
		_, err := opened.Complete(t.Context(), id, r(1))
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = opened.Complete(ctx, photo, r(1))
	require.Equal(t, context.Canceled, err)
	for _, number := range []int{0, -1, 10_001} {
		_, err := opened.EncryptPart(number, bytes.NewReader(nil))
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		require.Equal(t, "InvalidArgument", encryption.S3Error(err).Code)
	}
}

func TestPartsOfTooManySizes(t *testing.T) {
	ring := newRing("default", "other")
	const most = 16 << 10 / 12
	pieces := make([]piece, most+1)
	for i := range pieces {
		pieces[i] = piece{2*i + 1, i % 2} // no two are equal neighbours
	}
	env, body, plain := ring.upload(t, photo, protections()[2], pieces[:most]...)
	require.Equal(t, 16380+32+3, len(binaryForm(t, env))-len(binaryForm(t, firstEnvelope(t, ring)))+9)
	requireReadable(t, ring, photo, env, protections()[2], body, plain)

	u := newUpload(t, ring, photo, protections()[0])
	opened := u.opened(t)
	var numbers []int
	for _, piece := range pieces {
		u.parts[piece.number] = encryptPart(t, opened, piece.number, make([]byte, piece.size))
		numbers = append(numbers, piece.number)
	}
	_, err := opened.Complete(t.Context(), photo, u.receipts(t, numbers...))
	require.ErrorIs(t, err, kms.ErrInvalidRequest)

	// What fits by itself does not fit beside everything else.
	ring.generate = func(dk *kms.GenerateDataKeyResponse) { dk.Ciphertext = append(dk.Ciphertext, make([]byte, 8000)...) }
	_, err = encryption.NewService(ring, encryption.Options{}).Rewrap(t.Context(), photo, env, nil, photo, protections()[0].write())
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
}

// firstEnvelope returns the envelope of an object of one message that is protected as the third protection says.
func firstEnvelope(t *testing.T, ring *ring) *encryption.Envelope {
	env, _ := put(t, encryption.NewService(ring, encryption.Options{}), photo, protections()[2].write(), nil)
	return env
}

func TestPartsOfMoreThanAnObjectHolds(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	u.put(t, 1, nil)
	u.put(t, 2, nil)
	opened := u.opened(t)
	parts := u.receipts(t, 1, 2)
	for i, size := range []int64{encryption.MaxPlainSize, 1} {
		b := append(binary.BigEndian.AppendUint64(nil, uint64(size)), make([]byte, 56)...)
		b = append(append(b, 1), 'x')
		sealed, err := cobblestone.Seal(nil, opened.Keys()[0].Bytes(), encctx.Bind(nil, "receipt", []byte(uploadID), encctx.Uint32(uint32(i+1))), b)
		require.NoError(t, err)
		parts[i] = encryption.PartReceipt{Number: i + 1, ETag: "x"}.WithSealed(sealed)
	}
	_, err := opened.Complete(t.Context(), photo, parts[:1])
	require.NoError(t, err)
	_, err = opened.Complete(t.Context(), photo, parts)
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
}
