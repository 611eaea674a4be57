package vault

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is kept of a server's messages.
const (
	maxMessages    = 4
	maxMessageSize = 300      // bytes
	maxMessageRead = 64 << 10 // bytes of a message that are looked at, with the gaps between words
	minSecretSize  = 8        // shorter values of a request are no secrets
)

const redacted = "[secret]"

// redact returns a server's messages as they may stand in an error: bounded, on one line, and without the token and the values that
// the request held, whatever the server makes of them. It returns no nil: an empty list of errors is something that a server says.
func redact(messages []string, req *request) []string {
	replace := []string{}
	for _, value := range append(stringsIn(req.body), req.token) {
		if len(value) >= minSecretSize {
			replace = append(replace, value, redacted)
		}
	}
	replacer := strings.NewReplacer(replace...)
	safe := []string{}
	for _, m := range messages[:min(len(messages), maxMessages)] {
		m = replacer.Replace(m) // the whole of it: half a secret is not found
		m = strings.Join(strings.FieldsFunc(m[:min(len(m), maxMessageRead)], isGap), " ")
		if len(m) > maxMessageSize {
			m = strings.ToValidUTF8(m[:maxMessageSize], "") + "…"
		}
		safe = append(safe, m)
	}
	return safe
}

// isGap reports whether a character separates words. What is no text does: to leave it out could join the halves of a secret.
func isGap(r rune) bool { return !unicode.IsPrint(r) || r == ' ' || r == utf8.RuneError }

// stringsIn returns all strings among the values of a JSON text.
func stringsIn(body []byte) []string {
	var value any
	if json.Unmarshal(body, &value) != nil {
		return nil
	}
	var found []string
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case string:
			found = append(found, v)
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(value)
	return found
}
