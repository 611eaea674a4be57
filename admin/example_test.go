package admin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
	"github.com/objectkms/kms/backend"
)

func ExampleNew() {
	var keys kms.ServiceManager
	handler := admin.New(&keys, admin.Options{
		Decoders: backend.Standard(),
		Authorize: func(r *http.Request, call admin.Call) error {
			if kms.PrincipalOf(r.Context()) != "root" || call.Force {
				return errors.New("only root, and not by force")
			}
			return nil
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/minio/admin/v3/", http.StripPrefix("/minio/admin/v3", handler))

	configure := func(principal string) {
		body := strings.NewReader(`{"backend_type": "local", "key_dir": "/keys"}`)
		r := httptest.NewRequest(http.MethodPost, "/minio/admin/v3/kms/configure", body)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r.WithContext(kms.WithPrincipal(r.Context(), principal)))
		fmt.Println(w.Code, w.Body)
	}
	configure("nobody")
	configure("root")
	// Output:
	// 403 {"code":"AccessDenied","message":"permission denied"}
	// 400 {"code":"InvalidConfiguration","message":"invalid configuration: master_key: missing, and passphrase and root_key_file too"}
}
