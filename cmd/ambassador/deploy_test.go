package main

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// What operators copy from deploy/ has to be understood by the program that it
// stands beside.

const deploy = "../../deploy"

// deployed is one command line in deploy/, and how long its supervisor waits for
// the end.
type deployed struct {
	file  string
	words []string
	grace time.Duration
}

func TestDeployedCommandLinesAreUnderstood(t *testing.T) {
	lines := slices.Concat(inSystemd(t), inSwarm(t), inKubernetes(t))
	if len(lines) < 7 {
		t.Fatalf("%d command lines in deploy/", len(lines))
	}
	for _, d := range lines {
		root := newRoot(environment{stdout: io.Discard, stderr: io.Discard})
		cmd, rest, err := root.Find(d.words)
		if err != nil || cmd == root {
			t.Errorf("%s: %q is no command: %v", d.file, d.words, err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", d.file, err)
			continue
		}
		if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
			t.Errorf("%s: %v", d.file, err)
		}
		// Who is killed while it drains has connections cut that could have ended.
		if drain, err := cmd.Flags().GetDuration("drain-timeout"); err != nil || d.grace < drain+5*time.Second {
			t.Errorf("%s: waits %v for a drain of %v (%v)", d.file, d.grace, drain, err)
		}
	}
}

func TestDeployedConfigFilesAreUnderstood(t *testing.T) {
	for file, command := range map[string]string{"serve.yaml": "serve", "connect.yaml": "connect"} {
		root := newRoot(environment{stdout: io.Discard, stderr: io.Discard})
		cmd, _, err := root.Find([]string{command})
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags([]string{"--config", filepath.Join(deploy, "systemd", file)}); err != nil {
			t.Fatal(err)
		}
		if err := configure(cmd, nil); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		set := 0
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Changed && f.Name != "config" {
				set++
			}
		})
		if set == 0 {
			t.Errorf("%s sets nothing", file)
		}
	}
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func inSystemd(t *testing.T) []deployed {
	t.Helper()
	var all []deployed
	for _, path := range glob(t, "systemd/*.service") {
		d := deployed{file: path}
		for line := range strings.Lines(textOf(t, path)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "ExecStart":
				d.words = strings.Fields(value)[1:]
			case "TimeoutStopSec":
				d.grace = duration(t, value)
			}
		}
		all = append(all, d)
	}
	return all
}

func inSwarm(t *testing.T) []deployed {
	t.Helper()
	var all []deployed
	for _, path := range glob(t, "swarm/*.yml") {
		for _, doc := range documents(t, path) {
			for _, s := range maps.All(doc["services"].(map[string]any)) {
				service := s.(map[string]any)
				command, is := service["command"].(string)
				if !is {
					continue // another program
				}
				all = append(all, deployed{path, strings.Fields(command), duration(t, service["stop_grace_period"].(string))})
			}
		}
	}
	return all
}

func inKubernetes(t *testing.T) []deployed {
	t.Helper()
	var all []deployed
	for _, path := range glob(t, "kubernetes/*.yaml") {
		for _, doc := range documents(t, path) {
			if doc["kind"] != "Deployment" {
				continue
			}
			pod := doc["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
			grace := time.Duration(pod["terminationGracePeriodSeconds"].(int)) * time.Second
			for _, kind := range []string{"initContainers", "containers"} {
				containers, _ := pod[kind].([]any)
				for _, c := range containers {
					container := c.(map[string]any)
					if container["name"] != "ambassador" {
						continue
					}
					d := deployed{file: path, grace: grace}
					for _, arg := range container["args"].([]any) {
						d.words = append(d.words, arg.(string))
					}
					all = append(all, d)
				}
			}
		}
	}
	return all
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(deploy, pattern))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%s: %v %v", pattern, paths, err)
	}
	return paths
}

func documents(t *testing.T, path string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for d := yaml.NewDecoder(strings.NewReader(textOf(t, path))); ; {
		var doc map[string]any
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, doc)
	}
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
