package strictjson_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/strictjson"
)

func TestFields(t *testing.T) {
	var text string
	var yes bool
	var n int
	fields := strictjson.Fields{
		"text": strictjson.Into(&text, strictjson.Text),
		"yes":  strictjson.Into(&yes, strictjson.Bool),
		"n":    strictjson.Into(&n, func(value []byte) (int, error) { return strictjson.Int(value, 10) }),
		"in": func(value []byte) error {
			return strictjson.Fields{"fails": func([]byte) error { return errors.New("odd") }}.Decode(value)
		},
	}
	require.NoError(t, fields.Decode([]byte(` {"text":"\u00e4 \ud83d\ude00 \"\\\/\b\f\n\r\t", "yes" : true,"n":10, "in": null } `)))
	require.Equal(t, "ä 😀 \"\\/\b\f\n\r\t", text)
	require.True(t, yes)
	require.Equal(t, 10, n)

	for doc, want := range map[string]string{
		`[]`:                      "got a list, want an object",
		`"text"`:                  "got text, want an object",
		`{"Text":""}`:             "Text: unknown field, want text",
		`{"x":""}`:                "x: unknown field",
		`{"":""}`:                 `"": unknown field`,
		`{"a.b":""}`:              `"a.b": unknown field`,
		`{"text":"","text":""}`:   "text: given twice",
		`{"text":1}`:              "text: got a number, want text",
		`{"text":[]}`:             "text: got a list, want text",
		`{"text":"\ud800"}`:       "text: an escape is half of a surrogate pair",
		`{"text":"\ud800\u0061"}`: "text: an escape is half of a surrogate pair",
		`{"yes":"true"}`:          "yes: got text, want true or false",
		`{"n":true}`:              "n: got a boolean, want a whole number",
		`{"n":{}}`:                "n: got an object, want a whole number",
		`{"n":11}`:                `n: got "11", want a whole number from 1 to 10`,
		`{"n":0}`:                 `n: got "0", want a whole number from 1 to 10`,
		`{"n":1.0}`:               `n: got "1.0", want a whole number from 1 to 10`,
		`{"in":{"fails":1}}`:      "in.fails: odd",
		`{"in":{"x":1}}`:          "in.x: unknown field",
	} {
		require.EqualError(t, fields.Decode([]byte(doc)), want)
	}
}

func TestBase64HasOneForm(t *testing.T) {
	for doc, want := range map[string]string{`"AQI="`: "\x01\x02", `""`: "", `"AQ\u0049="`: "\x01\x02"} {
		got, err := strictjson.Base64([]byte(doc))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	for _, doc := range []string{`"AQI"`, `"AQJ="`, `"AQ\nI="`, `"AQI=\r"`, `"AQI=="`, `"-_=="`, `"A"`, `" AQI="`} {
		_, err := strictjson.Base64([]byte(doc))
		require.EqualError(t, err, "want base64, with its padding", doc)
	}
	_, err := strictjson.Base64([]byte(`7`))
	require.EqualError(t, err, "got a number, want text")
	_, err = strictjson.Base64([]byte(`"\udc00"`))
	require.EqualError(t, err, "an escape is half of a surrogate pair")
}

func TestCheck(t *testing.T) {
	require.NoError(t, strictjson.Check([]byte(` [1] `), 5))
	for doc, want := range map[string]string{
		"":              "the document is not JSON, as byte 0 shows",
		`{"a":}`:        "the document is not JSON, as byte 6 shows",
		`{}{}`:          "the document is not JSON, as byte 3 shows",
		`{} x`:          "the document is not JSON, as byte 4 shows",
		"\"\xff\"":      "the document is not UTF-8",
		`[1,2,3,4,5,6]`: "the document has 13 bytes, want at most 12",
		strings.Repeat("[", 10001) + strings.Repeat("]", 10001): "the document has 20002 bytes, want at most 12",
	} {
		require.EqualError(t, strictjson.Check([]byte(doc), 12), want)
	}
}

func TestJoinIsTheWayBack(t *testing.T) {
	found, err := strictjson.Object([]byte(` { "a\u0022<" : [ 1 ] , "b" : null, "c":"x" } `))
	require.NoError(t, err)
	joined := strictjson.Join(found)
	again, err := strictjson.Object(joined)
	require.NoError(t, err)
	require.Equal(t, found, again)
	require.LessOrEqual(t, len(joined), cap(joined))
	require.Equal(t, "{}", string(strictjson.Join(nil)))
}

func TestArrayIsOfOneKind(t *testing.T) {
	_, err := strictjson.Array([]byte(`{}`), 1)
	require.EqualError(t, err, "got an object, want a list")
	values, err := strictjson.Array([]byte(` [ ] `), 0)
	require.NoError(t, err)
	require.Empty(t, values)
}

func TestArrayHasABound(t *testing.T) {
	values, err := strictjson.Array([]byte(`[{}, [1,2,3], "," ]`), 3)
	require.NoError(t, err)
	require.Len(t, values, 3)
	_, err = strictjson.Array([]byte(`[{}, [1,2,3], ",", 4]`), 3)
	require.EqualError(t, err, "got more values, want at most 3")
}

func TestErrorsShowLittle(t *testing.T) {
	long := strings.Repeat("x", 65)
	require.Equal(t, `"`+long[:64]+`"…`, strictjson.Show(long))
	require.EqualError(t, strictjson.Within(long, errors.New("odd")), `"`+long[:64]+`"…: odd`)
	require.EqualError(t, strictjson.Within("a", strictjson.Within("b", strictjson.Errorf("", "odd"))), "a.b: odd")
}
