package admin

import (
	"encoding/json"

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
