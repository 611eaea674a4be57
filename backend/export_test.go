package backend

import (
	"maps"
	"slices"

	"github.com/objectkms/kms/internal/strictjson"
)

// A writer with a small buffer, to see what it leaves behind.
func WriteSecrets(buf []byte, secrets ...[]byte) []byte {
	w := &writer{buf: buf}
	w.open("")
	for _, s := range secrets {
		w.append(string(s))
	}
	return w.buf
}

// FieldNames are the names of all fields of a document but for those inside auth_method.
func FieldNames() []string {
	var r ConfigureRequest
	names := []string{"backend_type", "former"}
	for _, f := range []strictjson.Fields{r.optionFields(), r.localFields(), r.vaultFields()} {
		names = append(names, slices.Collect(maps.Keys(f))...)
	}
	return names
}

// VariableNames are the names of all environment variables, without those that begin with RUSTFS_.
func VariableNames() (names []string) {
	for _, v := range variables() {
		for _, suffix := range append([]string{v.suffix}, v.aliases...) {
			names = append(names, envPrefix+suffix)
		}
	}
	return names
}

// VariablePaths says which field each variable stands for.
func VariablePaths() map[string]string {
	paths := make(map[string]string)
	for _, v := range variables() {
		if v.suffix != envConfigFile {
			paths[envPrefix+v.suffix] = v.path
		}
	}
	return paths
}
