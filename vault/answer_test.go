package vault

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// Of a connection that is handed over nothing can be read that a context ends.
func TestAServerThatHandsTheConnectionOver(t *testing.T) {
	const body = `{"data":{"value":"v"}}`
	tests := []struct {
		name, header string
		ok           bool
	}{
		{"handed over", "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: vault\r\n", false},
		{"not handed over", "101 Switching Protocols\r\nContent-Length: 22\r\n", false},
		{"an answer", "200 OK\r\nContent-Length: 22\r\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					return
				}
				io.WriteString(conn, "HTTP/1.1 "+tt.header+"\r\n"+body)
				go func() {
					defer conn.Close()
					conn.SetDeadline(time.Now().Add(10 * time.Second)) // or the test would hang where it fails
					io.Copy(io.Discard, conn)
				}()
			})
			var out result
			err := c.do(t.Context(), "GET", "a", nil, &out)
			c.release()
			if tt.ok {
				require.NoError(t, err)
				require.Equal(t, "v", out.Data.Value)
				return
			}
			require.ErrorIs(t, err, kms.ErrUnavailable)
			require.EqualError(t, err, "backend is unavailable: answer 101 is none of Vault's")
		})
	}
}

// A value that has two bytes in an answer takes a hundred and more in memory.
func TestAnAnswerOfVeryManyValues(t *testing.T) {
	read := func(status, commas int) error {
		raw := []byte(`{"data":{"value":"` + strings.Repeat(",", commas) + `"}}`)
		a, err := newAnswer(&http.Response{StatusCode: status, Header: http.Header{}}, raw, &request{})
		if err != nil {
			require.NotContains(t, string(raw), "value", "what is not used is wiped")
			return err
		}
		return a.decode(new(result))
	}
	require.NoError(t, read(200, maxValues))
	for _, status := range []int{200, 404, 503} {
		err := read(status, maxValues+1)
		require.ErrorIs(t, err, kms.ErrUnavailable)
		require.NotErrorIs(t, err, kms.ErrKeyNotFound)
		require.ErrorContains(t, err, "has about 1048577 values, want at most 1048576")
	}
}

func TestLongMessagesAreNotReadToTheirEnd(t *testing.T) {
	const token = "hvs.token-of-some-length"
	read := func(gaps int) string {
		messages := redact([]string{strings.Repeat(" ", gaps) + token + " is refused"}, &request{token: token})
		require.Len(t, messages, 1)
		require.NotContains(t, messages[0], "hvs")
		return messages[0]
	}
	require.Equal(t, "[secret] is refused", read(0))
	require.Equal(t, "[secret] is refused", read(maxMessageRead-len("[secret] is refused")))
	require.Equal(t, "[secr", read(maxMessageRead-5), "a secret is looked for in the whole message")
	require.Empty(t, read(maxMessageRead))
}
