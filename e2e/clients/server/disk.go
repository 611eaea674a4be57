package server

import (
	"os"
	"path/filepath"
	"testing"
)

// ObjectFile returns the file that holds what is stored of an object.
func (s *Server) ObjectFile(bucket, key string) string {
	return filepath.Join(s.Dir, "objects", bucket, filepath.FromSlash(key))
}

// Flip changes one bit of a stored object and returns a function that changes it back. at says where: 0 is the first byte, and 1 the last.
func (s *Server) Flip(t testing.TB, bucket, key string, at float64) (back func()) {
	t.Helper()
	file := s.ObjectFile(bucket, key)
	info, err := os.Stat(file)
	must(t, err, "looking for a stored object")
	offset := int64(at * float64(info.Size()-1))
	flipBit(t, file, offset)
	return func() { flipBit(t, file, offset) }
}

func flipBit(t testing.TB, file string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err, "opening a stored object")
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], offset)
	must(t, err, "reading a stored object")
	b[0] ^= 1
	_, err = f.WriteAt(b[:], offset)
	must(t, err, "writing a stored object")
}

// Cut takes the end of a stored object away and returns a function that puts it back.
func (s *Server) Cut(t testing.TB, bucket, key string) (back func()) {
	t.Helper()
	file := s.ObjectFile(bucket, key)
	whole, err := os.ReadFile(file)
	must(t, err, "reading a stored object")
	must(t, os.Truncate(file, int64(len(whole)/2)), "cutting a stored object")
	return func() {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		must(t, err, "opening a stored object")
		defer f.Close()
		_, err = f.Write(whole)
		must(t, err, "writing a stored object")
	}
}
