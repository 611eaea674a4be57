//go:build linux

package linear_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// A client does one operation after the other, and notes them.
type client struct {
	*local.Backend
	order
	number int
	pool   pool
	events []event
	end    string             // a file that is there when those who only look may go
	known  map[string]kms.Key // of a stale reader: what it goes on answering; else nil
}

// The operations, each as often as it is to come.
var operations = map[string]int{
	opCreate: 6, opDescribe: 6, opRotate: 4, opDisable: 2, opEnable: 3, opSchedule: 2, opCancel: 3, opDelete: 1, opSweep: 1,
	opEncrypt: 6, opDecrypt: 8, "rewrap": 2, "list": 2,
}

func (c *client) run() error {
	if !c.Watch {
		return c.work()
	}
	if c.number > 0 {
		return c.watch()
	}
	return errors.Join(c.work(), os.WriteFile(c.end, nil, 0o600))
}

func (c *client) work() error {
	var draw []string
	for op, often := range operations {
		draw = append(draw, slices.Repeat([]string{op}, often)...)
	}
	for range c.Operations {
		if err := c.step(draw[rand.IntN(len(draw))]); err != nil {
			return fmt.Errorf("client %d: %w", c.number, err)
		}
	}
	return nil
}

// watch looks at the keys until the history ends. Of equal answers in a row it notes the first and the last.
func (c *client) watch() error {
	seen := make(map[string][]event)
	for looks := 0; ; looks++ {
		if looks%100 == 0 {
			if _, err := os.Stat(c.end); err == nil {
				break
			}
		}
		key, call := c.Keys[looks%len(c.Keys)], now()
		described, err := c.describe(context.Background(), key)
		if err := c.note(event{Op: opDescribe, Key: key, Call: call, answer: answerOf(described)}, err); err != nil {
			return err
		}
		last := c.events[len(c.events)-1]
		c.events = c.events[:len(c.events)-1]
		if n := len(seen[key]); n > 1 && seen[key][n-1].answer == last.answer && seen[key][n-2].answer == last.answer {
			seen[key][n-1] = last
		} else {
			seen[key] = append(seen[key], last)
		}
	}
	for _, events := range seen {
		c.events = append(c.events, events...)
	}
	return nil
}

func (c *client) step(op string) error {
	key, call := c.Keys[rand.IntN(len(c.Keys))], now()
	switch op {
	case opSweep:
		return c.sweep(call)
	case "list":
		return c.list(call)
	case opDecrypt:
		return c.decrypt(call)
	case "rewrap":
		return c.rewrap(call)
	case opEncrypt:
		return c.encrypt(key, call)
	case opDelete:
		_, err := c.DeleteKey(context.Background(), &kms.DeleteKeyRequest{KeyID: key, Immediate: true, ConfirmKeyID: key})
		return c.note(event{Op: op, Key: key, Call: call}, err)
	}
	described, err := c.describing(op, key)
	return c.note(event{Op: op, Key: key, Call: call, answer: answerOf(described)}, err)
}

// note writes an operation down, which has just ended.
func (c *client) note(e event, err error) error {
	e.Return, e.Client = now(), c.number
	name, err := outcome(err)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", e.Op, e.Key, err)
	}
	if name != "" {
		e.answer = answer{Err: name}
	}
	c.events = append(c.events, e)
	return nil
}

func answerOf(key kms.Key) answer {
	a := answer{State: key.State, Version: key.Version}
	if !key.DeletionDate.IsZero() {
		a.Date = key.DeletionDate.Unix()
	}
	return a
}

// describing does an operation that answers a key's description.
func (c *client) describing(op, key string) (described kms.Key, err error) {
	ctx := context.Background()
	switch op {
	case opCreate:
		return answered(c.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: key}))(func(r *kms.CreateKeyResponse) kms.Key { return r.Key })
	case opDescribe:
		return c.describe(ctx, key)
	case opRotate:
		return answered(c.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: key}))(func(r *kms.RotateKeyResponse) kms.Key { return r.Key })
	case opDisable:
		return answered(c.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: key}))(func(r *kms.DisableKeyResponse) kms.Key { return r.Key })
	case opEnable:
		return answered(c.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: key}))(func(r *kms.EnableKeyResponse) kms.Key { return r.Key })
	case opSchedule:
		req := &kms.DeleteKeyRequest{KeyID: key, PendingWindowDays: 7 + rand.IntN(24)}
		return answered(c.DeleteKey(ctx, req))(func(r *kms.DeleteKeyResponse) kms.Key { return r.Key })
	case opCancel:
		return answered(c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: key}))(func(r *kms.CancelKeyDeletionResponse) kms.Key { return r.Key })
	}
	return described, fmt.Errorf("no operation %q", op)
}

// answered takes the description out of an answer, if there is one.
func answered[R any](resp *R, err error) func(func(*R) kms.Key) (kms.Key, error) {
	return func(key func(*R) kms.Key) (kms.Key, error) {
		if err != nil {
			return kms.Key{}, err
		}
		return key(resp), nil
	}
}

func (c *client) describe(ctx context.Context, key string) (kms.Key, error) {
	if known, ok := c.known[key]; ok {
		return known, nil
	}
	resp, err := c.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key})
	if err != nil {
		return kms.Key{}, err
	}
	if c.known != nil {
		c.known[key] = resp.Key
	}
	return resp.Key, nil
}

// sweep removes what is pending, and notes for each key whether it was.
func (c *client) sweep(call int64) error {
	removed, err := c.RemoveExpiredKeys(context.Background(), time.Now().AddDate(1, 0, 0))
	for _, key := range c.Keys {
		e := event{Op: opSweep, Key: key, Call: call, answer: answer{Removed: slices.Contains(removed, key)}}
		if err := c.note(e, err); err != nil {
			return err
		}
	}
	return nil
}

// list notes each key of this history as it was listed, or as not there. The ids sort as the histories do.
func (c *client) list(call int64) error {
	first := slices.Min(c.Keys)
	list, err := c.ListKeys(context.Background(), &kms.ListKeysRequest{Marker: first[:len(first)-1], Limit: len(c.Keys)})
	if err != nil {
		return err
	}
	if len(list.Damaged) > 0 {
		return fmt.Errorf("list: damaged: %v", list.Damaged)
	}
	for _, key := range c.Keys {
		at := slices.IndexFunc(list.Keys, func(k kms.Key) bool { return k.ID == key })
		e, err := event{Op: opDescribe, Key: key, Call: call}, error(kms.ErrKeyNotFound)
		if at >= 0 {
			e.answer, err = answerOf(list.Keys[at]), nil
		}
		if err := c.note(e, err); err != nil {
			return err
		}
	}
	return nil
}
