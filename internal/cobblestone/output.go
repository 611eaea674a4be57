package cobblestone

import (
	"errors"
	"io"
)

var (
	// errNotWritten is the error of a reader after WriteTo has failed to write: what was read and not written is lost.
	errNotWritten   = errors.New("cobblestone: message was not written to its end")
	errInvalidWrite = errors.New("cobblestone: writer returned an impossible count from Write")
)

// producer makes the output of a reader from its source.
type producer interface {
	// next appends a chunk to dst, which has the room, or, if dst is nil, returns it in a buffer of its own. A chunk may come with the
	// error that follows it, and only then may it be empty.
	next(dst []byte) ([]byte, error)

	// load reads the next chunks into a slab, for work. It sets the error that follows them, after which nothing is to be loaded.
	load(s *slab)

	// work makes the output of a slab. It may be called by several goroutines at once.
	work(s *slab)

	// free gives back the buffer of next.
	free()
}

// output hands out what a producer makes.
type output struct {
	shared *shared // nil: process
	ready  []byte
	err    error // follows ready, for ever
}

func (o *output) pool() *shared {
	if o.shared == nil {
		return &process
	}
	return o.shared
}

// fill has the next chunk made if there is nothing to hand out.
func (o *output) fill(p producer) {
	if len(o.ready) == 0 && o.err == nil {
		o.ready, o.err = p.next(nil)
		o.take(p, 0)
	}
}

// take takes n bytes off what is ready. With the last of all, the buffer is free.
func (o *output) take(p producer, n int) {
	o.ready = o.ready[n:]
	if len(o.ready) == 0 && o.err != nil {
		o.ready = nil
		p.free()
	}
}

// read is io.Reader. A chunk goes to b without a copy if b has at least room bytes, which any chunk fits.
func (o *output) read(b []byte, p producer, room int) (int, error) {
	if len(b) >= room && len(o.ready) == 0 && o.err == nil {
		var made []byte
		made, o.err = p.next(b[:0])
		o.take(p, 0)
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
	o.take(p, n)
	return n, nil
}

// writeTo is io.WriterTo. A long body is made by a crew, when there are cores for one.
func (o *output) writeTo(w io.Writer, p producer) (int64, error) {
	s := stretch{shared: o.pool()}
	defer s.leave()
	var total int64
	for {
		var n int64
		var err error
		if crew := s.crew(p); crew != nil {
			n, err = o.writeSlabs(w, crew, &s)
			o.take(p, 0)
		} else {
			s.chunks++
			n, err = o.writeChunk(w, p)
		}
		total += n
		switch {
		case err != nil:
			return total, err
		case len(o.ready) > 0 || o.err == nil:
		case o.err == io.EOF:
			return total, nil
		default:
			return total, o.err
		}
	}
}

// writeChunk writes one chunk, if one comes. The error is that of the writer.
func (o *output) writeChunk(w io.Writer, p producer) (int64, error) {
	o.fill(p)
	ready, end := o.ready, o.err
	if len(ready) == 0 {
		return 0, nil
	}
	o.ready, o.err = nil, errNotWritten // stays if the writer fails or panics
	n, err := write(w, ready)
	if err == nil {
		o.err = end
	}
	o.take(p, 0)
	return n, err
}

// writeSlabs writes what a crew makes, as long as that is of use. The error is that of the writer.
func (o *output) writeSlabs(w io.Writer, c *crew, s *stretch) (int64, error) {
	defer c.dismiss()
	o.err = errNotWritten // stays if the reader or the writer panics
	goesOn := func(b *slab) bool { return b.err == nil && s.goesOn(b.chunks) }
	var total int64
	for {
		b := c.next(goesOn)
		if b == nil {
			o.err = nil
			return total, nil
		}
		n, err := write(w, b.out)
		total += n
		if err != nil {
			return total, err
		}
		end := b.err
		c.give(b)
		if end != nil {
			o.err = end
			return total, nil
		}
	}
}

// write writes all of b, which may be empty.
func write(w io.Writer, b []byte) (int64, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := w.Write(b)
	if n < 0 || n > len(b) {
		return 0, errInvalidWrite
	}
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return int64(n), err
}
