package encryption

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/objectkms/kms"
)

// ParseRange returns which bytes of the object the Range header of a GetObject or HeadObject asks for: n bytes from off, for [Object.Range] or [Object.Span]. partial says that the answer is
// 206 with a Content-Range. Without a header all of the object is asked for, and so it is, as on S3, with one that is malformed, has another unit than bytes, or has several ranges.
//
// A range that begins behind the end of the object is ErrInvalidRequest and the [*Error] InvalidRange; one that ends there is cut.
func (o *Object) ParseRange(header string) (off, n int64, partial bool, err error) {
	size := o.Size()
	first, last, ok := splitRange(header)
	if !ok {
		return 0, size, false, nil
	}
	switch {
	case first == "": // the last bytes
		n = min(atoi(last), size)
		off = size - n
	default:
		off = min(atoi(first), size)
		n = size - off
		if last != "" {
			n = min(atoi(last)-off, n-1) + 1
		}
	}
	if n == 0 {
		return 0, 0, false, errInvalidRange(fmt.Errorf("%w: range is not within %d bytes", kms.ErrInvalidRequest, size))
	}
	return off, n, true, nil
}

// splitRange returns the two numbers of a header that has one range. One of them may be empty.
func splitRange(header string) (first, last string, ok bool) {
	const unit = "bytes="
	if len(header) < len(unit) || !strings.EqualFold(header[:len(unit)], unit) {
		return "", "", false
	}
	first, last, ok = strings.Cut(strings.Trim(header[len(unit):], " \t"), "-")
	switch {
	case !ok || first+last == "" || strings.Trim(first+last, "0123456789") != "":
		return "", "", false
	case first != "" && last != "" && less(last, first):
		return "", "", false
	}
	return first, last, true
}

// less compares numbers of digits only, also those that no int64 holds.
func less(a, b string) bool {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) < 0
}

// atoi returns a number of digits only, or the largest one where it is larger.
func atoi(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return n
}
