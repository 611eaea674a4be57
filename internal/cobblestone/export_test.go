package cobblestone

import (
	"io"
	"math"
)

// Seams for tests: a fixed salt, a stream that has come far, a machine of its own for a stream, and the key derivation.

const (
	MaxChunks       = maxChunks
	DerivedSize     = derivedSize
	MaxStackContext = maxStackContext
	MaxStackInfo    = maxStackInfo
)

var (
	ErrTooLong    = errTooLong
	ErrNotWritten = errNotWritten
)

func SealWithSalt(dst, key, context, plaintext []byte, salt [SaltSize]byte) ([]byte, error) {
	return seal(dst, key, context, plaintext, salt)
}

func NewEncryptReaderWithSalt(key, context []byte, plain io.Reader, salt [SaltSize]byte) (*EncryptReader, error) {
	return newEncryptReader(key, context, plain, salt)
}

func (r *EncryptReader) SetChunk(chunk int64) { r.chunk = chunk }
func (r *DecryptReader) SetChunk(chunk int64) { r.chunk = chunk }

// Machine stands for the cores of a process and its buffers.
type Machine = shared

func NewMachine(cores int) *Machine { return &shared{cores: int64(cores)} }

// NeverSlow makes a machine on which no message is too slow for a crew, however busy the real one is.
func (s *shared) NeverSlow() *Machine {
	s.slow = math.MaxInt64
	return s
}

func (s *shared) AddBusy(n int)  { s.busy.Add(int64(n)) }
func (s *shared) Busy() int      { return int(s.busy.Load()) }
func (s *shared) Hire(n int) int { return s.hire(n) }

func (r *EncryptReader) On(m *Machine) { r.out.shared = m }
func (r *DecryptReader) On(m *Machine) { r.out.shared = m }
func (r *ChunkReader) On(m *Machine)   { r.out.shared = m }

// KeptSlab and KeptChunk return what is in a buffer that the machine has kept, or a new one.
func (s *shared) KeptSlab() []byte  { return s.takeSlab().bytes[:] }
func (s *shared) KeptChunk() []byte { return s.takeChunk().bytes[:] }

const (
	StretchChunks = stretchChunks
	SlabChunks    = slabChunks
	MostInFlight  = (maxWorkers + 1) * slabsPerGoroutine * slabChunks // chunks
)

func Derive(key, salt, context []byte) ([DerivedSize]byte, error) {
	var d derived
	err := derive(&d, key, salt, context)
	return d, err
}

func DeriveStandard(key, salt, context []byte) ([DerivedSize]byte, error) {
	var d derived
	err := deriveStandard(&d, key, salt, context)
	return d, err
}

func Expand(prk, info []byte) [DerivedSize]byte {
	var d derived
	expand(&d, prk, info)
	return d
}
