package admin

import (
	"bytes"
	"context"
	_ "embed"
)

//go:embed openapi.json
var openAPI []byte

func (c *call) showOpenAPI() (job, error) {
	return func(context.Context) ([]byte, error) { return bytes.Clone(openAPI), nil }, nil
}
