package main

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// generatedSize is the size of the file that is made where no real one is at hand.
const generatedSize = 64 << 20

// chooseFile returns the path of the file to encrypt: the one that was asked for, else the Go command itself, else
// a new one of random bytes in dir.
func chooseFile(asked, dir string) (string, error) {
	if asked != "" {
		return asked, checkFile(asked)
	}
	if command, err := exec.LookPath("go"); err == nil {
		if command, err = filepath.EvalSymlinks(command); err == nil && checkFile(command) == nil {
			return command, nil
		}
	}
	path := filepath.Join(dir, "random")
	return path, writeFile(path, io.LimitReader(rand.Reader, generatedSize))
}

// checkFile makes sure that there is something to read.
func checkFile(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	return err
}

// writeFile writes a new file from a reader, and reports what only Close sees.
func writeFile(path string, content io.Reader) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, content)
	return err
}

// sumFile returns the SHA-256 of a file, and its size.
func sumFile(path string) (sum [sha256.Size]byte, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return sum, 0, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, file)
	hash.Sum(sum[:0])
	return sum, size, err
}

// flipByte changes one bit of the byte in the middle of a file. Doing it twice restores the file.
func flipByte(path string) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	middle := info.Size() / 2
	var b [1]byte
	if _, err := file.ReadAt(b[:], middle); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = file.WriteAt(b[:], middle)
	return err
}
