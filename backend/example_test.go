package backend_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
)

func ExampleParseConfig() {
	cfg, err := backend.ParseConfig([]byte(`{
		"backend_type": "local",
		"key_dir": "/var/lib/server/keys",
		"passphrase": "correct horse battery staple",
		"timeout_seconds": 5
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Backend.BackendType(), cfg.Timeout)

	_, err = backend.ParseConfig([]byte(`{"backend_type": "local", "key_dri": "/keys"}`))
	fmt.Println(err)
	fmt.Println(errors.Is(err, kms.ErrInvalidConfig))
	// Output:
	// local 5s
	// invalid configuration: key_dri: unknown field
	// true
}

func ExampleMerge() {
	running, err := backend.ParseConfig([]byte(`{"backend_type": "local", "key_dir": "/keys", "passphrase": "correct horse battery staple"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg, err := backend.Merge(running, []byte(`{"cache_ttl_seconds": 60}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Cache.TTL)
	fmt.Println(backend.Summary(cfg).Backend.RootKeySource)
	// Output:
	// 1m0s
	// passphrase
}

func ExampleConfigureRequest() {
	request := backend.ConfigureRequest{
		BackendType:  "local",
		KeyDir:       new("/var/lib/server/keys"),
		Passphrase:   kms.NewSecret([]byte("correct horse battery staple")),
		DefaultKeyID: new("main"),
	}
	defer request.Destroy()
	cfg, err := request.Config()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.DefaultKeyID)
	shown, err := json.Marshal(request)
	fmt.Println(string(shown), err)
	// Output:
	// main
	// {"backend_type":"local","key_dir":"/var/lib/server/keys","passphrase":"[secret]","default_key_id":"main"} <nil>
}

func ExampleDecoders() {
	decoders := backend.Standard()
	decoders["static"] = func(doc json.RawMessage) (kms.BackendConfig, error) {
		var c staticConfig
		return c, json.Unmarshal(doc, &c)
	}
	cfg, err := decoders.ParseConfig([]byte(`{"backend_type": "static", "Name": "demo", "default_key_id": "demo"}`))
	fmt.Println(cfg.Backend.BackendType(), cfg.DefaultKeyID, err)
	// Output: static demo <nil>
}
