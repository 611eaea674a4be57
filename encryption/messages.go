package encryption

import (
	"bytes"
	"sync"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// maxOpenMessages is how many messages of one body are kept open at once.
const maxOpenMessages = 16

// messages opens the messages of one stored body. It belongs to all who read the body: the last one of them to release it wipes
// the key. It is safe for concurrent use.
type messages struct {
	layout layout

	mu     sync.Mutex
	users  int
	closed bool // for new users, and for attributes
	key    *kms.Secret
	open   []openMessage
	next   int // of open to be replaced, when it is full
}

// An openMessage is a message whose header was seen.
type openMessage struct {
	index     int
	header    []byte
	decrypter *cobblestone.Decrypter
}

// newMessages returns the messages that open with this key, for one user, and for others until close. It takes the key over.
func newMessages(layout layout, key *kms.Secret) *messages {
	return &messages{layout: layout, users: 1, key: key}
}

// newMessagesOfOne returns the messages for one user and for nobody else.
func newMessagesOfOne(layout layout, key *kms.Secret) *messages {
	s := newMessages(layout, key)
	s.closed = true
	return s
}

// retain adds a user. It fails with ErrClosed after close.
func (s *messages) retain() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return kms.ErrClosed
	}
	s.users++
	return nil
}

// close releases the messages for the first user, once, and refuses others from now on.
func (s *messages) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.wipeUnneeded()
		s.releaseLocked()
	}
}

// use calls f with the key. It fails with ErrClosed after close.
func (s *messages) use(f func(key *kms.Secret) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return kms.ErrClosed
	}
	return f(s.key)
}

func (s *messages) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked()
}

func (s *messages) releaseLocked() {
	if s.users--; s.users == 0 {
		s.key.Destroy()
		s.open = nil
	}
}

// find returns the decrypter of a message that is open, or nil.
func (s *messages) find(index int) *cobblestone.Decrypter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := s.lookup(index); open != nil {
		return open.decrypter
	}
	return nil
}

func (s *messages) lookup(index int) *openMessage {
	for i := range s.open {
		if s.open[i].index == index {
			return &s.open[i]
		}
	}
	return nil
}

// openMessage returns the decrypter of the message with this header. A message that is open has one header only.
func (s *messages) openMessage(m message, header []byte) (*cobblestone.Decrypter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := s.lookup(m.index); open != nil {
		if !bytes.Equal(open.header, header) {
			return nil, kms.ErrDecrypt
		}
		return open.decrypter, nil
	}
	decrypter, err := cobblestone.NewDecrypter(s.key.Bytes(), m.context(), header)
	if err != nil {
		return nil, openError(err)
	}
	s.keep(openMessage{m.index, header, decrypter})
	return decrypter, nil
}

// keep keeps a message open, in the place of another one if there are too many.
func (s *messages) keep(open openMessage) {
	if len(s.open) < maxOpenMessages {
		s.open = append(s.open, open)
	} else {
		s.open[s.next] = open
		s.next = (s.next + 1) % maxOpenMessages
	}
	s.wipeUnneeded()
}

// wipeUnneeded wipes the key when it has done its work: all messages are open, and nobody comes with attributes any more.
func (s *messages) wipeUnneeded() {
	if s.closed && len(s.open) == s.layout.count() {
		s.key.Destroy()
	}
}
