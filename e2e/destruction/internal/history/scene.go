package history

import "context"

// Act returns a step of a kind that can be taken in the directory which Stage has set up.
func Act(kind Kind) Step {
	ids := master.keys()
	on := map[Kind]string{
		Create: ids[4], Import: ids[4], Rotate: ids[0], Disable: ids[0], Enable: ids[1], Describe: ids[0], Tag: ids[0], Untag: ids[0],
		Schedule: ids[1], Cancel: ids[2], Erase: ids[1],
	}
	return Step{Kind: kind, Key: on[kind], Text: "new"}.normal()
}

// Stage sets up a directory in which any kind of step can be taken, and returns the bundle that Restore needs: of its keys the last
// one is missing, and for Restore a second one. Two keys wait for a sweep.
func Stage(ctx context.Context, dir Directory, record *Record, kind Kind) (bundle []byte, err error) {
	h, err := NewHands(ctx, dir, master, record.State.Root)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	for _, st := range stage(kind) {
		sealed, err := h.Do(ctx, st)
		if err == nil {
			err = record.Acknowledge(master, st, sealed)
		}
		if err != nil {
			return nil, err
		}
	}
	return h.Bundle, nil
}

func stage(kind Kind) (steps []Step) {
	ids := master.keys()
	for _, id := range ids {
		steps = append(steps, Step{Kind: Create, Key: id}, Step{Kind: Seal, Key: id})
	}
	for _, id := range []string{ids[0], ids[3], ids[4]} {
		steps = append(steps, Step{Kind: Rotate, Key: id}, Step{Kind: Seal, Key: id})
	}
	steps = append(steps,
		Step{Kind: Tag, Key: ids[0], Text: "old"}, Step{Kind: Describe, Key: ids[0], Text: "old"}, Step{Kind: Disable, Key: ids[1]},
		Step{Kind: Schedule, Key: ids[2]}, Step{Kind: Schedule, Key: ids[3]}, Step{Kind: Export}, Step{Kind: Erase, Key: ids[4]},
	)
	if kind == Restore {
		steps = append(steps, Step{Kind: Erase, Key: ids[3]})
	}
	return steps
}

// Clone returns a record that may go its own way.
func (r *Record) Clone() *Record {
	clone := *r
	clone.blobs = clone.blobs[:len(clone.blobs):len(clone.blobs)]
	return &clone
}
