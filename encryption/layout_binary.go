package encryption

import (
	"encoding/binary"
	"fmt"
)

// binarySize returns the size in bytes of the binary form.
func (l *layout) binarySize() int {
	switch l.kind() {
	case layoutOneMessage:
		return 1 + 8
	case layoutParts:
		return 1 + 2 + len(l.runs)*runSize + len(l.digest)
	}
	return 1
}

// appendBinary appends the binary form: the kind, and what belongs to it.
func (l *layout) appendBinary(dst []byte) []byte {
	kind := l.kind()
	dst = append(dst, kind)
	switch kind {
	case layoutOneMessage:
		dst = binary.BigEndian.AppendUint64(dst, uint64(l.runs[0].size))
	case layoutParts:
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(l.runs)))
		for _, r := range l.runs {
			dst = binary.BigEndian.AppendUint16(dst, uint16(r.first))
			dst = binary.BigEndian.AppendUint16(dst, uint16(r.count))
			dst = binary.BigEndian.AppendUint64(dst, uint64(r.size))
		}
		dst = append(dst, l.digest[:]...)
	}
	return dst
}

// parseLayout takes the layout of a stored object. What is cut short shows in c.
func parseLayout(c *cursor) (layout, error) {
	switch kind := c.byte(); kind {
	case layoutOneMessage:
		size := c.uint64()
		if size > uint64(MaxPlainSize) {
			return layout{}, fmt.Errorf("has an object size of %d bytes, want at most %d", size, MaxPlainSize)
		}
		return oneMessage(int64(size)), nil
	case layoutParts:
		return parseParts(c)
	default:
		return layout{}, fmt.Errorf("has layout %d, want %d or %d", kind, layoutOneMessage, layoutParts)
	}
}

// parseNoLayout takes the layout of an upload.
func parseNoLayout(c *cursor) (layout, error) {
	if kind := c.byte(); kind != layoutNone {
		return layout{}, fmt.Errorf("has layout %d, want %d", kind, layoutNone)
	}
	return layout{}, nil
}

// parseParts takes runs and digest. There is one form for each row: a run that could be part of the one before it is refused.
func parseParts(c *cursor) (layout, error) {
	count := int(c.uint16())
	if count < 1 || count > maxRunsSize/runSize {
		return layout{}, fmt.Errorf("has %d runs of parts, want 1 to %d", count, maxRunsSize/runSize)
	}
	runs := cursor{rest: c.take(count * runSize), short: c.short}
	l := layout{runs: make([]run, 0, len(runs.rest)/runSize)}
	for len(runs.rest) > 0 {
		first, count, size := int(runs.uint16()), int(runs.uint16()), runs.uint64()
		if size > uint64(MaxPlainSize) {
			return layout{}, fmt.Errorf("has parts of %d bytes, want at most %d", size, MaxPlainSize)
		}
		if l.continues(first, int64(size)) {
			return layout{}, fmt.Errorf("has a run of parts from number %d on that belongs to the one before it", first)
		}
		if err := l.add(first, count, int64(size)); err != nil {
			return layout{}, err
		}
	}
	copy(l.digest[:], c.take(len(l.digest)))
	return l, nil
}
