package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// testDockerImage holds what the Dockerfile promises, for both builders: they
// differ in how they treat owners, modes and build arguments.
func testDockerImage(t *testing.T, e *engine) {
	t.Run("classic-builder", func(t *testing.T) {
		checkImage(t, e, e.image, "devel")
	})
	t.Run("buildkit", func(t *testing.T) {
		docker, err := e.buildkit(t)
		if err != nil {
			if required("docker") {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		tag := e.run + "/buildkit"
		e.build(t, docker, "1", tag, "--build-arg", "VERSION=1.2.3-test", "--build-arg", "REVISION=abc")
		checkImage(t, e, tag, "1.2.3-test")
	})
}

// buildkit finds a docker command that drives BuildKit. Since version 23 the
// command leaves that to its buildx plugin, which Debian does not package; an
// older docker further along the PATH still does it by itself.
func (e *engine) buildkit(t *testing.T) (string, error) {
	t.Helper()
	var tried []error
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		docker, err := exec.LookPath(filepath.Join(dir, "docker"))
		if err != nil {
			continue
		}
		// An empty build context and an image of nothing: it costs no time.
		c := t.TempDir()
		if err := os.WriteFile(filepath.Join(c, "Dockerfile"), []byte("FROM scratch\nLABEL a=b\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), dockerTimeout)
		r := commandContext(ctx, []string{"DOCKER_BUILDKIT=1"}, docker, "build", "--quiet", c)
		cancel()
		if r.err == nil {
			e.try(t, "image", "rm", r.stdout)
			return docker, nil
		}
		tried = append(tried, errors.New(docker+": "+r.stderr))
	}
	return "", errors.Join(append(tried, errors.New("no docker command here drives BuildKit: install docker-buildx"))...)
}

func checkImage(t *testing.T, e *engine, image, version string) {
	t.Helper()
	var config struct {
		User         string
		ExposedPorts map[string]struct{}
		Volumes      map[string]struct{}
		Env          []string
		Entrypoint   []string
		Cmd          []string
		Labels       map[string]string
	}
	out := e.do(t, "image", "inspect", "--format", "{{json .Config}}", image)
	if err := json.Unmarshal([]byte(out), &config); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if config.User != "65532:65532" {
		t.Errorf("user %q, want 65532:65532", config.User)
	}
	if len(config.ExposedPorts) > 0 {
		t.Errorf("exposed ports %v, want none", config.ExposedPorts)
	}
	// A VOLUME would leave an anonymous volume behind every "docker run".
	if len(config.Volumes) > 0 {
		t.Errorf("volumes %v, want none", config.Volumes)
	}
	if want := []string{"/ambassador"}; !slices.Equal(config.Entrypoint, want) {
		t.Errorf("entrypoint %q, want %q", config.Entrypoint, want)
	}
	if want := []string{"forward"}; !slices.Equal(config.Cmd, want) {
		t.Errorf("command %q, want %q", config.Cmd, want)
	}
	for _, want := range []string{"AMBASSADOR_EXPOSE_HOST=0.0.0.0", "AMBASSADOR_STATE_DIR=/var/lib/ambassador"} {
		if !slices.Contains(config.Env, want) {
			t.Errorf("environment %q lacks %s", config.Env, want)
		}
	}
	for label, want := range map[string]string{
		"org.opencontainers.image.title":    "ambassador",
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.version":  version,
	} {
		if got := config.Labels[label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	if config.Labels["org.opencontainers.image.description"] == "" {
		t.Error("no org.opencontainers.image.description")
	}
	if out := e.do(t, "run", "--rm", image, "version"); !strings.Contains(out, version) {
		t.Errorf("\"version\" prints %q, want the build argument %q in it", out, version)
	}
	checkFiles(t, e, image)
	checkNewVolumes(t, e, image)
}

// checkFiles looks at every file of the image: whatever is not needed in it is
// something that can be wrong with it.
func checkFiles(t *testing.T, e *engine, image string) {
	t.Helper()
	container := e.create(t, "files", image)
	file := filepath.Join(t.TempDir(), "image.tar")
	e.do(t, "export", "--output", file, container)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	type entry struct {
		mode     int64
		uid, gid int
	}
	got := map[string]entry{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.Trim(h.Name, "/")
		// What Docker itself puts into every container.
		if top, _, _ := strings.Cut(name, "/"); name == ".dockerenv" || slices.Contains([]string{"dev", "etc", "proc", "sys"}, top) {
			continue
		}
		got[name] = entry{h.Mode & 0o7777, h.Uid, h.Gid}
		if name == "ambassador" {
			checkStatic(t, r)
		}
	}
	want := map[string]entry{
		"ambassador":         {0o755, 0, 0},
		"LICENSE":            {0o644, 0, 0},
		"NOTICE":             {0o644, 0, 0},
		"out":                {0o700, 65532, 65532},
		"var":                {0o755, 0, 0},
		"var/lib":            {0o755, 0, 0},
		"var/lib/ambassador": {0o700, 65532, 65532},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("files of the image:\n got %v\nwant %v", got, want)
	}
}

func checkStatic(t *testing.T, program io.Reader) {
	t.Helper()
	all, err := io.ReadAll(program)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(all))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("/ambassador wants a dynamic loader, which the image has not")
		}
	}
}

// checkNewVolumes holds what makes "-v NAME:/var/lib/ambassador" work: the
// volume takes owner and mode from the image.
func checkNewVolumes(t *testing.T, e *engine, image string) {
	t.Helper()
	for short, dir := range map[string]string{"state": "/var/lib/ambassador", "out": "/out"} {
		v := e.volume(t, short)
		e.do(t, "run", "--rm", "--volume", v+":"+dir, image, "version")
		got := e.do(t, "run", "--rm", "--volume", v+":/v", "busybox", "stat", "-c", "%u:%g %a", "/v")
		if want := "65532:65532 700"; got != want {
			t.Errorf("new volume on %s: owner and mode %s, want %s", dir, got, want)
		}
	}
}
