package encryption_test

import (
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// A textForm is what all that is stored in text has.
type textForm interface {
	encoding.TextMarshaler
	encoding.TextUnmarshaler
}

// fuzzText checks that a text is either refused as it must be, or the one that comes back.
func fuzzText(t *testing.T, value textForm, text []byte) {
	err := value.UnmarshalText(text)
	if err != nil {
		if len(text) == 0 {
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
		} else {
			require.ErrorIs(t, err, kms.ErrDecrypt)
		}
		return
	}
	again, err := value.MarshalText()
	require.NoError(t, err)
	require.Equal(t, string(text), string(again))
}

func FuzzUploadState(f *testing.F) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		f.Add([]byte(newUpload(f, ring, photo, p).state))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fuzzText(t, new(encryption.UploadState), text)
		encoded := base64.RawURLEncoding.AppendEncode(nil, text)
		fuzzText(t, new(encryption.UploadState), encoded)
	})
}

func FuzzPartReceipt(f *testing.F) {
	u := newUpload(f, newRing("default"), photo, protections()[0])
	for _, number := range []int{1, 10_000} {
		u.put(f, number, nil)
		f.Add([]byte(u.parts[number].receipt))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fuzzText(t, new(encryption.PartReceipt), text)
		encoded := base64.RawURLEncoding.AppendEncode(nil, text)
		fuzzText(t, new(encryption.PartReceipt), encoded)
	})
}

// envelopeOfLayout returns an envelope of SSE-S3 with these bytes for a layout.
func envelopeOfLayout(layout []byte) []byte {
	b := append([]byte{1, 1, 0, 0, 1, 'k', 0, 0}, layout...)
	b = append(b, make([]byte, 104)...)
	return append(b, 0, 1, 'w')
}

func FuzzLayout(f *testing.F) {
	ring := newRing("default")
	for _, pieces := range layouts {
		env, _, _ := ring.upload(f, photo, protections()[0], pieces...)
		b := binaryForm(f, env)
		f.Add(b[3+2+len("default")+2 : len(b)-104-2-len(env.Parts().Wrapped)])
	}
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, layout []byte) {
		env, err := parseBinary(envelopeOfLayout(layout))
		if err != nil {
			require.ErrorIs(t, err, kms.ErrDecrypt)
			return
		}
		require.Equal(t, envelopeOfLayout(layout), binaryForm(t, env))
		size := env.PlainSize()
		require.True(t, size >= 0 && size <= encryption.MaxPlainSize)
		stored := env.Parts().StoredSize()
		require.Greater(t, stored, size)
		info, err := encryption.Info(env, stored)
		require.NoError(t, err)
		require.LessOrEqual(t, info.Parts, 10_000)
		for _, off := range []int64{0, 1, size / 3, size / 2, size - 1, size} {
			if off < 0 || off > size {
				continue
			}
			for _, n := range []int64{0, 1, (size - off) / 2, size - off} {
				if n > size-off {
					continue
				}
				start, length, err := env.Parts().Span(off, n)
				require.NoError(t, err)
				require.True(t, start >= 0 && length >= 0 && start+length <= stored, "%d+%d of %d", start, length, stored)
				require.Equal(t, n == 0 && off < size, length == 0)
			}
		}
	})
}

// run returns the binary form of a run of parts.
func run(first, count uint16, size uint64) []byte {
	b := binary.BigEndian.AppendUint16(nil, first)
	b = binary.BigEndian.AppendUint16(b, count)
	return binary.BigEndian.AppendUint64(b, size)
}

func partsLayout(runs ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{2}, uint16(len(runs)))
	for _, run := range runs {
		b = append(b, run...)
	}
	return append(b, make([]byte, 32)...)
}

func TestMalformedLayoutsAreRefused(t *testing.T) {
	maxSize := uint64(encryption.MaxPlainSize)
	for name, good := range map[string][]byte{
		"one part":      partsLayout(run(1, 1, 0)),
		"all parts":     partsLayout(run(1, 10_000, 5)),
		"last part":     partsLayout(run(10_000, 1, maxSize)),
		"gap":           partsLayout(run(1, 2, 5), run(4, 1, 5)),
		"another size":  partsLayout(run(1, 2, 5), run(3, 1, 6)),
		"full":          partsLayout(run(1, 1, maxSize), run(2, 9999, 0)),
		"in two halves": partsLayout(run(1, 2, maxSize/2), run(3, 1, 1)),
	} {
		env, err := parseBinary(envelopeOfLayout(good))
		require.NoError(t, err, name)
		require.Equal(t, envelopeOfLayout(good), binaryForm(t, env), name)
	}
	many := make([][]byte, 1366)
	for i := range many {
		many[i] = run(uint16(2*i+1), 1, 0)
	}
	require.NoError(t, errorOf(parseBinary(envelopeOfLayout(partsLayout(many[:1365]...)))))
	for _, tt := range []struct {
		want string
		bad  []byte
	}{
		{"has 0 runs of parts", partsLayout()},
		{"has 1366 runs of parts, want 1 to 1365", partsLayout(many...)},
		{"has 1 parts from number 0 on", partsLayout(run(0, 1, 5))},
		{"has 0 parts from number 1 on", partsLayout(run(1, 0, 5))},
		{"has 10001 parts from number 1 on", partsLayout(run(1, 10_001, 5))},
		{"has 2 parts from number 10000 on", partsLayout(run(10_000, 2, 5))},
		{"has 1 parts from number 10001 on", partsLayout(run(10_001, 1, 5))},
		{"has 65535 parts from number 65535 on", partsLayout(run(65_535, 65_535, 5))},
		{"has 1 parts from number 1 on, want numbers from 2 to 10000", partsLayout(run(1, 1, 5), run(1, 1, 6))},
		{"has 1 parts from number 2 on, want numbers from 3 to 10000", partsLayout(run(1, 2, 5), run(2, 1, 6))},
		{"belongs to the one before it", partsLayout(run(1, 2, 5), run(3, 1, 5))},
		{"belongs to the one before it", partsLayout(run(1, 1, 0), run(2, 1, 0))},
		{"has parts of", partsLayout(run(1, 1, maxSize+1))},
		{"has parts of", partsLayout(run(1, 1, 1<<63))},
		{"has more than 4503599627370495 bytes in its parts", partsLayout(run(1, 2, maxSize))},
		{"has more than 4503599627370495 bytes in its parts", partsLayout(run(1, 10_000, maxSize))},
		{"has more than 4503599627370495 bytes in its parts", partsLayout(run(1, 1, maxSize), run(2, 1, 1))},
		{"is cut short", append([]byte{2, 5, 0}, run(1, 1, 5)...)},
	} {
		_, err := parseBinary(envelopeOfLayout(tt.bad))
		require.ErrorIs(t, err, kms.ErrDecrypt, tt.want)
		require.ErrorContains(t, err, tt.want)
	}
}

func errorOf(_ *encryption.Envelope, err error) error { return err }

func TestHostileTextTakesLittleMemory(t *testing.T) {
	runs := make([]byte, 0, 16<<10)
	for i := range 1365 {
		runs = append(runs, run(uint16(2*i+1), 1, 0)...)
	}
	most := envelopeOfLayout(append(append([]byte{2, 1365 >> 8, 1365 & 0xff}, runs...), make([]byte, 32)...))
	hostile := []string{
		base64.RawURLEncoding.EncodeToString(most), strings.Repeat("A", 16<<10), strings.Repeat("_", 16<<10), strings.Repeat("A", 1<<20),
		base64.RawURLEncoding.EncodeToString(envelopeOfLayout(append([]byte{2, 0xff, 0xff}, runs[:12<<10]...))),
	}
	for _, text := range hostile {
		for _, value := range []encoding.TextUnmarshaler{new(encryption.Envelope), new(encryption.UploadState), new(encryption.PartReceipt)} {
			b := []byte(text)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = value.UnmarshalText(b)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
		}
	}
}
