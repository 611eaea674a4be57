package backend

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
