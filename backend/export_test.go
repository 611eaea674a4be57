package backend

import (
	"maps"
	"slices"
)

// Members are the names and values of an object, in its order, or an error.
func Members(object []byte) (names, values []string, err error) {
	if err := checkSyntax(object); err != nil {
		return nil, nil, err
	}
	members, err := splitObject(object)
	for _, m := range members {
		names, values = append(names, m.name), append(values, string(m.value))
	}
	return names, values, err
}

// Elements are the values of an array.
func Elements(array []byte) (values []string) {
	for _, value := range splitArray(array) {
		values = append(values, string(value))
	}
	return values
}

// Unquote returns the text of a JSON string.
func Unquote(quoted []byte) ([]byte, error) { return unquote(quoted) }

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
	for _, f := range []fields{r.optionFields(), r.localFields(), r.vaultFields()} {
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
