package backend

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

// The beginnings of the variables' names.
const (
	envPrefix      = "KMS_"
	envAliasPrefix = "RUSTFS_KMS_"
)

const envConfigFile = "CONFIG_FILE"

// ConfigFromEnv reads the configuration from the environment variables of docs/CONFIG.md: KMS_BACKEND, KMS_LOCAL_KEY_DIR, and so on. Each may begin with
// RUSTFS_KMS_ in place of KMS_. A variable that is empty counts as not set. KMS_CONFIG_FILE names a configuration file, and then no other variable may be set.
//
// Errors wrap ErrInvalidConfig and name the variable; where no variable is set at all, they wrap ErrNotConfigured. Variables that are not described are not looked at.
// The secrets that come in variables stay in the memory of the process; those that come in files, named by the variables that end in _FILE, do not.
func ConfigFromEnv() (kms.Config, error) {
	values, err := readVariables()
	if err != nil {
		return kms.Config{}, asInvalid(err)
	}
	if len(values) == 0 {
		return kms.Config{}, fmt.Errorf("%w: the variable %sBACKEND is not set", kms.ErrNotConfigured, envPrefix)
	}
	if file, ok := values.find(envConfigFile); ok {
		if len(values) > 1 {
			return kms.Config{}, fmt.Errorf("%w: %s is set with %s, want one of them", kms.ErrInvalidConfig, values.other(file.name), file.name)
		}
		return ConfigFromFile(file.value)
	}
	w := new(writer)
	defer func() { clear(w.buf) }()
	var cfg kms.Config
	if err = values.write(w); err == nil {
		cfg, err = ParseConfig(w.buf)
	}
	return cfg, values.rename(err)
}

// A setting is a variable that is set.
type setting struct {
	variable
	name  string // in full
	value string
}

type settings []setting

// readVariables returns the variables that are set, in the order of their table.
func readVariables() (settings, error) {
	var found settings
	for _, v := range variables() {
		s, ok, err := v.read()
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		for _, other := range found {
			if other.path == s.path {
				return nil, invalid("", "%s is set with %s, want one of them", s.name, other.name)
			}
		}
		found = append(found, s)
	}
	return found, nil
}

// read looks a variable up under all its names. Different values are refused: nobody could tell which one counts.
func (v variable) read() (setting, bool, error) {
	s := setting{variable: v}
	for _, prefix := range []string{envPrefix, envAliasPrefix} {
		for _, suffix := range append([]string{v.suffix}, v.aliases...) {
			name := prefix + suffix
			value := os.Getenv(name)
			if value == "" {
				continue
			}
			if s.value != "" && s.value != value {
				return s, false, invalid("", "%s and %s differ, want one of them", s.name, name)
			}
			if s.value == "" {
				s.name, s.value = name, value
			}
		}
	}
	return s, s.value != "", nil
}

func (s settings) find(suffix string) (setting, bool) {
	for _, one := range s {
		if one.suffix == suffix {
			return one, true
		}
	}
	return setting{}, false
}

// other returns the name of a setting that has another name.
func (s settings) other(name string) string {
	for _, one := range s {
		if one.name != name {
			return one.name
		}
	}
	return name
}

// write writes the document that says what the variables say. The rest is the work of the one parser.
func (s settings) write(w *writer) error {
	w.open("")
	var auth settings
	for _, one := range s {
		if strings.HasPrefix(one.path, authPath) {
			auth = append(auth, one)
		} else if err := one.write(w, one.path); err != nil {
			return err
		}
	}
	if err := auth.writeAuth(w); err != nil {
		return err
	}
	w.close()
	return w.err
}

// writeAuth writes the method that all the variables of authentication must be for.
func (s settings) writeAuth(w *writer) error {
	if len(s) == 0 {
		return nil
	}
	method, _ := s[0].method()
	w.open(strings.TrimSuffix(authPath, "."))
	w.open(method)
	for _, one := range s {
		other, field := one.method()
		if other != method {
			return invalid("", "%s is set with %s, want one method of authentication", one.name, s[0].name)
		}
		if err := one.write(w, field); err != nil {
			return err
		}
	}
	w.close()
	w.close()
	return nil
}

// method returns the method of authentication that a variable is for, and the field there.
func (v variable) method() (method, field string) {
	method, field, _ = strings.Cut(strings.TrimPrefix(v.path, authPath), ".")
	return method, field
}

// write writes one field.
func (s setting) write(w *writer, field string) error {
	switch s.form {
	case formNumber:
		return w.literal(field, s, isDigits(s.value), "a whole number")
	case formBool:
		return w.literal(field, s, s.value == "true" || s.value == "false", "true or false")
	case formFile:
		text, err := readFile(s.value)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		w.secret(field, kms.NewSecret(withoutNewline(text)))
		clear(text)
	default:
		w.text(field, &s.value)
	}
	return nil
}

func (w *writer) literal(field string, s setting, ok bool, want string) error {
	if !ok {
		return invalid("", "%s: got %s, want %s", s.name, strictjson.Show(s.value), want)
	}
	w.name(field)
	w.append(s.value)
	return nil
}

func isDigits(text string) bool {
	return strings.Trim(text, "0123456789") == "" && (text == "0" || !strings.HasPrefix(text, "0"))
}

// withoutNewline takes the one newline away that most editors end a file with.
func withoutNewline(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
}

// rename puts the name of a variable in the place of the path of a field.
func (s settings) rename(err error) error {
	e, ok := errors.AsType[*strictjson.Error](err)
	if !ok {
		return err
	}
	for _, one := range s {
		if one.path == e.Path {
			return asInvalid(invalid(one.name, "%s", e.Problem))
		}
	}
	for _, v := range variables() {
		if v.path == e.Path || e.Path+"." == authPath && strings.HasPrefix(v.path, authPath) {
			return asInvalid(invalid(envPrefix+v.suffix, "%s", e.Problem))
		}
	}
	return asInvalid(err)
}
