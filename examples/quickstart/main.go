// Quickstart encrypts a file as an object server would, reads it back in several ways, and shows what is refused.
//
//	go run ./examples/quickstart              a file of its own choice, in a temporary directory
//	go run ./examples/quickstart FILE         your file
//	go run ./examples/quickstart -dir DIR     keeps keys and objects in DIR
//	go run ./examples/quickstart -vault       master keys in the Vault of VAULT_ADDR and VAULT_TOKEN
//
// Read steps.go next: it has one short function for each step.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], console{out: os.Stdout, terminal: isTerminal(os.Stdout)})
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run is the program: it reads its arguments, prepares a directory, and walks through the steps.
func run(ctx context.Context, args []string, out console) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(out.out)
	flags.Usage = func() {
		out.line("usage: quickstart [-vault] [-dir DIR] [FILE]")
		flags.PrintDefaults()
	}
	keep := flags.String("dir", "", "keep everything in this new or empty `directory`")
	inVault := flags.Bool("vault", false, "keep the master key in the Vault of VAULT_ADDR and VAULT_TOKEN")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 1 {
		return fmt.Errorf("%d files given, want one at most", flags.NArg())
	}
	start := time.Now()
	dir, cleanUp, err := prepareDir(*keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanUp()) }()
	file, err := chooseFile(flags.Arg(0), dir)
	if err != nil {
		return err
	}
	store, err := chooseKeys(*inVault, dir)
	if err != nil {
		return err
	}
	if err := walkThrough(ctx, store, dir, file, out); err != nil {
		return err
	}
	out.line("")
	out.line("All of it took %.1f s.", time.Since(start).Seconds())
	if *keep != "" {
		out.line("Everything is kept in %s", dir)
	}
	out.line("Where to look next: examples/quickstart/steps.go, the package documentation (go doc ./encryption), docs/ARCHITECTURE.md")
	return nil
}

// prepareDir returns the directory to work in: the one to keep, which must be empty or new, or a temporary one, which
// cleanUp removes.
func prepareDir(keep string) (dir string, cleanUp func() error, err error) {
	if keep == "" {
		dir, err = os.MkdirTemp("", "kms-quickstart-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	if err := os.MkdirAll(keep, 0o700); err != nil {
		return "", nil, err
	}
	entries, err := os.ReadDir(keep)
	if err != nil {
		return "", nil, err
	}
	if len(entries) > 0 {
		return "", nil, fmt.Errorf("directory %s is not empty", keep)
	}
	return keep, func() error { return nil }, nil
}

// isTerminal tells whether somebody watches.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// A console is where the program reports. Only on a terminal does it draw a progress bar.
type console struct {
	out      io.Writer
	terminal bool
}

func (c console) line(format string, args ...any) {
	fmt.Fprintf(c.out, format+"\n", args...)
}
