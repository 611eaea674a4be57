package backend

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/objectkms/kms"
)

// ConfigFromFile reads a configuration file with the [Standard] decoders. See [Decoders.ConfigFromFile].
func ConfigFromFile(path string) (kms.Config, error) { return Standard().ConfigFromFile(path) }

// ConfigFromFile reads the configuration from a file that holds one JSON object, as ParseConfig does. It keeps no copy of the file. Errors wrap
// ErrInvalidConfig. Who may read the file may read the secrets in it: it should have mode 0600.
func (d Decoders) ConfigFromFile(path string) (kms.Config, error) {
	doc, err := readFile(path)
	if err != nil {
		return kms.Config{}, err
	}
	defer clear(doc)
	return d.ParseConfig(doc)
}

// readFile reads a file of at most maxDocument bytes into memory that the caller wipes.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrInvalidConfig, err)
	}
	defer file.Close()
	text := make([]byte, maxDocument+1) // of full size, since a buffer that grows leaves copies behind
	n, err := io.ReadFull(file, text)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return text[:n], nil
	case err != nil:
		clear(text)
		return nil, fmt.Errorf("%w: %w", kms.ErrInvalidConfig, err)
	}
	clear(text)
	return nil, fmt.Errorf("%w: the file %q has more than %d bytes", kms.ErrInvalidConfig, path, maxDocument)
}
