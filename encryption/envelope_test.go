package encryption_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/encctx"
)

func TestEveryChangedBitOfAnEnvelopeIsRefused(t *testing.T) {
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	for _, p := range protections() {
		t.Run(p.name, func(t *testing.T) {
			env, body := put(t, svc, photo, p.write(), []byte("abc"))
			refused := func(changed *encryption.Envelope, err error) {
				t.Helper()
				if err != nil {
					require.ErrorIs(t, err, kms.ErrDecrypt)
					return
				}
				_, err = get(t.Context(), svc, photo, changed, p.read(), bytes.NewReader(body))
				if changed.Mode() == env.Mode() {
					require.ErrorIs(t, err, kms.ErrDecrypt)
				}
				require.Error(t, err)
			}
			raw := binaryForm(t, env)
			for bit := range 8 * len(raw) {
				raw[bit/8] ^= 1 << (bit % 8)
				refused(parseBinary(raw))
				raw[bit/8] ^= 1 << (bit % 8)
			}
			encoded := []byte(text(t, env))
			for bit := range 8 * len(encoded) {
				encoded[bit/8] ^= 1 << (bit % 8)
				refused(encryption.ParseEnvelope(map[string]string{"objectkms-envelope": string(encoded)}))
				encoded[bit/8] ^= 1 << (bit % 8)
			}
		})
	}
}

func TestEveryOtherLengthOfAnEnvelopeIsRefused(t *testing.T) {
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	for _, p := range protections() {
		env, _ := put(t, svc, photo, p.write(), nil)
		raw := binaryForm(t, env)
		for n := range raw {
			_, err := parseBinary(raw[:n])
			want := kms.ErrDecrypt
			if n == 0 {
				want = kms.ErrInvalidRequest // no text is no envelope
			}
			require.ErrorIs(t, err, want, n)
		}
		for _, extra := range []int{1, 2, 100} {
			_, err := parseBinary(append(bytes.Clone(raw), make([]byte, extra)...))
			require.ErrorIs(t, err, kms.ErrDecrypt)
		}
		encoded := text(t, env)
		for n := range len(encoded) - 1 {
			require.ErrorIs(t, new(encryption.Envelope).UnmarshalText([]byte(encoded[:n+1])), kms.ErrDecrypt)
		}
	}
}

func TestOtherSpellingsOfAnEnvelopeAreRefused(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, _ := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, nil)
	encoded, raw := text(t, env), binaryForm(t, env)
	for name, other := range map[string]string{
		"line end":            encoded[:8] + "\n" + encoded[8:],
		"line end at the end": encoded + "\r\n",
		"blank":               encoded[:8] + " " + encoded[8:],
		"padding":             encoded + "=",
		"standard alphabet":   base64.StdEncoding.EncodeToString(raw),
		"hex":                 "01" + strings.Repeat("00", 200),
		"JSON":                `"` + encoded + `"`,
		"nonsense":            "!",
	} {
		if other == encoded {
			continue
		}
		require.ErrorIs(t, new(encryption.Envelope).UnmarshalText([]byte(other)), kms.ErrDecrypt, name)
	}
	// Unused bits of the last digit: only one of the digits that decode alike is canonical.
	for len(raw)%3 == 0 {
		raw = append(raw, 0)
		binary.BigEndian.PutUint16(raw[len(raw)-3-len(env.Parts().Wrapped):], uint16(len(env.Parts().Wrapped)+1))
	}
	canonical := base64.RawURLEncoding.EncodeToString(raw)
	accepted := 0
	for _, digit := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		other := canonical[:len(canonical)-1] + string(digit)
		if new(encryption.Envelope).UnmarshalText([]byte(other)) == nil {
			accepted++
		}
	}
	require.Contains(t, []int{4, 16}, accepted, "one text for each value of the last byte's bits")
}

// rawEnvelope puts a binary envelope together by hand.
func rawEnvelope(version, mode, flags byte, keyID string, context []byte, layout byte, size uint64, wrapped int) []byte {
	b := []byte{version, mode, flags}
	b = binary.BigEndian.AppendUint16(b, uint16(len(keyID)))
	b = append(b, keyID...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(context)))
	b = append(b, context...)
	b = append(b, layout)
	b = binary.BigEndian.AppendUint64(b, size)
	b = append(b, make([]byte, 104)...)
	b = binary.BigEndian.AppendUint16(b, uint16(wrapped))
	return append(b, make([]byte, wrapped)...)
}

func TestMalformedEnvelopesAreRefused(t *testing.T) {
	context := encctx.Append(nil, map[string]string{"a": "1", "b": "2"})
	long := encctx.Append(nil, map[string]string{"a": strings.Repeat("x", 2048-9)})
	maxSize := uint64(encryption.MaxPlainSize)
	for name, good := range map[string][]byte{
		"SSE-S3":            rawEnvelope(1, 1, 0, "k", nil, 1, 5, 1),
		"SSE-S3 bucket key": rawEnvelope(1, 1, 1, "k", nil, 1, 5, 1),
		"SSE-KMS":           rawEnvelope(1, 2, 0, "k", context, 1, 5, 1),
		"SSE-KMS largest":   rawEnvelope(1, 2, 1, strings.Repeat("k", 2048), long, 1, maxSize, 16384),
		"SSE-C":             rawEnvelope(1, 3, 0, "", nil, 1, 0, 0),
	} {
		env, err := parseBinary(good)
		require.NoError(t, err, name)
		require.Equal(t, good, binaryForm(t, env), name)
	}
	for _, tt := range []struct {
		want string
		bad  []byte
	}{
		{"has format version 0, want 1", rawEnvelope(0, 1, 0, "k", nil, 1, 5, 1)},
		{"has format version 2, want 1", rawEnvelope(2, 1, 0, "k", nil, 1, 5, 1)},
		{"has format version 2, want 1", []byte{2}},
		{"is cut short", []byte{1}},
		{"is cut short", rawEnvelope(1, 1, 0, "k", nil, 1, 5, 1)[:123]},
		{"has 2 bytes too many", append(rawEnvelope(1, 1, 0, "k", nil, 1, 5, 1), 0, 0)},
		{"has mode 0, want 1 to 3", rawEnvelope(1, 0, 0, "k", nil, 1, 5, 1)},
		{"has mode 4, want 1 to 3", rawEnvelope(1, 4, 0, "k", nil, 1, 5, 1)},
		{"has flags 0x2, want 0 or 1", rawEnvelope(1, 1, 2, "k", nil, 1, 5, 1)},
		{"has flags 0xff, want 0 or 1", rawEnvelope(1, 1, 0xff, "k", nil, 1, 5, 1)},
		{"has a key id of 0 bytes", rawEnvelope(1, 1, 0, "", nil, 1, 5, 1)},
		{"has a key id of 2049 bytes", rawEnvelope(1, 1, 0, strings.Repeat("k", 2049), nil, 1, 5, 1)},
		{"has a key id of 1 bytes, want 1 to 2048 of UTF-8", rawEnvelope(1, 1, 0, "\xff", nil, 1, 5, 1)},
		{"of mode SSE-S3 has an encryption context", rawEnvelope(1, 1, 0, "k", context, 1, 5, 1)},
		{"has a malformed encryption context", rawEnvelope(1, 2, 0, "k", append(bytes.Clone(context[10:]), context[:10]...), 1, 5, 1)},
		{"has a malformed encryption context", rawEnvelope(1, 2, 0, "k", context[:9], 1, 5, 1)},
		{"has a malformed encryption context", rawEnvelope(1, 2, 0, "k", encctx.Append(nil, map[string]string{"a": "\xff"}), 1, 5, 1)},
		{"has a malformed encryption context", rawEnvelope(1, 2, 0, "k", encctx.Append(nil, map[string]string{"aws:s3:arn": "x"}), 1, 5, 1)},
		{"has an encryption context of 2049 bytes", rawEnvelope(1, 2, 0, "k", encctx.Append(nil, map[string]string{"a": strings.Repeat("x", 2048-8)}), 1, 5, 1)},
		{"has layout 0, want 1", rawEnvelope(1, 1, 0, "k", nil, 0, 5, 1)},
		{"has layout 3, want 1 or 2", rawEnvelope(1, 1, 0, "k", nil, 3, 5, 1)},
		{"has 0 runs of parts, want 1 to 1365", rawEnvelope(1, 1, 0, "k", nil, 2, 5, 1)},
		{"has an object size of", rawEnvelope(1, 1, 0, "k", nil, 1, maxSize+1, 1)},
		{"has an object size of", rawEnvelope(1, 1, 0, "k", nil, 1, 1<<63, 1)},
		{"has a wrapped data key of 0 bytes", rawEnvelope(1, 1, 0, "k", nil, 1, 5, 0)},
		{"has a wrapped data key of 16385 bytes", rawEnvelope(1, 1, 0, "k", nil, 1, 5, 16385)},
		{"has 65658 bytes, want at most 24576", rawEnvelope(1, 1, 0, "k", nil, 1, 5, 65535)},
		{"of mode SSE-C has", rawEnvelope(1, 3, 1, "", nil, 1, 5, 0)},
		{"of mode SSE-C has", rawEnvelope(1, 3, 0, "k", nil, 1, 5, 0)},
		{"of mode SSE-C has", rawEnvelope(1, 3, 0, "", context, 1, 5, 0)},
		{"of mode SSE-C has", rawEnvelope(1, 3, 0, "", nil, 1, 5, 1)},
	} {
		before := *envelopeOf(t)
		env := before
		err := env.UnmarshalText([]byte(base64.RawURLEncoding.EncodeToString(tt.bad)))
		require.ErrorIs(t, err, kms.ErrDecrypt, tt.want)
		require.NotErrorIs(t, err, kms.ErrInvalidRequest, tt.want)
		require.ErrorContains(t, err, "decryption failed: envelope "+tt.want)
		require.Equal(t, before, env, "left alone")
	}
}

// envelopeOf returns an envelope that can be parsed.
func envelopeOf(t testing.TB) *encryption.Envelope {
	env, err := parseBinary(rawEnvelope(1, 1, 0, "k", nil, 1, 5, 1))
	require.NoError(t, err)
	return env
}

func TestMissingEnvelopeIsNeverPlaintext(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	for _, metadata := range []map[string]string{nil, {}, {"Objectkms-Envelope": text(t, envelopeOf(t))}, {"objectkms-envelope": ""}} {
		_, err := encryption.ParseEnvelope(metadata)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		require.NotErrorIs(t, err, kms.ErrDecrypt)
	}
	for _, env := range []*encryption.Envelope{nil, {}} {
		_, err := svc.DecryptStream(t.Context(), photo, env, nil, strings.NewReader("plaintext"))
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = svc.OpenObject(t.Context(), photo, env, nil, 9)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = svc.Rewrap(t.Context(), photo, env, nil, photo, &encryption.Request{Mode: encryption.SSES3})
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = encryption.Info(env, 9)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = env.MarshalText()
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		require.Nil(t, env.Map())
		require.Equal(t, encryption.None, env.Mode())
	}
}

func TestEnvelopeTravelsInMetadataAndInJSON(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	req := &encryption.Request{Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"tenant": "blue"}}
	env, body := put(t, svc, photo, req, random(10))

	metadata := map[string]string{"content-type": "image/jpeg"}
	for name, value := range env.Map() {
		metadata[name] = value
	}
	require.Len(t, metadata, 2)
	parsed, err := encryption.ParseEnvelope(metadata)
	require.NoError(t, err)
	require.Equal(t, env, parsed)
	require.Regexp(t, "^[A-Za-z0-9_-]+$", metadata["objectkms-envelope"])

	encoded, err := json.Marshal(env)
	require.NoError(t, err)
	var decoded encryption.Envelope
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	_, err = get(t.Context(), svc, photo, &decoded, nil, bytes.NewReader(body))
	require.NoError(t, err)

	env.Context()["tenant"] = "green"
	require.Equal(t, kms.EncryptionContext{"tenant": "blue"}, env.Context(), "a copy")
}

func TestInfo(t *testing.T) {
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	for _, p := range protections() {
		env, body := put(t, svc, photo, p.write(), random(chunk))
		info, err := encryption.Info(env, int64(len(body)))
		require.NoError(t, err)
		want := encryption.ObjectInfo{Mode: env.Mode(), KeyID: env.KeyID(), BucketKey: env.BucketKey(), PlainSize: chunk}
		require.Equal(t, want, info)
		for _, size := range []int64{-1, 0, chunk, int64(len(body)) - 1, int64(len(body)) + 1} {
			info, err = encryption.Info(env, size)
			require.ErrorIs(t, err, kms.ErrDecrypt)
			require.Zero(t, info)
		}
	}
}

func TestHostileEnvelopesCostLittleMemory(t *testing.T) {
	lengths := bytes.Repeat([]byte{0xff}, 12<<10)
	hostile := [][]byte{
		bytes.Repeat([]byte{'_'}, 16<<10),
		bytes.Repeat([]byte{'A'}, 16<<10),
		[]byte(base64.RawURLEncoding.EncodeToString(append([]byte{1, 2, 0, 0, 1, 'k'}, lengths...))),
		[]byte(base64.RawURLEncoding.EncodeToString(append([]byte{1, 2, 0, 0, 1, 'k', 8, 0}, bytes.Repeat([]byte{0}, 12<<10)...))),
		[]byte(base64.RawURLEncoding.EncodeToString(rawEnvelope(1, 2, 0, "k", nil, 1, 5, 12<<10))),
		bytes.Repeat([]byte{'A'}, 4<<20),
	}
	for i, text := range hostile {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		new(encryption.Envelope).UnmarshalText(text)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), i)
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, raw := range [][]byte{
		rawEnvelope(1, 1, 1, "k", nil, 1, 5, 1),
		rawEnvelope(1, 2, 0, "key", encctx.Append(nil, map[string]string{"a": "1", "b": "2"}), 1, 5, 80),
		rawEnvelope(1, 3, 0, "", nil, 1, 0, 0),
	} {
		f.Add([]byte(base64.RawURLEncoding.EncodeToString(raw)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		env := new(encryption.Envelope)
		if env.UnmarshalText(text) != nil {
			require.Equal(t, encryption.None, env.Mode())
			return
		}
		again, err := env.MarshalText()
		require.NoError(t, err)
		require.Equal(t, text, again, "one text for each envelope")
		env.Context()
	})
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add("objectkms-envelope", rawEnvelope(1, 1, 1, "k", nil, 1, 5, 1), int64(77))
	f.Add("objectkms-envelope", rawEnvelope(1, 2, 0, "key", encctx.Append(nil, map[string]string{"a": "1"}), 1, 5, 80), int64(77))
	f.Add("", rawEnvelope(1, 3, 0, "", nil, 1, 0, 0), int64(72))
	f.Add("objectkms-envelope", envelopeOfLayout(partsLayout(run(1, 2, 5))), 2*encryption.StoredSize(5))
	f.Add("objectkms-envelope", envelopeOfLayout(partsLayout(run(1, 2, 5))), encryption.StoredSize(10))
	f.Fuzz(func(t *testing.T, name string, raw []byte, size int64) {
		env, err := encryption.ParseEnvelope(map[string]string{name: base64.RawURLEncoding.EncodeToString(raw)})
		if err != nil {
			require.Nil(t, env)
			return
		}
		require.Equal(t, raw, binaryForm(t, env))
		info, err := encryption.Info(env, size)
		parts, stored := 0, int64(0)
		for _, partSize := range env.PartSizes() {
			parts, stored = parts+1, stored+encryption.StoredSize(partSize)
		}
		if parts == 0 {
			stored = encryption.StoredSize(env.PlainSize())
		}
		require.Equal(t, size == stored, err == nil)
		if err == nil {
			require.Equal(t, env.PlainSize(), info.PlainSize)
			require.Equal(t, parts, info.Parts)
		}
	})
}
