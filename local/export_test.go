package local

// ParseRoots and RenderRoots are the reader and the writer of root.json.
func ParseRoots(raw []byte) (again []byte, err error) {
	roots, err := parseRoots(raw)
	if err != nil {
		return nil, err
	}
	return renderRoots(roots), nil
}

// ParseKeyFile is the reader of root key files.
var ParseKeyFile = parseKeyFile

// CheckParams says whether parameters of Argon2id are accepted.
func CheckParams(text string) error {
	_, err := parseArgon(text)
	return err
}
