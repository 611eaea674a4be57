package encryption_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func TestChangedRowsOfPartsAreRefused(t *testing.T) {
	ring := newRing("default")
	p := protections()[0]
	pieces := []piece{{1, 2 * chunk}, {2, 2 * chunk}, {3, 2 * chunk}, {4, 100}}
	const part = 56 + 2*(chunk+16) + 16
	env, body, plain := ring.upload(t, photo, p, pieces...)
	_, foreign, _ := ring.upload(t, encryption.ObjectID{Bucket: "photos", Key: "dog.jpg"}, p, pieces...)
	_, again, _ := ring.upload(t, photo, p, pieces...)
	require.Len(t, body, 3*part+56+116)
	for _, tt := range []struct {
		name  string
		whole int // bytes that a whole read releases
		// Whether a read of part 2 alone is refused.
		rangeFails bool
		change     func(b []byte) []byte
	}{
		{"first part lost", 0, true, func(b []byte) []byte { return b[part:] }},
		{"part lost", 2 * chunk, true, func(b []byte) []byte { return slices.Delete(b, part, 2*part) }},
		{"last part lost", 6 * chunk, true, func(b []byte) []byte { return b[:3*part] }},
		{"part repeated", 2 * chunk, true, func(b []byte) []byte { copy(b[part:], b[:part]); return b }},
		{"parts swapped", 0, true, func(b []byte) []byte { return slices.Concat(b[part:2*part], b[:part], b[2*part:]) }},
		{"part of another object", 2 * chunk, true, func(b []byte) []byte { copy(b[part:], foreign[part:2*part]); return b }},
		{"part of another upload", 2 * chunk, true, func(b []byte) []byte { copy(b[part:], again[part:2*part]); return b }},
		{"all of another upload", 0, true, func(b []byte) []byte { return again }},
		{"header of another upload", 2 * chunk, true, func(b []byte) []byte { copy(b[part:], again[part:part+56]); return b }},
		{"later part of another upload", 4 * chunk, false, func(b []byte) []byte { copy(b[2*part:], again[2*part:3*part]); return b }},
		{"cut in the last part", 6 * chunk, true, func(b []byte) []byte { return b[:len(b)-1] }},
		{"cut in a header", 4 * chunk, true, func(b []byte) []byte { return b[:2*part+20] }},
		{"cut after an empty chunk's part", 4 * chunk, true, func(b []byte) []byte { return b[:2*part] }},
		{"extended", 6*chunk + 100, true, func(b []byte) []byte { return append(b, 0) }},
		{"part more", 6*chunk + 100, true, func(b []byte) []byte { return append(b, b[3*part:]...) }},
		{"bit in a header", 2 * chunk, true, func(b []byte) []byte { b[part+30] ^= 1; return b }},
		{"bit in the first chunk", 2 * chunk, true, func(b []byte) []byte { b[part+60] ^= 1; return b }},
		{"bit in the empty last chunk", 4 * chunk, true, func(b []byte) []byte { b[2*part-1] ^= 1; return b }},
		{"bit in a later part", 6 * chunk, false, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			svc := encryption.NewService(ring, encryption.Options{})
			changed := tt.change(bytes.Clone(body))
			got, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(changed))
			require.Equal(t, kms.ErrDecrypt, err)
			require.Equal(t, tt.whole, len(got))
			require.True(t, bytes.HasPrefix(plain, got))

			object, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(changed)))
			if len(changed) != len(body) {
				require.ErrorIs(t, err, kms.ErrDecrypt)
				return
			}
			require.NoError(t, err)
			defer object.Close()
			r, err := object.Range(t.Context(), 2*chunk, 2*chunk, (&store{stored: changed}).fetch)
			if err == nil {
				_, err = io.ReadAll(r)
			}
			require.Equal(t, tt.rangeFails, err != nil, err)
		})
	}
}

func TestEarlierAttemptIsSeenByWholeReadsOnly(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	for superseded := 1; superseded <= 3; superseded++ {
		u := newUpload(t, ring, photo, protections()[0])
		opened := u.opened(t)
		for number := 1; number <= 3; number++ {
			u.parts[number] = encryptPart(t, opened, number, random(chunk))
		}
		old := random(chunk)
		earlier := encryptPart(t, opened, superseded, old).body
		env, body := u.complete(t, 1, 2, 3)
		copy(body[(superseded-1)*len(earlier):], earlier)

		got, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(body))
		require.Equal(t, kms.ErrDecrypt, err)
		require.Len(t, got, 2*chunk, "nothing of the last part")
		r, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
		require.NoError(t, err)
		var written bytes.Buffer
		_, err = r.(io.WriterTo).WriteTo(&written)
		require.Equal(t, kms.ErrDecrypt, err)
		require.Equal(t, 2*chunk, written.Len())

		object, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.NoError(t, err)
		defer object.Close()
		whole, err := object.Range(t.Context(), 0, object.Size(), (&store{stored: body}).fetch)
		require.NoError(t, err)
		got, err = io.ReadAll(whole)
		require.Equal(t, kms.ErrDecrypt, err, "a range of all is a whole read")
		require.Len(t, got, 2*chunk)

		off, size, err := object.Part(superseded)
		require.NoError(t, err)
		part, err := object.Range(t.Context(), off, size, (&store{stored: body}).fetch)
		require.NoError(t, err)
		got, err = io.ReadAll(part)
		require.NoError(t, err, "a range cannot tell the attempts apart")
		require.Equal(t, old, got)
	}
}

// Where the last parts are empty, what is seen in their headers is seen before the last chunk in front of them is released.
func TestEarlierAttemptBeforeEmptyPartsIsSeenByWholeReads(t *testing.T) {
	ring := newRing("default")
	for _, size := range []int{1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2*chunk + 9} {
		for _, empty := range []int{1, 2, 20} {
			for _, superseded := range []int{1, 2, 3, 2 + empty} {
				u := newUpload(t, ring, photo, protections()[0])
				opened := u.opened(t)
				pieces := []piece{{1, 5}, {2, size}}
				for i := range empty {
					pieces = append(pieces, piece{3 + i, 0})
				}
				var numbers []int
				var plain, earlier []byte
				at := 0
				for _, piece := range pieces {
					part := random(piece.size)
					if piece.number < superseded {
						at += int(encryption.StoredSize(int64(piece.size)))
					}
					if piece.number == superseded {
						earlier = encryptPart(t, opened, piece.number, random(piece.size)).body
					}
					u.parts[piece.number] = encryptPart(t, opened, piece.number, part)
					plain, numbers = append(plain, part...), append(numbers, piece.number)
				}
				env, body := u.complete(t, numbers...)
				requireReadable(t, ring, photo, env, u.p, body, plain)
				copy(body[at:], earlier)

				name := fmt.Sprint(size, empty, superseded)
				most := 5 + (size-1)/chunk*chunk
				got, err := get(t.Context(), u.service(), photo, env, nil, bytes.NewReader(body))
				require.Equal(t, kms.ErrDecrypt, err, name)
				require.Len(t, got, most, name)
				object, err := u.service().OpenObject(t.Context(), photo, env, nil, int64(len(body)))
				require.NoError(t, err)
				whole, err := object.Range(t.Context(), 0, object.Size(), (&store{stored: body}).fetch)
				require.NoError(t, err)
				var written bytes.Buffer
				_, err = whole.(io.WriterTo).WriteTo(&written)
				require.Equal(t, kms.ErrDecrypt, err, name)
				require.Equal(t, most, written.Len(), name)
				require.NoError(t, object.Close())
			}
		}
	}
}

// An object whose only plaintext is one chunk is refused before anything of it can be read.
func TestEarlierAttemptOfTheOnlyChunkIsSeenAtOnce(t *testing.T) {
	ring := newRing("default")
	u := newUpload(t, ring, photo, protections()[0])
	opened := u.opened(t)
	earlier := encryptPart(t, opened, 1, random(chunk))
	u.parts[1], u.parts[2] = encryptPart(t, opened, 1, random(chunk)), encryptPart(t, opened, 2, nil)
	env, body := u.complete(t, 1, 2)
	copy(body, earlier.body)
	_, err := u.service().DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
	require.Equal(t, kms.ErrDecrypt, err)
}

// Parts, envelopes and names of two uploads, and every way to read one with some of the other's.
func TestSwappedPartsOfUploadsAreRefused(t *testing.T) {
	ring := newRing("default", "other")
	svc := encryption.NewService(ring, encryption.Options{})
	type object struct {
		id    encryption.ObjectID
		env   encryption.Parts
		parts [3][]byte
	}
	for _, p := range protections() {
		for _, q := range protections() {
			store := func(id encryption.ObjectID, p protection) (o object) {
				u := newUpload(t, ring, id, p)
				for i := range o.parts {
					u.put(t, i+1, []byte("the same"))
					o.parts[i] = u.parts[i+1].body
				}
				env, _ := u.complete(t, 1, 2, 3)
				o.id, o.env = id, env.Parts()
				return o
			}
			a := store(encryption.ObjectID{Bucket: "a", Key: "b/c"}, p)
			b := store(encryption.ObjectID{Bucket: "b", Key: "c"}, q)
			for mask := 1; mask < 1<<8-1; mask++ {
				x := a
				for i, swap := range []func(){
					func() { x.id = b.id },
					func() { x.env.Sealed = b.env.Sealed },
					func() { x.env.Wrapped = b.env.Wrapped },
					func() { x.env.Layout = b.env.Layout },
					func() {
						x.env.Mode, x.env.KeyID, x.env.Context, x.env.BucketKey = b.env.Mode, b.env.KeyID, b.env.Context, b.env.BucketKey
					},
					func() { x.parts[0] = b.parts[0] },
					func() { x.parts[1] = b.parts[1] },
					func() { x.parts[2] = b.parts[2] },
				} {
					if mask&(1<<i) != 0 {
						swap()
					}
				}
				env, err := encryption.ParseEnvelope(x.env.Envelope().Map())
				if err != nil || same(x.env, a.env) && x.id == a.id && mask>>5 == 0 || same(x.env, b.env) && x.id == b.id && mask>>5 == 7 {
					continue
				}
				read := new(encryption.Request)
				if env.Mode() == encryption.SSEC {
					read.CustomerKey = customerKey()
				}
				_, err = get(t.Context(), svc, x.id, env, read, bytes.NewReader(slices.Concat(x.parts[:]...)))
				require.ErrorIs(t, err, kms.ErrDecrypt, "%s and %s: %08b", p.name, q.name, mask)
			}
		}
	}
}

func TestChangedLayoutsAreRefused(t *testing.T) {
	ring := newRing("default")
	p := protections()[0]
	env, body, _ := ring.upload(t, photo, p, piece{1, 9}, piece{2, 9}, piece{4, 0})
	raw := binaryForm(t, env)
	for bit := range 8 * len(raw) {
		raw[bit/8] ^= 1 << (bit % 8)
		changed, err := parseBinary(raw)
		if err == nil {
			_, err = get(t.Context(), encryption.NewService(ring, encryption.Options{}), photo, changed, nil, bytes.NewReader(body))
		}
		require.Error(t, err, bit)
		raw[bit/8] ^= 1 << (bit % 8)
	}
}
