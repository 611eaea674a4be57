package cobblestone

import (
	"errors"
	"io"
)

var (
	errInvalidRead  = errors.New("cobblestone: source returned an impossible count from Read")
	errInvalidWrite = errors.New("cobblestone: writer returned an impossible count from Write")
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

// smallBuffer is enough for a short body; a stream that goes on replaces it by a buffer for whole chunks.
const smallBuffer = 4096

// load reads up to size bytes into buf from start on, and returns their number and buf, or the buffer that took its place.
// Behind what was read there is room for Overhead.
func (s *source) load(buf []byte, start, size int) ([]byte, int, error) {
	n, err := s.fill(buf[start:min(len(buf)-Overhead, start+size)])
	if err != nil || n < len(buf)-Overhead-start || n == size {
		return buf, n, err
	}
	full := make([]byte, start+size+Overhead)
	copy(full, buf[:start+n])
	more, err := s.fill(full[start+n : start+size])
	return full, n + more, err
}

// producer makes the output of a reader chunk by chunk. next appends a chunk to dst, which has the room, or, if dst is nil,
// returns it in a buffer of its own. A chunk may come with the error that follows it, and only then may it be empty.
type producer interface {
	next(dst []byte) ([]byte, error)
}

// output hands out what a producer makes.
type output struct {
	ready []byte
	err   error // follows ready, for ever
}

// fill has the next chunk made if there is nothing to hand out.
func (o *output) fill(p producer) {
	if len(o.ready) == 0 && o.err == nil {
		o.ready, o.err = p.next(nil)
	}
}

// read is io.Reader. A chunk goes to b without a copy if b has at least room bytes, which any chunk fits.
func (o *output) read(b []byte, p producer, room int) (int, error) {
	if len(b) >= room && len(o.ready) == 0 && o.err == nil {
		var made []byte
		made, o.err = p.next(b[:0])
		if len(made) > 0 {
			return len(made), nil
		}
	}
	if len(b) > 0 {
		o.fill(p)
	}
	if len(o.ready) == 0 {
		return 0, o.err
	}
	n := copy(b, o.ready)
	o.ready = o.ready[n:]
	return n, nil
}

// writeTo is io.WriterTo. What the writer did not take is handed out later.
func (o *output) writeTo(w io.Writer, p producer) (int64, error) {
	var total int64
	for {
		o.fill(p)
		if len(o.ready) == 0 {
			break
		}
		n, err := w.Write(o.ready)
		if n < 0 || n > len(o.ready) {
			return total, errInvalidWrite
		}
		total += int64(n)
		short := n < len(o.ready)
		o.ready = o.ready[n:]
		if err != nil {
			return total, err
		}
		if short {
			return total, io.ErrShortWrite
		}
	}
	if o.err == io.EOF {
		return total, nil
	}
	return total, o.err
}
