package main

import (
	"flag"
	"os"
	"strings"
	"testing"
)

func TestDocsNameWhatThereIs(t *testing.T) {
	const file = "../../docs/performance.md"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var o options
	o.base = "base"
	for _, name := range append(workNames(works()), names(systems(o))...) {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("%s does not name `%s`", file, name)
		}
	}
	flags(&o).VisitAll(func(f *flag.Flag) {
		if !strings.Contains(string(page), "\n| `-"+f.Name) {
			t.Errorf("%s does not list -%s", file, f.Name)
		}
	})
}
