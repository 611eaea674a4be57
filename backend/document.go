package backend

import "github.com/objectkms/kms/internal/strictjson"

// maxDocument is the size in bytes of the largest document that is read.
const maxDocument = 1 << 20

// A document is a configuration taken apart.
type document struct {
	backendType  string              // empty: not given
	options      ConfigureRequest    // only the fields of kms.Options
	former       []byte              // a JSON value; nil: not given
	notOfBackend string              // the name of a field given that is not of one backend alone
	backend      []strictjson.Member // the fields that are the backend's own
}

// splitDocument tells the fields that every configuration has from those of the backend, which are not looked at.
func splitDocument(doc []byte) (*document, error) {
	if err := strictjson.Check(doc, maxDocument); err != nil {
		return nil, err
	}
	members, err := strictjson.Object(doc)
	if err != nil {
		return nil, err
	}
	parts := new(document)
	common := parts.options.optionFields()
	for _, m := range members {
		read, isOption := common[m.Name]
		switch {
		case m.Name == "backend_type":
			parts.backendType, err = strictjson.Text(m.Value)
		case m.Name == "former":
			parts.former, parts.notOfBackend = m.Value, m.Name
		case isOption:
			err = read(m.Value)
			parts.notOfBackend = m.Name
		default:
			parts.backend = append(parts.backend, m)
		}
		if err != nil {
			return nil, strictjson.Within(m.Name, err)
		}
	}
	return parts, nil
}
