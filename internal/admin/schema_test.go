package admin

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// documents are all that leaves as JSON.
var documents = []any{
	Status{},
	Build{},
	Link{},
	Port{},
	Peer{},
	Counts{},
	Certificate{},
	Reload{},
	Warning{},
	Links{},
	Peers{},
	Sessions{},
	Session{},
	Stream{},
	Events{},
	Event{},
	Killed{},
	Done{},
	Readiness{},
	Drained{},
	Failure{},
}

var fieldRow = regexp.MustCompile("^\\| `([a-z_]+)` \\| ([A-Za-z ]+) \\| (.*)\\|$")

// TestDocumentsAreAsDescribed holds docs/control.md and the documents together: a
// field that is new, gone, renamed or of another type fails, until the description
// says so too. Of what is there under schema 1 nothing may go.
func TestDocumentsAreAsDescribed(t *testing.T) {
	described := describedFields(t)
	for _, d := range documents {
		name := reflect.TypeOf(d).Name()
		fields := fieldsOf(reflect.TypeOf(d))
		if !slices.Equal(fields, described[name]) {
			t.Errorf("%s is not as docs/control.md has it:\n  code: %s\n  docs: %s", name, strings.Join(fields, ", "), strings.Join(described[name], ", "))
		}
		delete(described, name)
	}
	for name := range described {
		t.Errorf("docs/control.md describes %s, which is no document", name)
	}
}

// describedFields are "name type optional?" by document, from the tables.
func describedFields(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	name := ""
	for _, line := range strings.Split(string(text), "\n") {
		if title, is := strings.CutPrefix(line, "#"); is {
			name = strings.TrimLeft(title, "# ")
		}
		if m := fieldRow.FindStringSubmatch(line); m != nil {
			field := m[1] + " " + m[2]
			if regexp.MustCompile(`(^|\W)if `).MatchString(m[3]) {
				field += " optional"
			}
			all[name] = append(all[name], field)
		}
	}
	return all
}

func fieldsOf(typ reflect.Type) []string {
	var all []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous {
			continue // Counts, which has a table of its own
		}
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		field := name + " " + typeName(f.Type)
		if rest != "" {
			field += " optional"
		}
		all = append(all, field)
	}
	return all
}

func typeName(typ reflect.Type) string {
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return "time"
	case typ.Kind() == reflect.Pointer:
		return typeName(typ.Elem())
	case typ.Kind() == reflect.Slice:
		return "list of " + typeName(typ.Elem())
	case typ.Kind() == reflect.Map:
		return "map of " + typeName(typ.Elem())
	case typ.Kind() == reflect.Struct:
		return typ.Name()
	case typ.Kind() == reflect.String:
		return "string"
	case typ.Kind() == reflect.Bool:
		return "boolean"
	}
	return "number"
}
