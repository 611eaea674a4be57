package main

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/objectkms/kms/encryption"
)

// checksum is one of a plaintext, as clients know it. It is stored sealed, and its algorithm and type in clear, since listings show them.
type checksum struct {
	Algorithm types.ChecksumAlgorithm
	Type      types.ChecksumType
	Value     string
}

// tell sets the fields of a response of the gateway that stand for the checksum. The responses have nothing in common but the names of these fields.
func (c checksum) tell(response any) {
	v := reflect.ValueOf(response).Elem()
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

// public is what the gateway stores, and uses for listings.
func (c checksum) public() []byte {
	text, _ := json.Marshal(s3response.Checksum{Algorithm: c.Algorithm, Type: c.Type})
	return text
}

// seal returns the checksum as an attribute to store.
func (c checksum) seal(name string, seal func(string, []byte) ([]byte, error)) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return seal(name, text)
}

// openChecksum reads what seal has made. There is none where nothing was stored.
func openChecksum(name string, sealed []byte, open func(string, []byte) ([]byte, error)) (c checksum, err error) {
	if len(sealed) == 0 {
		return c, nil
	}
	text, err := open(name, sealed)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

// plaintext is the body of a request. It knows its checksum when it was read to its end.
type plaintext struct {
	io.Reader
	size      int64 // declared, or -1
	read      int64
	algorithm types.ChecksumAlgorithm
	sum       func() string
}

// newPlaintext takes the checksum out of a request of the gateway, which would compare it with ciphertext, and compares it with the body.
func newPlaintext(request any, body io.Reader, size int64) (*plaintext, error) {
	v := reflect.ValueOf(request).Elem()
	p := &plaintext{size: size, algorithm: types.ChecksumAlgorithm(v.FieldByName("ChecksumAlgorithm").String())}
	want := given(request)
	if want.Value != "" {
		p.algorithm = want.Algorithm
	}
	checksum{}.tell(request)
	if r, ok := body.(middlewares.ChecksumReader); ok && r.Algorithm() != "" { // it comes behind the body, and is compared there
		p.Reader, p.sum, p.algorithm = r, r.Checksum, types.ChecksumAlgorithm(strings.ToUpper(r.Algorithm()))
		return p, nil
	}
	if p.algorithm == "" {
		p.algorithm = types.ChecksumAlgorithmCrc64nvme
	}
	r, err := utils.NewHashReader(body, want.Value, utils.HashType(strings.ToLower(string(p.algorithm))))
	if err != nil {
		return nil, err
	}
	p.Reader, p.sum = r, r.Sum
	return p, nil
}

// given returns the checksum in a request, or in a part of one.
func given(request any) (c checksum) {
	v := reflect.ValueOf(request).Elem()
	for _, name := range c.Algorithm.Values() {
		if field := v.FieldByName("Checksum" + string(name)); !field.IsNil() {
			c.Algorithm, c.Value = name, field.Elem().String()
		}
	}
	return c
}

// Read implements io.Reader. A connection that breaks looks like an end to some readers of the gateway.
func (p *plaintext) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.read += int64(n)
	if err == io.EOF && p.size >= 0 && p.read != p.size {
		err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	return n, err
}

func (p *plaintext) checksum() checksum {
	return checksum{p.algorithm, types.ChecksumTypeFullObject, p.sum()}
}

// ciphertext is a body for the gateway, which then has nothing to compute: it takes the word of the body for a checksum.
type ciphertext struct{ io.WriterTo }

func (ciphertext) Read([]byte) (int, error) { return 0, io.ErrNoProgress } // all is written by WriteTo
func (ciphertext) Algorithm() string        { return "crc64nvme" }
func (ciphertext) Checksum() string         { return "AAAAAAAAAAA=" }

var _ encryption.Header = header{}
