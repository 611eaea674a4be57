package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheContentEncodingIsThatOfTheObject(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "gzip": "gzip", "aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip, aws-chunked": "gzip", "br,gzip": "br,gzip",
	} {
		require.Equal(t, want, contentEncoding(header), header)
	}
}
