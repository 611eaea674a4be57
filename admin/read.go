package admin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

// firstRead is the size in bytes of the first buffer for a body.
const firstRead = 8 << 10

// read reads a body of at most so many bytes, into a buffer that is wiped in the end. None is read where none is expected.
func (c *call) read(w http.ResponseWriter, most int) error {
	if most == 0 {
		return nil
	}
	if c.request.ContentLength > int64(most) {
		w.Header().Set("Connection", "close") // or net/http waits for the body before it answers
		return errTooLarge
	}
	c.body = make([]byte, firstRead)
	body := http.MaxBytesReader(w, c.request.Body, int64(most))
	n, err := 0, error(nil)
	for err == nil {
		if n == len(c.body) {
			c.growBody()
		}
		var more int
		more, err = body.Read(c.body[n:])
		n += more
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return errTooLarge
	}
	// Not io.ReadFull: a body that is cut off and one that ends look alike to it.
	if err != io.EOF {
		return fmt.Errorf("%w: the body is cut off", kms.ErrInvalidRequest)
	}
	c.body = c.body[:n]
	return nil
}

// growBody makes room for as much again as has come: what is only announced, by somebody who may not be allowed anything, takes no memory. It leaves no copy behind.
func (c *call) growBody() {
	larger := make([]byte, 2*len(c.body))
	copy(larger, c.body)
	clear(c.body)
	c.body = larger
}

// decode reads the fields of the body. An empty one has none of them.
func (c *call) decode(fields strictjson.Fields) error {
	if len(c.body) == 0 {
		return nil
	}
	err := strictjson.Check(c.body, len(c.body))
	if err == nil {
		err = fields.Decode(c.body)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", kms.ErrInvalidRequest, err)
	}
	return nil
}

// query returns the parameters of the request, which may have these names and no others, each once. Those of a signature are passed over.
func (c *call) query(names ...string) (map[string]string, error) {
	values, err := url.ParseQuery(c.request.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%w: the query is malformed", kms.ErrInvalidRequest)
	}
	found := make(map[string]string)
	for name, all := range values {
		switch {
		case strings.HasPrefix(strings.ToLower(name), "x-amz-"):
		case !slices.Contains(names, name):
			return nil, fmt.Errorf("%w: %s", kms.ErrInvalidRequest, strictjson.Within(name, errors.New("unknown parameter")))
		case len(all) != 1:
			return nil, fmt.Errorf("%w: %s: given twice", kms.ErrInvalidRequest, name)
		default:
			found[name] = all[0]
		}
	}
	return found, nil
}

// queryForce reads the one parameter of changes of the configuration.
func (c *call) queryForce() error {
	query, err := c.query("force")
	if err != nil {
		return err
	}
	switch query["force"] {
	case "", "false":
	case "true":
		c.Force = true
	default:
		return fmt.Errorf("%w: force: want true or false", kms.ErrInvalidRequest)
	}
	return nil
}

// keyIDField reads the id of the key that the call is about.
func (c *call) keyIDField() func([]byte) error {
	return strictjson.Into(&c.KeyID, strictjson.Text)
}

// decodeKey reads a body with a key_id, which must be there, and other fields.
func (c *call) decodeKey(fields strictjson.Fields) error {
	fields["key_id"] = c.keyIDField()
	err := c.decode(fields)
	if err == nil && c.KeyID == "" {
		return missing("key_id")
	}
	return err
}

func missing(field string) error { return fmt.Errorf("%w: %s: missing", kms.ErrInvalidRequest, field) }

func number(to *int, most int) func([]byte) error {
	return strictjson.Into(to, func(value []byte) (int, error) { return strictjson.Int(value, most) })
}

// texts reads an object of texts, such as tags.
func texts(value []byte) (map[string]string, error) {
	members, err := strictjson.Object(value)
	if err != nil {
		return nil, err
	}
	found := make(map[string]string)
	for _, m := range members {
		if found[m.Name], err = strictjson.Text(m.Value); err != nil {
			return nil, strictjson.Within(m.Name, err)
		}
	}
	return found, nil
}

func encryptionContext(value []byte) (kms.EncryptionContext, error) { return texts(value) }

// maxList is how many values a list has at most: as many as RewrapDataKeys takes items.
const maxList = 10_000

// list reads a list of values of one kind.
func list[T any](read func([]byte) (T, error)) func([]byte) ([]T, error) {
	return func(value []byte) ([]T, error) {
		values, err := strictjson.Array(value, maxList)
		if err != nil {
			return nil, err
		}
		found := make([]T, len(values))
		for i, value := range values {
			if found[i], err = read(value); err != nil {
				return nil, strictjson.Within(strconv.Itoa(i), err)
			}
		}
		return found, nil
	}
}
