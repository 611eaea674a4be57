package cobblestone

import (
	"errors"
	"io"
)

var (
	errInvalidRead = errors.New("cobblestone: source returned an impossible count from Read")

	// errNotRead is the error after a Read that panicked: what it had read may be lost.
	errNotRead = errors.New("cobblestone: source did not return from Read")
)

// maxIdleReads is how often in a row a source may return neither bytes nor an error.
const maxIdleReads = 100

// source reads whole chunks and remembers how the reader below ended.
type source struct {
	r   io.Reader
	err error
}

// fill reads until buf is full or the reader ends: n < len(buf) without an error says that it ended. Unlike io.ReadFull
// it takes only io.EOF for the end. A reader that broke off says io.ErrUnexpectedEOF, as HTTP bodies do.
func (s *source) fill(buf []byte) (n int, err error) {
	for idle := 0; n < len(buf) && s.err == nil; {
		var m int
		s.err = errNotRead // stays if the reader panics
		m, s.err = s.r.Read(buf[n:])
		if m < 0 || m > len(buf)-n {
			s.err = errInvalidRead
			return n, s.err
		}
		n += m
		if m > 0 {
			idle = 0
		} else if idle++; idle == maxIdleReads && s.err == nil {
			s.err = io.ErrNoProgress
		}
	}
	if n < len(buf) && s.err != io.EOF {
		return n, s.err
	}
	return n, nil
}
