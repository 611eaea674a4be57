package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/admin"
)

// A schema is as much of JSON Schema as the document uses.
type schema struct {
	Ref                  string            `json:"$ref"`
	Type                 string            `json:"type"`
	Properties           map[string]schema `json:"properties"`
	Required             []string          `json:"required"`
	AdditionalProperties json.RawMessage   `json:"additionalProperties"`
	Items                *schema           `json:"items"`
	Enum                 []any             `json:"enum"`
	AnyOf                []schema          `json:"anyOf"`
	Format               string            `json:"format"`
	Description          string            `json:"description"`
	ContentEncoding      string            `json:"contentEncoding"`
	Minimum, Maximum     *float64
}

type content map[string]struct {
	Schema schema `json:"schema"`
}

type operation struct {
	OperationID string `json:"operationId"`
	Summary     string `json:"summary"`
	Parameters  []struct {
		Name, In, Description string
		Required              bool
		Schema                schema
	} `json:"parameters"`
	RequestBody *struct {
		Required bool
		Content  content
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string
		Content     content
	} `json:"responses"`
}

type openAPI struct {
	OpenAPI    string                          `json:"openapi"`
	Info       map[string]string               `json:"info"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

func document(t *testing.T) openAPI {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	require.NoError(t, err)
	var doc openAPI
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields() // what the test does not know it does not check
	require.NoError(t, decoder.Decode(&doc))
	return doc
}

// find returns the operation for a request; an empty one where there is none.
func (doc openAPI) find(method, path string) (op operation, ok bool) {
	methods, ok := doc.Paths[path]
	if _, has := methods[strings.ToLower(method)]; !ok || !has {
		if rest, is := strings.CutPrefix(path, "/kms/keys/"); is && rest != "" {
			methods = doc.Paths["/kms/keys/{key_id}"]
		}
	}
	op, ok = methods[strings.ToLower(method)]
	return op, ok
}

// requireDocumented checks an answer against the document, and the body of a request that was a success.
func requireDocumented(t *testing.T, method, path, body string, a answer) {
	t.Helper()
	doc := document(t)
	op, ok := doc.find(method, path)
	if !ok {
		require.GreaterOrEqual(t, a.status, 400, "%s %s is not documented", method, path)
		return
	}
	response, ok := op.Responses[strconv.Itoa(a.status)]
	if !ok {
		require.GreaterOrEqual(t, a.status, 400, "%s %s: status %d is not documented", method, path, a.status)
		response = op.Responses["default"]
	} else if body != "" && body != "{}" {
		require.NotNil(t, op.RequestBody, "%s %s has no body", method, path)
		doc.requireFits(t, op.RequestBody.Content["application/json"].Schema, body)
	}
	if response.Content == nil {
		require.Empty(t, a.body)
		return
	}
	doc.requireFits(t, response.Content["application/json"].Schema, a.body)
}

func (doc openAPI) requireFits(t *testing.T, s schema, text string) {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal([]byte(text), &value))
	require.NoError(t, doc.check(s, value, ""), text)
}

// check returns what does not fit.
func (doc openAPI) check(s schema, value any, at string) error {
	if name, is := strings.CutPrefix(s.Ref, "#/components/schemas/"); is {
		target, ok := doc.Components.Schemas[name]
		if !ok {
			return fmt.Errorf("%s: no schema %s", at, name)
		}
		return doc.check(target, value, at)
	}
	if s.Enum != nil && !slices.Contains(s.Enum, value) {
		return fmt.Errorf("%s: %v is none of %v", at, value, s.Enum)
	}
	if s.AnyOf != nil {
		if slices.ContainsFunc(s.AnyOf, func(one schema) bool { return doc.check(one, value, at) == nil }) {
			return nil
		}
		return fmt.Errorf("%s: %v fits none of several", at, value)
	}
	if got := typeOf(value); s.Type != "" && got != s.Type && !(got == "integer" && s.Type == "number") {
		return fmt.Errorf("%s: got %s, want %s", at, got, s.Type)
	}
	if n, is := value.(float64); is && (s.Minimum != nil && n < *s.Minimum || s.Maximum != nil && n > *s.Maximum) {
		return fmt.Errorf("%s: %v is out of bounds", at, n)
	}
	if list, is := value.([]any); is {
		for i, item := range list {
			if err := doc.check(*s.Items, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	}
	if fields, is := value.(map[string]any); is {
		return doc.checkFields(s, fields, at)
	}
	return nil
}

func (doc openAPI) checkFields(s schema, fields map[string]any, at string) error {
	for _, name := range s.Required {
		if _, ok := fields[name]; !ok {
			return fmt.Errorf("%s.%s is missing", at, name)
		}
	}
	for name, value := range fields {
		property, ok := s.Properties[name]
		switch {
		case ok:
		case string(s.AdditionalProperties) == "false":
			return fmt.Errorf("%s.%s is unknown", at, name)
		case s.AdditionalProperties == nil:
			continue
		default:
			if err := json.Unmarshal(s.AdditionalProperties, &property); err != nil {
				return err
			}
		}
		if err := doc.check(property, value, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func typeOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

// The checks above see what is wrong.
func TestTheCheckOfSchemas(t *testing.T) {
	doc := document(t)
	key := doc.Components.Schemas["KeyMetadata"]
	good := map[string]any{"key_id": "k", "description": "", "key_state": "Enabled", "key_usage": "ENCRYPT_DECRYPT", "origin": "KMS", "version": 1.0,
		"tags": map[string]any{"a": "b"}, "creation_date": "x", "native_rewrap": false}
	require.NoError(t, doc.check(key, good, ""))
	for name, value := range map[string]any{"key_id": nil, "key_state": "On", "version": 1.5, "tags": map[string]any{"a": 1.0}, "native_rewrap": "no", "more": "x"} {
		bad := map[string]any{}
		for k, v := range good {
			bad[k] = v
		}
		bad[name] = value
		require.Error(t, doc.check(key, bad, ""), name)
	}
	delete(good, "tags")
	require.Error(t, doc.check(key, good, ""))
	require.Error(t, doc.check(doc.Components.Schemas["DeleteKey"], map[string]any{"key_id": "k", "pending_window_in_days": 31.0}, ""))
	require.NoError(t, doc.check(doc.Components.Schemas["Keys"].Properties["next_marker"], nil, ""))
	require.Error(t, doc.check(doc.Components.Schemas["Keys"].Properties["next_marker"], 1.0, ""))
}

// The document has the routes of the handler, and no others.
func TestTheDocumentHasEveryRoute(t *testing.T) {
	var documented []string
	ids := map[string]bool{}
	for path, methods := range document(t).Paths {
		for method, op := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
			require.False(t, ids[op.OperationID], op.OperationID)
			ids[op.OperationID] = true
			require.NotEmpty(t, op.Summary)
			for _, parameter := range op.Parameters {
				require.True(t, parameter.In == "query" || parameter.In == "path" && strings.Contains(path, "{"+parameter.Name+"}"))
			}
		}
	}
	require.ElementsMatch(t, admin.Routes(), documented)
}

func TestTheDocumentIsServed(t *testing.T) {
	s := newServer(t, admin.Options{Authorize: allow})
	a := s.do(t, http.MethodGet, "/kms/openapi.json", "")
	require.Equal(t, http.StatusOK, a.status)
	text, err := os.ReadFile("openapi.json")
	require.NoError(t, err)
	require.Equal(t, string(text), a.body)
	again := s.do(t, http.MethodGet, "/kms/openapi.json", "")
	require.Equal(t, a.body, again.body, "what was sent is wiped, the document is not")
}

// The fields of a configuration are those that docs/CONFIG.md has.
func TestTheDocumentHasEveryFieldOfAConfiguration(t *testing.T) {
	text, err := os.ReadFile("../docs/CONFIG.md")
	require.NoError(t, err)
	tables, _, _ := strings.Cut(string(text), "## Partial updates")
	want := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_`, ]+) \\| [a-z0-9`\"]").FindAllStringSubmatch(tables, -1) {
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			want[name[1]] = true
		}
	}
	for _, backendType := range []string{"local", "vault"} {
		delete(want, backendType)
	}
	got := map[string]bool{}
	for name := range document(t).Components.Schemas["Config"].Properties {
		got[name] = true
	}
	require.Equal(t, want, got)
}
