package cobblestone

import (
	"errors"
	"fmt"
	"io"
)

// Fill reads stored bytes from r until buf is full or r ends: n < len(buf) without an error says that it ended. It fails with [ErrOpen] if r broke
// off, with the wrapped error of r if that fails, and with an error too if r answers impossible counts or, for too long, nothing at all.
func Fill(r io.Reader, buf []byte) (n int, err error) {
	src := source{r: r}
	if n, err = src.fill(buf); err != nil {
		return n, messageError(err)
	}
	return n, nil
}

// readError wraps an error of a source. One that wraps io.EOF must not pass for the end of anything.
func readError(doing string, err error) error {
	if errors.Is(err, io.EOF) {
		return &brokenOff{doing, err}
	}
	return fmt.Errorf("cobblestone: %s: %w", doing, err)
}

// brokenOff is an error that wraps io.EOF in its chain, and does not show it: it is io.ErrUnexpectedEOF, and all else that its cause is.
type brokenOff struct {
	doing string
	cause error
}

func (e *brokenOff) Error() string {
	return "cobblestone: " + e.doing + ": unexpected end: " + e.cause.Error()
}

// Is reports whether the cause is the target. There is no Unwrap, which would show io.EOF.
func (e *brokenOff) Is(target error) bool {
	return target == io.ErrUnexpectedEOF || target != io.EOF && errors.Is(e.cause, target)
}

// As finds the target in the chain of the cause.
func (e *brokenOff) As(target any) bool { return errors.As(e.cause, target) }
