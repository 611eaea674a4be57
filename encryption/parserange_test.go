package encryption_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func TestParseRange(t *testing.T) {
	const whole, none = "0+100", "416 InvalidRange"
	of100, _ := openPhoto(t, random(100))
	ofNothing, _ := openPhoto(t, nil)
	for _, tt := range []struct{ header, want, empty string }{
		{"", whole, "0+0"},
		{"bytes=0-0", "0+1 partial", none},
		{"bytes=0-", "0+100 partial", none},
		{"bytes=0-99", "0+100 partial", none},
		{"bytes=0-100", "0+100 partial", none},
		{"bytes=10-19", "10+10 partial", none},
		{"bytes=99-", "99+1 partial", none},
		{"bytes=99-9999999999999999999999", "99+1 partial", none},
		{"bytes=50-9223372036854775807", "50+50 partial", none},
		{"bytes=-1", "99+1 partial", none},
		{"bytes=-100", "0+100 partial", none},
		{"bytes=-1000", "0+100 partial", none},
		{"bytes=-99999999999999999999", "0+100 partial", none},
		{"Bytes= 0-0\t", "0+1 partial", none},
		{"bytes=100-", none, none},
		{"bytes=100-100", none, none},
		{"bytes=101-200", none, none},
		{"bytes=99999999999999999999-", none, none},
		{"bytes=99999999999999999998-99999999999999999999", none, none},
		{"bytes=-0", none, none},
		// What S3 does not know as a range.
		{"bytes=", whole, "0+0"}, {"bytes=-", whole, "0+0"}, {"bytes=5", whole, "0+0"}, {"bytes=a-b", whole, "0+0"}, {"bytes=1-0", whole, "0+0"},
		{"bytes=99999999999999999999-99999999999999999998", whole, "0+0"}, {"bytes=99999999999999999999-5", whole, "0+0"}, {"bytes=0010-9", whole, "0+0"},
		{"bytes=+1-2", whole, "0+0"}, {"bytes=--1", whole, "0+0"}, {"bytes=1-2-3", whole, "0+0"}, {"bytes=0-1,3-4", whole, "0+0"}, {"bytes=0 -1", whole, "0+0"},
		{"items=0-1", whole, "0+0"}, {"bytes", whole, "0+0"}, {"0-1", whole, "0+0"}, {"bytes=0x1-", whole, "0+0"}, {"bytes=٣-", whole, "0+0"},
	} {
		for object, want := range map[*encryption.Object]string{of100: tt.want, ofNothing: tt.empty} {
			off, n, partial, err := object.ParseRange(tt.header)
			got := span(off, n)
			if partial {
				got += " partial"
			}
			if err != nil {
				require.ErrorIs(t, err, kms.ErrInvalidRequest)
				answer := encryption.S3Error(err)
				got = fmt.Sprint(answer.Status, " ", answer.Code)
			}
			require.Equal(t, want, got, tt.header)
		}
	}
}

// Where net/http sees one range, it sees the same one.
func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-0", "bytes=-5", "bytes=99-", "bytes=1-0", "bytes=020-3", "bytes=99999999999999999999-99999999999999999998", "bytes=0-1,2-3", "bytes=100-", "bytes=-0", "bytes=9223372036854775808-", " bytes=0-1"} {
		f.Add(seed)
	}
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, body := put(f, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(100))
	object, err := svc.OpenObject(f.Context(), photo, env, nil, int64(len(body)))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, header string) {
		off, n, partial, err := object.ParseRange(header)
		if err != nil {
			require.Equal(t, "InvalidRange", encryption.S3Error(err).Code)
			return
		}
		require.True(t, off >= 0 && n > 0 && off+n <= 100)
		require.True(t, partial || n == 100)
		_, _, err = object.Span(off, n)
		require.NoError(t, err)
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set("Range", header)
		http.ServeContent(w, r, "x.txt", time.Time{}, strings.NewReader(strings.Repeat("x", 100)))
		if w.Code == http.StatusPartialContent && partial {
			require.Equal(t, fmt.Sprintf("bytes %d-%d/100", off, off+n-1), w.Header().Get("Content-Range"))
		}
	})
}
