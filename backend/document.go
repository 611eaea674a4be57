package backend

import (
	"errors"
	"strings"
)

// A document is a configuration taken apart.
type document struct {
	backendType  string           // empty: not given
	options      ConfigureRequest // only the fields of kms.Options
	former       []byte           // a JSON value; nil: not given
	notOfBackend string           // the name of a field given that is not of one backend alone
	backend      []member         // the fields that are the backend's own
}

// splitDocument tells the fields that every configuration has from those of the backend, which are not looked at.
func splitDocument(doc []byte) (*document, error) {
	if err := checkSyntax(doc); err != nil {
		return nil, err
	}
	members, err := splitObject(doc)
	if err != nil {
		return nil, err
	}
	parts := new(document)
	common := parts.options.optionFields()
	for _, m := range members {
		read, isOption := common[m.name]
		switch {
		case m.name == "backend_type":
			parts.backendType, err = readText(m.value)
		case m.name == "former":
			parts.former, parts.notOfBackend = m.value, m.name
		case isOption:
			err = read(m.value)
			parts.notOfBackend = m.name
		default:
			parts.backend = append(parts.backend, m)
		}
		if err != nil {
			return nil, within(m.name, err)
		}
	}
	return parts, nil
}

// fields says how each field of an object is read, by its name. What a reader answers is a fieldError of something inside the value, or any error that says
// what is wrong with it.
type fields map[string]func(value []byte) error

// decode reads the members of an object. It refuses those that are not among the fields.
func (f fields) decode(object []byte) error {
	members, err := splitObject(object)
	if err != nil {
		return err
	}
	for _, m := range members {
		read, ok := f[m.name]
		if !ok {
			return within(m.name, errors.New("unknown field"+f.suggest(m.name)))
		}
		if err := read(m.value); err != nil {
			return within(m.name, err)
		}
	}
	return nil
}

// suggest names the field that may have been meant.
func (f fields) suggest(name string) string {
	for known := range f {
		if strings.EqualFold(known, name) {
			return ", want " + known
		}
	}
	return ""
}
