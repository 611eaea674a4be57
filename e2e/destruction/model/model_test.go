package model_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// sequences is how many are run.
func sequences() int {
	switch {
	case testing.Short():
		return 60
	case os.Getenv("KMS_LONG") == "1":
		return 10_000
	}
	return 400
}

// inBubble runs a sequence in a bubble of its own. In one for all of them rapid would take the days that pass there for its own time, and stop early.
// rapid ends a sequence with a panic, which must leave the bubble, and tells two ends apart by the line that they come from.
func inBubble(t *testing.T, run func()) {
	var ended any
	synctest.Test(t, func(*testing.T) {
		defer func() { ended = recover() }()
		run()
	})
	if fmt.Sprintf("%T", ended) == "rapid.invalidData" {
		panic(ended) // no more than a sequence that cannot be
	}
	if ended != nil {
		panic(ended)
	}
}

// parent is where the directories of a sequence are made: in memory where the system has a place for that, since nothing here is about disks.
func parent(t *testing.T) string {
	t.Helper()
	if dir, err := os.MkdirTemp("/dev/shm", "kms-model-"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

func TestEverythingAgreesWithTheModel(t *testing.T) {
	checks := sequences()
	if testing.Short() {
		checks *= 5 // of which rapid does a fifth then
	}
	given := !setFlag(t, "rapid.checks", fmt.Sprint(checks))
	setFlag(t, "rapid.nofailfile", "true")
	dir := parent(t)
	ran := 0
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, func() { run(rt, dir) })
		ran++
	})
	t.Logf("%d sequences", ran)
	require.True(t, given || ran >= sequences(), "only %d of %d sequences: -timeout leaves no time for more", ran, sequences())
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%6d %s", outcomes[name], name)
	}
}

// setFlag sets a flag of rapid, unless the command line has.
func setFlag(t *testing.T, name, value string) bool {
	t.Helper()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if !given {
		require.NoError(t, flag.Set(name, value))
	}
	return !given
}

// run is one sequence.
func run(t *rapid.T, parent string) {
	dir, err := os.MkdirTemp(parent, "")
	check(t, "make a directory", err, nil)
	m := newMachine(t, dir)
	defer m.close(t)
	for _, p := range m.places {
		m.fill(t, p)
	}
	settle()
	t.Repeat(map[string]func(*rapid.T){
		"":                 m.compare,
		"create":           m.create,
		"change":           m.change,
		"change more":      m.change,
		"change elsewhere": m.changeElsewhere,
		"delete":           m.deleteNow,
		"sweep":            m.sweep,
		"expire":           m.expire,
		"wait":             m.wait,
		"put":              m.put,
		"put more":         m.put,
		"put twice":        m.putTwice,
		"get":              m.get,
		"get range":        m.getRange,
		"upload":           m.upload,
		"copy":             m.copyObject,
		"rewrap all":       m.rewrapAll,
		"restart":          m.restart,
		"reconfigure":      m.reconfigure,
		"orphan":           m.orphan,
		"change root":      m.changeRoot,
		"export":           m.export,
		"import":           m.importBundle,
		"tamper":           m.tamper,
		"tamper envelope":  m.tamperEnvelope,
		"damage":           m.damageKey,
		"fault":            m.fault,
		"move away":        m.moveAway,
	})
	m.readAllObjects(t)
}
