package encryption

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sort"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

// The kinds of layouts.
const (
	layoutNone       = 0 // of an upload, whose body is not there yet
	layoutOneMessage = 1
	layoutParts      = 2
)

const (
	maxPartNumber = 10_000
	maxRunsSize   = 16 << 10
	runSize       = 2 + 2 + 8 // in binary form
	partLabel     = "part"
)

// A layout is the row of messages that a stored body is. A body that was not uploaded in parts is a row of one message, which has no number. The
// zero layout is that of an upload.
type layout struct {
	runs   []run
	digest [sha256.Size]byte // of parts
}

// A run is a part of the row in which the messages are equal in size and, where they have numbers, follow one another in those.
type run struct {
	first, count int // number of the first message, or 0
	size         int64

	// Where the first message of the run stands: in the row, in the plaintext, in the stored body.
	index         int
	plain, stored int64
}

// A message is one entry of the row.
type message struct {
	index         int   // in the row
	number        int   // of the part, or 0
	size          int64 // of its plaintext
	plain, stored int64 // where it begins in the object, and in the stored body
}

// oneMessage returns the layout of an object of this size that has no parts.
func oneMessage(size int64) layout {
	return layout{runs: []run{{count: 1, size: size}}}
}

func (l *layout) kind() byte {
	switch {
	case len(l.runs) == 0:
		return layoutNone
	case l.runs[0].first == 0:
		return layoutOneMessage
	}
	return layoutParts
}

// end returns the run that would follow the last one, of nothing.
func (l *layout) end() run {
	if len(l.runs) == 0 {
		return run{}
	}
	r := l.runs[len(l.runs)-1]
	n := int64(r.count)
	return run{index: r.index + r.count, plain: r.plain + n*r.size, stored: r.stored + n*StoredSize(r.size), first: r.first + r.count, size: r.size}
}

// count returns the number of messages.
func (l *layout) count() int { return l.end().index }

// partCount returns the number of parts, which is 0 for an object that has none.
func (l *layout) partCount() int {
	if l.kind() != layoutParts {
		return 0
	}
	return l.count()
}

// plainSize returns the size of the object in bytes.
func (l *layout) plainSize() int64 { return l.end().plain }

// storedSize returns the size of the stored body in bytes.
func (l *layout) storedSize() int64 { return l.end().stored }

// continues reports whether a part goes on with the last run.
func (l *layout) continues(number int, size int64) bool {
	end := l.end()
	return len(l.runs) > 0 && number == end.first && size == end.size
}

// add adds parts of equal size to the row. They must have higher numbers than all before.
func (l *layout) add(first, count int, size int64) error {
	next := l.end()
	switch {
	case count < 1 || first < max(next.first, 1) || first+count-1 > maxPartNumber:
		return fmt.Errorf("has %d parts from number %d on, want numbers from %d to %d", count, first, max(next.first, 1), maxPartNumber)
	case size < 0 || size > (MaxPlainSize-next.plain)/int64(count):
		return fmt.Errorf("has more than %d bytes in its parts", MaxPlainSize)
	}
	if l.continues(first, size) {
		l.runs[len(l.runs)-1].count += count
		return nil
	}
	next.first, next.count, next.size = first, count, size
	l.runs = append(l.runs, next)
	return nil
}

// message returns an entry of the row.
func (l *layout) message(index int) message {
	i := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].index > index }) - 1
	return l.runs[i].message(index - l.runs[i].index)
}

// holding returns the message that holds a byte of the plaintext, or the last message for the byte behind it.
func (l *layout) holding(off int64) message {
	if off == l.plainSize() {
		return l.message(l.count() - 1)
	}
	i := sort.Search(len(l.runs), func(i int) bool {
		r := l.runs[i]
		return r.plain+int64(r.count)*r.size > off
	})
	r := l.runs[i]
	return r.message(int((off - r.plain) / r.size))
}

// parts returns the numbers of the parts, in their order, and the sizes of their plaintext in bytes. It yields nothing for an object that has none.
func (l *layout) parts(yield func(number int, size int64) bool) {
	for _, r := range l.runs {
		for i := range r.count {
			if r.first == 0 || !yield(r.first+i, r.size) {
				return
			}
		}
	}
}

// part returns the message of a part number. An object without parts is its own part 1.
func (l *layout) part(number int) (message, error) {
	if l.kind() == layoutOneMessage && number == 1 {
		return l.message(0), nil
	}
	for _, r := range l.runs {
		if r.first > 0 && number >= r.first && number < r.first+r.count {
			return r.message(number - r.first), nil
		}
	}
	return message{}, errNoSuchPart(fmt.Errorf("%w: object has no part of number %d", kms.ErrInvalidRequest, number))
}

// message returns a message of the run.
func (r run) message(i int) message {
	m := message{index: r.index + i, size: r.size, plain: r.plain + int64(i)*r.size, stored: r.stored + int64(i)*StoredSize(r.size)}
	if r.first > 0 {
		m.number = r.first + i
	}
	return m
}

// context returns what the message is bound to. The object's name is not in it: a copy needs a new envelope, but no new body.
func (m message) context() []byte {
	dst := make([]byte, 0, 32)
	if m.number == 0 {
		return encctx.Bind(dst, objectLabel)
	}
	return encctx.Bind(dst, partLabel, encctx.Uint32(uint32(m.number)))
}

// within returns the range of the message's own plaintext that lies in a range of the object's.
func (m message) within(off, end int64) (start, n int64) {
	start = min(max(off-m.plain, 0), m.size)
	return start, max(min(end-m.plain, m.size)-start, 0)
}

// span returns where the chunks of a range of the object lie in the stored body, as far as the message goes.
func (m message) span(off, end int64) (start, length int64) {
	inner, n := m.within(off, end)
	start, length, err := cobblestone.Span(inner, n, m.size)
	if err != nil {
		panic("encryption: internal error: a range that is not within its message")
	}
	return m.stored + start, length
}

// A stretch is a range of an object's plaintext, and what there is in the stored body to read for it.
type stretch struct {
	off, end      int64   // of plaintext
	first, last   message // that are read
	start, length int64   // of the stored body
	whole         bool    // it is the whole body
}

// headed reports whether what is read begins with the header of the first message.
func (s stretch) headed() bool { return s.start == s.first.stored }

// stretch returns the stretch of n bytes from off. Where the range begins with the object, it begins with the first message, and where it ends with the object, it
// ends with the last one, also where these are empty.
func (l *layout) stretch(off, n int64) (stretch, error) {
	size := l.plainSize()
	if off < 0 || n < 0 || n > size-off {
		return stretch{}, errInvalidRange(fmt.Errorf("%w: range of %d bytes from %d, want it within %d bytes", kms.ErrInvalidRequest, n, off, size))
	}
	s := stretch{off: off, end: off + n, first: l.message(0), last: l.message(l.count() - 1), whole: n == size}
	if off > 0 {
		s.first = l.holding(off)
	}
	s.start, _ = s.first.span(off, s.end)
	if n == 0 && off < size {
		return s, nil
	}
	if s.end < size {
		s.last = l.holding(s.end - 1)
	}
	start, length := s.last.span(off, s.end)
	if s.start == s.first.stored+cobblestone.HeaderSize {
		s.start = s.first.stored
	}
	s.length = start + length - s.start
	return s, nil
}

// A partsDigest hashes the parts of a row in their order.
type partsDigest struct{ hash hash.Hash }

func newPartsDigest() partsDigest { return partsDigest{sha256.New()} }

func (d partsDigest) add(number int, size int64, header []byte) {
	var b [4 + 8 + cobblestone.HeaderSize]byte
	binary.BigEndian.PutUint32(b[:], uint32(number))
	binary.BigEndian.PutUint64(b[4:], uint64(size))
	copy(b[12:], header)
	d.hash.Write(b[:])
}

func (d partsDigest) sum() [sha256.Size]byte { return [sha256.Size]byte(d.hash.Sum(nil)) }
