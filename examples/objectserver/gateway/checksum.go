package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// checksum is one of a plaintext, as clients know it. An Encryption sees its JSON. The zero value is none.
type checksum struct {
	Algorithm types.ChecksumAlgorithm
	Type      types.ChecksumType
	Value     string
}

// parseChecksum reads what encode has written, or nothing.
func parseChecksum(text []byte) (c checksum) {
	_ = json.Unmarshal(text, &c)
	return c
}

func (c checksum) encode() []byte {
	text, _ := json.Marshal(c)
	return text
}

// public is what versitygw stores in clear and shows in listings: that there is one, and not its value.
func (c checksum) public() []byte {
	text, _ := json.Marshal(s3response.Checksum{Algorithm: c.Algorithm, Type: c.Type})
	return text
}

// tell sets the fields of a message of versitygw that stand for a checksum, and empties those of all others. The messages have nothing in common but the
// names of these fields.
func (c checksum) tell(message any) {
	v := reflect.ValueOf(message).Elem()
	for _, name := range c.Algorithm.Values() {
		v.FieldByName("Checksum" + string(name)).SetZero()
	}
	if c.Value != "" {
		v.FieldByName("Checksum" + string(c.Algorithm)).Set(reflect.ValueOf(&c.Value))
	}
	switch kind := v.FieldByName("ChecksumType"); {
	case !kind.IsValid():
	case kind.Kind() == reflect.String:
		kind.SetString(string(c.Type))
	case c.Type == "":
		kind.SetZero()
	default:
		kind.Set(reflect.ValueOf(&c.Type))
	}
}

// given returns the checksum in a message.
func given(message any) (c checksum) {
	v := reflect.ValueOf(message).Elem()
	for _, name := range c.Algorithm.Values() {
		if field := v.FieldByName("Checksum" + string(name)); !field.IsNil() {
			c.Algorithm, c.Value = name, field.Elem().String()
		}
	}
	return c
}

// Body is a body of plaintext. A body that is not what the request says of it fails at its end.
type Body struct {
	Size  int64 // declared, or 0 where it is not known
	Limit int64 // its size at most

	reader    io.Reader
	known     bool // Size is
	read      int64
	algorithm types.ChecksumAlgorithm
	sum       func() string
	err       error
}

// newBody takes the checksum out of a request of versitygw, which would compare it with ciphertext, and compares it with the body.
func newBody(message any, body io.Reader, size int64) *Body {
	algorithm := types.ChecksumAlgorithm(reflect.ValueOf(message).Elem().FieldByName("ChecksumAlgorithm").String())
	want := given(message)
	checksum{}.tell(message)
	if r, ok := body.(middlewares.ChecksumReader); ok && r.Algorithm() != "" { // it comes behind the body, and is compared there
		algorithm = types.ChecksumAlgorithm(strings.ToUpper(r.Algorithm()))
		return &Body{Size: size, Limit: size, known: true, reader: r, sum: r.Checksum, algorithm: algorithm}
	}
	if want.Value != "" {
		algorithm = want.Algorithm
	}
	return hashed(body, size, algorithm, want.Value)
}

// hashed makes a checksum of a body, and compares it with the one that is wanted, if any is.
func hashed(body io.Reader, size int64, algorithm types.ChecksumAlgorithm, want string) *Body {
	b := &Body{Size: size, Limit: size, known: true, algorithm: algorithm}
	if algorithm == "" {
		b.algorithm = types.ChecksumAlgorithmCrc64nvme
	}
	r, err := utils.NewHashReader(body, want, utils.HashType(strings.ToLower(string(b.algorithm))))
	if err != nil {
		b.err = err
		return b
	}
	b.reader, b.sum = r, r.Sum
	return b
}

// NewBody returns plaintext of the server's own for a copy, which is closed when the request is over. Its checksum is what the client asks for, or else of the kind
// of another.
func (r *Request) NewBody(plain io.ReadCloser, size int64, other []byte) *Body {
	r.source = plain
	algorithm := r.algorithm
	if algorithm == "" {
		algorithm = parseChecksum(other).Algorithm
	}
	return hashed(plain, size, algorithm, "")
}

// OtherChecksum reports whether the client asks for another checksum than this.
func (r *Request) OtherChecksum(sum []byte) bool {
	return r.algorithm != "" && r.algorithm != parseChecksum(sum).Algorithm
}

// Read implements io.Reader. A connection that breaks looks like an end to some readers of versitygw.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.reader.Read(p)
	b.read += int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errRequestTimeout
	}
	if errors.Is(err, io.EOF) && b.known && b.read != b.Size {
		err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	return n, err
}

// Checksum returns that of the body, when it was read to its end.
func (b *Body) Checksum() []byte {
	return checksum{b.algorithm, types.ChecksumTypeFullObject, b.sum()}.encode()
}

// ciphertext is a body for versitygw, which then has nothing to compute: it takes the word of the body for a checksum.
type ciphertext struct{ io.WriterTo }

func (ciphertext) Read([]byte) (int, error) { return 0, io.ErrNoProgress } // all is written by WriteTo
func (ciphertext) Algorithm() string        { return "crc64nvme" }
func (ciphertext) Checksum() string         { return "AAAAAAAAAAA=" }
