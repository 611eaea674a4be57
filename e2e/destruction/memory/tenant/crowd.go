package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// crowd opens backends of one directory, several at a time, until one is refused. None of the others may be harmed, and as many fit when
// they are closed. It prints how many did.
func crowd(ctx context.Context) error {
	open, err := fill(ctx)
	if err != nil {
		return err
	}
	fmt.Println(len(open), "opened")
	errs := []error{openMore(ctx)}
	if len(open) > 0 {
		errs = append(errs, exercise(ctx, open[0], 10))
	}
	for _, b := range open {
		errs = append(errs, wrapAll(ctx, b, 10), b.Close())
	}
	again, err := fill(ctx)
	for _, b := range again {
		errs = append(errs, wrapAll(ctx, b, 10), b.Close())
	}
	if err == nil && len(again) != len(open) {
		err = fmt.Errorf("%d backends fitted at first, %d afterwards", len(open), len(again))
	}
	return errors.Join(append(errs, err)...)
}

// fill opens backends in several goroutines until each was refused.
func fill(ctx context.Context) (open []*local.Backend, err error) {
	const together, tooMany = 4, 1000
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := make([]error, together)
	for g := range together {
		wg.Go(func() {
			for errs[g] == nil {
				b, err := local.New(ctx, config("raw"))
				mu.Lock()
				if errs[g] = err; err == nil {
					open = append(open, b)
				}
				if len(open) > tooMany {
					errs[g] = errors.New("the limit does not hold")
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err := expectRefusal("the last one", err); err != nil {
			return open, err
		}
	}
	return open, nil
}

// openMore opens with other secrets while no memory can be locked any more.
func openMore(ctx context.Context) error {
	_, byPassphrase := local.New(ctx, config("passphrase"))
	_, byFile := local.New(ctx, config("file"))
	return errors.Join(
		expectRefusal("passphrase", byPassphrase),
		expectRefusal("file", byFile),
		expectRefusal("change of the root key", local.ChangeRootKey(ctx, config("raw"), otherConfig("raw"))),
	)
}

// restart runs a service where one backend fits, so that no second one can be opened beside it: the change is refused, and the service goes on.
func restart(ctx context.Context) error {
	var service kms.ServiceManager
	if err := service.Configure(kms.Config{Backend: config("raw")}); err != nil {
		return err
	}
	if err := service.Start(ctx); err != nil {
		return err
	}
	for i := range 3 {
		if _, err := service.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id(i)}); err != nil {
			return err
		}
	}
	err := errors.Join(
		expectRefusal("Restart", service.Restart(ctx)),
		expectRefusal("Reconfigure", service.Reconfigure(ctx, kms.Config{Backend: config("raw"), Options: kms.Options{DefaultKeyID: id(0)}})),
		wrapAll(ctx, &service, 3),
	)
	if state := service.Status().State; state != kms.ServiceRunning {
		err = errors.Join(err, fmt.Errorf("state is %s", state))
	}
	// What needs no second backend beside the first one works.
	return errors.Join(err, service.Stop(ctx), service.Start(ctx), wrapAll(ctx, &service, 3), service.Stop(ctx))
}
