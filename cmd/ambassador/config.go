package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// configure fills the flags that were not given on the command line: from the
// environment, else from the config file.
func configure(cmd *cobra.Command, environ []string) error {
	flags := cmd.Flags()
	given := make(map[string]bool)
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	// The environment comes first, as it may name the file.
	err := eachFlag(flags, given, func(f *pflag.Flag) error {
		value, ok := lookup(environ, envName(f.Name))
		if !ok || f.Annotations[argumentsAlone] != nil {
			return nil
		}
		given[f.Name] = true
		if err := setFlag(f, words(f, value)); err != nil {
			return fmt.Errorf("environment variable %s: %w", envName(f.Name), err)
		}
		return flags.SetAnnotation(f.Name, setBy, []string{"environment variable " + envName(f.Name)})
	})
	if err != nil {
		return usage(err)
	}
	path := flags.Lookup("config").Value.String()
	if path == "" {
		return nil
	}
	return usage(fromFile(path, cmd, given))
}

// argumentsAlone is the annotation of a flag that neither a variable nor a file
// sets: those of its name are meant for another command.
const argumentsAlone = "arguments-alone"

// setBy is the annotation that says where a flag's value came from, if not from the
// command line.
const setBy = "set-by"

// flagSource says where a flag was set.
func flagSource(cmd *cobra.Command, name string) string {
	if by := cmd.Flags().Lookup(name).Annotations[setBy]; len(by) > 0 {
		return by[0]
	}
	return "flag --" + name
}

func eachFlag(flags *pflag.FlagSet, given map[string]bool, do func(*pflag.Flag) error) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		if !given[f.Name] && f.Name != "help" {
			errs = append(errs, do(f))
		}
	})
	return errors.Join(errs...)
}

// envName is the environment variable of a flag.
func envName(flag string) string {
	return "AMBASSADOR_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// lookup finds a variable. An empty one counts as not set, as Compose writes
// those that nobody filled.
func lookup(environ []string, name string) (string, bool) {
	for _, kv := range slices.Backward(environ) {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name && v != "" {
			return v, true
		}
	}
	return "", false
}

// words splits the value of a list.
func words(f *pflag.Flag, value string) []string {
	if _, list := f.Value.(pflag.SliceValue); list {
		return strings.Fields(value)
	}
	return []string{value}
}

func setFlag(f *pflag.Flag, values []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		f.Changed = true
		return list.Replace(values)
	}
	if len(values) != 1 {
		return fmt.Errorf("takes one value, got %d", len(values))
	}
	if err := f.Value.Set(values[0]); err != nil {
		return fmt.Errorf("%q: %w", values[0], plainValue(err))
	}
	f.Changed = true
	return nil
}

// fromFile reads the config file: flags of this command by their names.
func fromFile(path string, cmd *cobra.Command, given map[string]bool) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config file: %w", err)
	}
	var values map[string]yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("config file %s: %w: expected lines such as \"link: [redis]\"", path, err)
	}
	var errs []error
	// As the file has them: several errors then come in the order of its lines.
	for _, name := range slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		return cmp.Or(cmp.Compare(values[a].Line, values[b].Line), cmp.Compare(a, b))
	}) {
		node := values[name]
		f := cmd.Flags().Lookup(name)
		if f == nil && beside(cmd) && knownToServices(cmd.Root(), name) {
			continue
		}
		if f == nil || name == "config" || name == "help" {
			errs = append(errs, fmt.Errorf("config file %s, line %d: %q is no flag of %q: see its --help", path, node.Line, name, cmd.CommandPath()))
			continue
		}
		if given[name] || f.Annotations[argumentsAlone] != nil {
			continue
		}
		if err := fromNode(f, &node); err != nil {
			errs = append(errs, fmt.Errorf("config file %s, line %d: %s: %w", path, node.Line, name, err))
			continue
		}
		errs = append(errs, cmd.Flags().SetAnnotation(name, setBy, []string{"config file " + path}))
	}
	return errors.Join(errs...)
}

// services are the commands that run until they are ended.
var services = []string{"serve", "connect", "forward"}

// beside says whether a command does its work beside a service, as "invite" does
// beside "serve": then it may be given the service's file, where AMBASSADOR_CONFIG
// names it for both, and takes from it what it knows.
func beside(cmd *cobra.Command) bool { return !slices.Contains(services, cmd.Name()) }

func knownToServices(root *cobra.Command, flag string) bool {
	return slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool {
		return slices.Contains(services, c.Name()) && c.Flags().Lookup(flag) != nil
	})
}

func fromNode(f *pflag.Flag, node *yaml.Node) error {
	values := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		values = node.Content
	}
	var texts []string
	for _, v := range values {
		if v.Kind != yaml.ScalarNode {
			return errors.New("expected a word or a list of words")
		}
		texts = append(texts, v.Value) // as written: 6379:6379 stays a word
	}
	return setFlag(f, texts)
}
