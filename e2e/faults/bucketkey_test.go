package faults

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/faultproxy"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/vault"
)

// With bucket keys a thousand small objects cost one data key. The KV2 engine makes data keys in this process, and asks Vault for none.
func TestAThousandSmallPutsCostOneDataKey(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		p, m := startProxy(t)
		keys, err := kms.Open(t.Context(), kms.Config{Backend: m.Config(engine), Options: kms.Options{DefaultKeyID: "k"}})
		require.NoError(t, err)
		defer keys.Close()
		create(t, keys, "k")
		service := encryption.NewService(keys, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Minute}})
		p.Forget()
		for i := range 1000 {
			id := encryption.ObjectID{Bucket: "b", Key: fmt.Sprint(i)}
			object, err := service.EncryptStream(t.Context(), id, &encryption.Request{Mode: encryption.SSEKMS, BucketKey: true}, bytes.NewReader([]byte("small")))
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, object)
			require.NoError(t, err)
			require.NoError(t, object.Close())
		}
		dataKeys := p.Count(func(r faultproxy.Request) bool { return strings.HasPrefix(r.URI, "/v1/"+m.Transit+"/datakey/") })
		all := p.Count(func(faultproxy.Request) bool { return true })
		t.Logf("%d data keys from Vault, %d requests in all", dataKeys, all)
		if engine == vault.Transit {
			require.Equal(t, 1, dataKeys)
		} else {
			require.Zero(t, dataKeys)
		}
		require.LessOrEqual(t, all, 10)
	})
}
