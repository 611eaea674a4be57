package encryption

import (
	"fmt"
	"io"
	"sync"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// ReaderAt reads the plaintext of an Object from any offset. In an [io.SectionReader] of the object's Size it is what
// http.ServeContent wants, after [ReaderAt.Prefetch].
//
// Each read is that of a range, so that no row of reads sees that a part was replaced by an earlier upload of the same part and size; [Object.Range] of the whole object does.
type ReaderAt struct {
	object *Object
	stored io.ReaderAt

	mu   sync.Mutex
	held []byte // plaintext of the chunk that was read last, which nobody changes
	at   int64  // where that begins in the object
}

// NewReaderAt returns a ReaderAt over the stored body. It reads and checks the first header, 56 bytes: a body that was made with another key is ErrDecrypt. An
// error of stored is returned wrapped, here and later.
func (o *Object) NewReaderAt(stored io.ReaderAt) (*ReaderAt, error) {
	if stored == nil {
		return nil, errNilReader()
	}
	r := &ReaderAt{object: o, stored: stored}
	if err := o.messages.retain(); err != nil {
		return nil, err
	}
	defer o.messages.release()
	_, err := o.messages.fetchHeader(o.messages.layout.message(0), r.fetch)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// fetch returns n stored bytes from off.
func (r *ReaderAt) fetch(off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(r.stored, off, n)), nil
}

// Prefetch reads and authenticates the chunk that holds the byte at off, and keeps it for the reads that follow. With nil, a server can answer 200 or 206 with what begins
// there: where that is, [Object.ParseRange] says. Errors are those of ReadAt; an offset that is not within the object is ErrInvalidRequest, but for that of its end.
func (r *ReaderAt) Prefetch(off int64) error {
	m := r.object.messages
	n := min(1, m.layout.plainSize()-off)
	if n == 1 && off >= 0 {
		_, err := r.ReadAt(make([]byte, n), off)
		return err
	}
	if err := m.retain(); err != nil {
		return err
	}
	defer m.release()
	end, err := m.read(off, n, r.fetch)
	if err != nil {
		return err
	}
	return end.Close()
}

// ReadAt implements [io.ReaderAt]. It reads and opens the chunks that hold the bytes asked for, but for the one that was read last, and the headers of parts that it has not seen of late. No
// chunk is read that has no plaintext. It fails with ErrDecrypt at the first chunk that is not authentic; the n bytes before are. It is safe for concurrent use if the stored body's ReaderAt is.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: offset is %d, want 0 or more", kms.ErrInvalidRequest, off)
	}
	m := r.object.messages
	if err := m.retain(); err != nil {
		return 0, err
	}
	defer m.release()
	size := m.layout.plainSize()
	if off >= size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), size-off)
	n := r.copyHeld(p[:want], off)
	if int64(n) < want {
		more, err := r.read(p[n:want], off+int64(n))
		if n += more; err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// copyHeld copies what is held of the plaintext from off.
func (r *ReaderAt) copyHeld(p []byte, off int64) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if off < r.at || off-r.at >= int64(len(r.held)) {
		return 0
	}
	return copy(p, r.held[off-r.at:])
}

// read reads p, which is not empty and lies within the object, and holds the last chunk: whoever reads on from there begins in the middle of it.
func (r *ReaderAt) read(p []byte, off int64) (n int, err error) {
	m := r.object.messages
	begins := m.layout.chunkBegin(off + int64(len(p)) - 1)
	if off < begins {
		if n, err = r.readFull(p[:begins-off], off); err != nil {
			return n, err
		}
	}
	chunk, err := m.readChunk(begins, r.fetch)
	if err != nil {
		return n, err
	}
	n += copy(p[n:], chunk[off+int64(n)-begins:])
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held, r.at = chunk, begins
	return n, nil
}

// readFull reads p, which ends where a chunk does.
func (r *ReaderAt) readFull(p []byte, off int64) (int, error) {
	plain, err := r.object.messages.read(off, int64(len(p)), r.fetch)
	if err != nil {
		return 0, err
	}
	defer plain.Close()
	return io.ReadFull(plain, p)
}

// chunkBegin returns where the chunk that holds a byte of the plaintext begins in it.
func (l *layout) chunkBegin(off int64) int64 {
	return off - (off-l.holding(off).plain)%cobblestone.ChunkSize
}

// readChunk returns the plaintext of the chunk that begins there. It has some.
func (s *messages) readChunk(begins int64, fetch fetcher) ([]byte, error) {
	m := s.layout.holding(begins)
	decrypter := s.find(m.index)
	if decrypter == nil {
		var err error
		if decrypter, err = s.fetchHeader(m, fetch); err != nil {
			return nil, err
		}
	}
	off := begins - m.plain
	plain := make([]byte, min(cobblestone.ChunkSize, m.size-off))
	start, length, err := cobblestone.Span(off, int64(len(plain)), m.size)
	if err != nil {
		return nil, err
	}
	stored, err := fetch(m.stored+start, length)
	if err != nil {
		return nil, err
	}
	defer stored.Close()
	chunk, err := decrypter.NewChunkReader(stored, off, int64(len(plain)), m.size)
	if err == nil {
		_, err = io.ReadFull(chunk, plain) // and not the empty chunk that follows a full last one
	}
	if err != nil {
		return nil, openError(err)
	}
	return plain, nil
}
