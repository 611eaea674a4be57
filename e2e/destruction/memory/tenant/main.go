// Command tenant is a program of an ordinary user with a limit on locked memory. It calls all that packages local and mock have, and says how
// it went.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/mock"
)

var (
	dir      = flag.String("dir", "", "an empty `directory` of the user's")
	unlocked = flag.Bool("unlocked", false, "allow memory that is not locked")
	keys     = flag.Int("keys", 300, "how many keys are made in one backend")
)

// roles are what a tenant can be asked to do.
var roles = map[string]func(ctx context.Context) error{
	"refused":  refused,
	"everyday": everyday,
	"crowd":    crowd,
	"restart":  restart,
	"mock":     mocked,
}

func main() {
	limit := flag.Int("limit", 0, "how many `bytes` may be locked")
	role := flag.String("role", "", "what to do")
	flag.Parse()
	err := becomeOrdinary(uint64(*limit))
	if err == nil {
		err = roles[*role](context.Background())
	}
	if err != nil {
		fmt.Println("tenant:", err)
		os.Exit(1)
	}
	fmt.Println("done")
}

// becomeOrdinary lowers the limit, and makes root nobody: root may lock without one.
func becomeOrdinary(limit uint64) error {
	const rlimitMemlock = 8
	if err := syscall.Setrlimit(rlimitMemlock, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	const nobody = 65534
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody))
}

// config returns a configuration. Each kind of secret has a directory of its own.
func config(kind string) local.Config {
	c := local.Config{Dir: filepath.Join(*dir, kind), AllowUnlockedMemory: *unlocked}
	switch {
	case strings.HasPrefix(kind, "passphrase"):
		c.Passphrase = kms.NewSecret([]byte("correct horse battery staple"))
	case strings.HasPrefix(kind, "file"):
		c.RootKeyFile = filepath.Join(*dir, kind+".key")
	default:
		c.RootKey = kms.NewSecret([]byte("0123456789abcdef0123456789abcdef"))
	}
	return c
}

// otherConfig returns a configuration of the same directory with a secret of another kind.
func otherConfig(kind string) local.Config {
	other := config("passphrase")
	if kind == "passphrase" {
		other = config("raw")
	}
	other.Dir = config(kind).Dir
	return other
}

// expectRefusal checks the one error that there is for memory that cannot be locked.
func expectRefusal(what string, err error) error {
	if !errors.Is(err, kms.ErrInvalidConfig) || !strings.Contains(err.Error(), "memory cannot be locked") ||
		!strings.Contains(err.Error(), "AllowUnlockedMemory") {
		return fmt.Errorf("%s: got %v, want the refusal to go on without locked memory", what, err)
	}
	return nil
}

// refused opens with every kind of secret, by every way. Each is refused, whoever comes first, and leaves nothing behind that would
// refuse it later, when memory can be locked.
func refused(ctx context.Context) error {
	for _, kind := range []string{"raw", "passphrase", "file"} {
		c := config(kind)
		_, err := local.New(ctx, c)
		_, again := c.Open(ctx)
		_, managed := kms.Open(ctx, kms.Config{Backend: c})
		next := otherConfig(kind)
		changed := local.ChangeRootKey(ctx, c, next)
		var service kms.ServiceManager
		configured := service.Configure(kms.Config{Backend: c})
		if configured != nil {
			return configured
		}
		started := service.Start(ctx)
		for way, err := range map[string]error{"New": err, "Config.Open": again, "kms.Open": managed, "Start": started, "ChangeRootKey": changed} {
			if err := expectRefusal(kind+": "+way, err); err != nil {
				return err
			}
		}
		if state := service.Status().State; state != kms.ServiceError {
			return fmt.Errorf("state is %s", state)
		}
		c.AllowUnlockedMemory = true
		b, err := local.New(ctx, c)
		if err != nil {
			return err
		}
		if err := errors.Join(exercise(ctx, b, 3), b.Close()); err != nil {
			return err
		}
	}
	return nil
}

// everyday opens with every kind of secret, does everything, changes the root key, and does it again.
func everyday(ctx context.Context) error {
	for _, kind := range []string{"raw", "passphrase", "file"} {
		c := config(kind)
		b, err := local.New(ctx, c)
		if err != nil {
			return err
		}
		if err := errors.Join(exercise(ctx, b, *keys), b.Close()); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		next := otherConfig(kind)
		if err := local.ChangeRootKey(ctx, c, next); err != nil {
			return fmt.Errorf("%s: change of the root key: %w", kind, err)
		}
		opened, err := next.Open(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(wrapAll(ctx, opened, *keys), opened.Close()); err != nil {
			return fmt.Errorf("%s: after the change of the root key: %w", kind, err)
		}
		if _, err := local.New(ctx, c); !errors.Is(err, kms.ErrKeyMaterial) && !errors.Is(err, kms.ErrInvalidConfig) {
			return fmt.Errorf("%s: opened with the former root key: %w", kind, err)
		}
	}
	return nil
}

// mocked does everything with a mock, which locks no memory.
func mocked(ctx context.Context) error {
	b := mock.New()
	if err := exerciseCommon(ctx, b, *keys); err != nil {
		return err
	}
	for range 300 {
		other, err := b.Open(ctx)
		if err != nil {
			return err
		}
		if err := wrapAll(ctx, other, 3); err != nil {
			return err
		}
	}
	return b.Close()
}
