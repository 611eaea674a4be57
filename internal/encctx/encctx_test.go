package encctx_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/objectkms/kms/internal/encctx"
)

func TestCanonicalFormIsExact(t *testing.T) {
	require.Nil(t, encctx.Append(nil, nil))
	require.Nil(t, encctx.Append(nil, map[string]string{}))
	require.Equal(t, []byte("dst"), encctx.Append([]byte("dst"), nil))
	require.Equal(t,
		[]byte("dst\x00\x00\x00\x00\x00\x00\x00\x01e\x00\x00\x00\x01B\x00\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x02\xc3\xa9"),
		encctx.Append([]byte("dst"), map[string]string{"a": "\u00e9", "B": "", "": "e"}))
}

func TestTenThousandShufflesHaveOneForm(t *testing.T) {
	context := make(map[string]string)
	var keys []string
	for i := range 20 {
		key := fmt.Sprintf("%c%d", 'a'+i%7, i)
		keys = append(keys, key)
		context[key] = fmt.Sprint(i * i)
	}
	form := encctx.Append(nil, context)
	require.Len(t, form, encctx.Size(context))
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		shuffled := make(map[string]string)
		for _, key := range keys {
			shuffled[key] = context[key]
		}
		if !bytes.Equal(form, encctx.Append(nil, shuffled)) {
			t.Fatalf("another form for the keys in the order %q", keys)
		}
	}
}

// drawContext draws maps of short texts over few letters, so that accidents are likely.
func drawContext(t *rapid.T, label string) map[string]string {
	text := rapid.StringMatching("[ab\x00\x01]{0,3}")
	return rapid.MapOfN(text, text, 0, 4).Draw(t, label)
}

func TestDistinctContextsHaveDistinctForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two := drawContext(t, "one"), drawContext(t, "two")
		same := bytes.Equal(encctx.Append(nil, one), encctx.Append(nil, two))
		require.Equal(t, maps.Equal(one, two), same)
	})
}

func TestEveryFormIsParsedBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		context := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "context")
		form := encctx.Append(nil, context)
		require.Len(t, form, encctx.Size(context))
		parsed, err := encctx.Parse(form)
		require.NoError(t, err)
		require.True(t, maps.Equal(context, parsed))
		if len(context) == 0 {
			require.Nil(t, parsed)
		}
	})
}

func TestParseRefusesAllOtherBytes(t *testing.T) {
	field := func(s string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
	}
	for name, form := range map[string]string{
		"keys are not in strictly rising order": field("b") + field("1") + field("a") + field("2"),
		"in strictly rising order":              field("a") + field("1") + field("a") + field("1"),
		"strictly rising order":                 field("") + field("1") + field("") + field("2"),
		"rising order":                          field("aa") + field("") + field("a") + field(""),
		"0 bytes left, want a 4-byte length":    field("a"),
		"3 bytes left, want a 4-byte length":    field("a") + "\x00\x00\x00",
		"1 bytes left, want a 4-byte length":    field("a") + field("b") + "\x00",
		"a field of 2 bytes, only 1 are left":   "\x00\x00\x00\x02a",
		"a field of 4294967295 bytes":           "\xff\xff\xff\xffa",
		"a field is not UTF-8":                  field("a") + field("\xff"),
		"field is not UTF-8":                    field("\xc3") + field("\xa9"),
		"encryption context: 3 bytes left":      "abc",
	} {
		context, err := encctx.Parse([]byte(form))
		require.ErrorContains(t, err, name)
		require.Nil(t, context)
	}
}

// With an int of 32 bits the sizes of these would add up to some 6,000 bytes.
func TestASizeThatNoIntCountsIsTheLargestInt(t *testing.T) {
	value := strings.Repeat("x", 8<<20)
	context := make(map[string]string)
	for i := range 512 {
		context[fmt.Sprintf("%04d", i)] = value // the same memory
	}
	require.EqualValues(t, min(512*(8+4+8<<20), math.MaxInt), encctx.Size(context))
	delete(context, "0000")
	require.EqualValues(t, min(511*(8+4+8<<20), math.MaxInt), encctx.Size(context))
	require.Equal(t, 8+4+1, encctx.Size(map[string]string{"0000": "x"}))
}

func TestBindFormIsExact(t *testing.T) {
	require.Equal(t, []byte("objectkms/v1/object\x00"), encctx.Bind(nil, "object"))
	require.Equal(t, []byte("dstobjectkms/v1/master-key\x00\x00\x00\x00\x01k\x00\x00\x00\x04\x00\x00\x01\x02"),
		encctx.Bind([]byte("dst"), "master-key", []byte("k"), encctx.Uint32(0x102)))
	require.Equal(t, []byte("objectkms/v1/x\x00\x00\x00\x00\x00\x00\x00\x00\x00"), encctx.Bind(nil, "x", nil, []byte{}))
}

func TestBindIsInjectiveInItsFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) [][]byte {
			return rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange(0, 2), 0, 6), 0, 3).Draw(t, label)
		}
		one, two := draw("one"), draw("two")
		equal := len(one) == len(two)
		for i := range min(len(one), len(two)) {
			equal = equal && bytes.Equal(one[i], two[i])
		}
		require.Equal(t, equal, bytes.Equal(encctx.Bind(nil, "l", one...), encctx.Bind(nil, "l", two...)))
	})
}

// The labels of format version 1 contain no zero byte, so a label is never the start of another's context.
func TestBindTellsLabelsApart(t *testing.T) {
	labels := []string{"master-key", "record", "root", "data-key", "object-key", "object"}
	for i, one := range labels {
		for _, two := range labels[i+1:] {
			require.False(t, bytes.HasPrefix(encctx.Bind(nil, one, []byte("f")), encctx.Bind(nil, two)))
			require.False(t, bytes.HasPrefix(encctx.Bind(nil, two, []byte("f")), encctx.Bind(nil, one)))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(encctx.Append(nil, map[string]string{"a": "b", "": "", "\u00e9": "x"}))
	f.Add([]byte("\x00\x00\x00\x01b\x00\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, form []byte) {
		context, err := encctx.Parse(form)
		if err != nil {
			require.Nil(t, context)
			return
		}
		require.True(t, bytes.Equal(form, encctx.Append(nil, context)))
		require.Equal(t, len(form), encctx.Size(context))
	})
}
