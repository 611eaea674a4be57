package admin

import (
	"encoding/json"
	"errors"
	"strconv"

	"github.com/objectkms/kms"
)

// Routes are the methods and paths of the handler.
func Routes() (found []string) {
	for _, r := range routes() {
		found = append(found, r.method+" "+r.path)
	}
	return found
}

// Workers is what a status says of the workers.
func Workers(status kms.ServiceStatus) (string, error) {
	text, err := json.Marshal(statusAnswer{Probe: probeOf(status.Probe), Sweep: sweepOf(status.Sweep), Rotation: rotationOf(status.Rotation)})
	return string(text), err
}

// Codes are all codes of errors, with their statuses.
func Codes() map[string]string {
	codes := make(map[string]string)
	add := func(err error) {
		status, told := describe(err)
		codes[told.Code] = strconv.Itoa(status)
	}
	for _, c := range classes() {
		add(c.err)
	}
	for _, err := range []error{errNoRoute, errMethod, errTooLarge, errors.New("odd")} {
		add(err)
	}
	return codes
}
