package integration

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// composition is the project of docker-compose.yml, brought up by one of the
// two tools that read it. The file is used as it is.
type composition struct {
	*engine
	tool    []string // "docker-compose", or "docker compose"
	project string
}

// composeTools are the Compose commands of this machine.
func composeTools(t *testing.T, e *engine) map[string][]string {
	t.Helper()
	tools := map[string][]string{}
	if r := e.try(t, "compose", "version"); r.err == nil {
		tools["docker-compose-plugin"] = []string{e.docker, "compose"}
	}
	if path, err := exec.LookPath("docker-compose"); err == nil {
		tools["docker-compose"] = []string{path}
	}
	return tools
}

// testDockerCompose is the demo as a reader of the README runs it, and then what
// such a pair has to live through: the wan goes and returns, the service moves.
func testDockerCompose(t *testing.T, e *engine) {
	tools := composeTools(t, e)
	if len(tools) == 0 {
		if required("docker") {
			t.Fatal("no docker-compose and no \"docker compose\" here")
		}
		t.Skip("no docker-compose and no \"docker compose\" here")
	}
	for name, tool := range tools {
		t.Run(name, func(t *testing.T) {
			c := &composition{engine: e, tool: tool, project: e.name(t, "demo")}
			c.walk(t)
		})
	}
}

func (c *composition) walk(t *testing.T) {
	t.Cleanup(func() { c.down(t) })
	c.compose(t, "up", "--detach", "--build")

	t.Run("demo-ends-in-PONG", func(t *testing.T) {
		consumer := c.container(t, "consumer")
		if code := c.do(t, "wait", consumer); code != "0" {
			t.Fatalf("the consumer ended with %s:\n%s", code, c.do(t, "logs", consumer))
		}
		log := c.do(t, "logs", consumer)
		lines := strings.Split(strings.TrimSpace(log), "\n")
		if last := lines[len(lines)-1]; last != "PONG" {
			t.Fatalf("the consumer's last line is %q, want PONG", last)
		}
	})
	t.Run("both-ambassadors-are-healthy", func(t *testing.T) {
		for _, name := range []string{"big-server", "client-server"} {
			container := c.container(t, name)
			eventually(t, dockerTimeout, func() error {
				if state := c.do(t, "inspect", "--format", "{{.State.Health.Status}}", container); state != "healthy" {
					return fmt.Errorf("%s is %s", name, state)
				}
				return nil
			})
		}
	})
	t.Run("no-key-crosses-over", func(t *testing.T) {
		files := c.do(t, "run", "--rm", "--volume", c.project+"_token:/v", "busybox", "find", "/v", "-type", "f")
		if files != "/v/token" {
			t.Errorf("the volume that both sides mount holds %q, want the token alone", files)
		}
	})
	t.Run("run-the-consumer-again", func(t *testing.T) {
		// The README's command; -T because a test has no terminal.
		out := c.compose(t, "run", "--rm", "-T", "consumer")
		if !strings.HasSuffix(out, "PONG") {
			t.Fatalf("prints %q, want PONG", out)
		}
	})

	// A consumer that stays, so that a command costs no new container.
	consumer := c.start(t, "consumer", "--network", c.project+"_client", "redis:7", "sleep", "3600")
	big, client := c.container(t, "big-server"), c.container(t, "client-server")
	started := c.started(t, big) + c.started(t, client)
	c.works(t, consumer)

	t.Run("client-side-loses-the-wan-for-a-moment", func(t *testing.T) {
		c.disconnect(t, client, "wan")
		c.fails(t, consumer)
		c.connect(t, client, "wan")
		c.worksAgain(t, consumer)
	})
	t.Run("client-side-returns-with-another-address", func(t *testing.T) {
		before := c.address(t, client, c.project+"_wan")
		c.disconnect(t, client, "wan")
		c.squat(t, c.project+"_wan", before)
		c.fails(t, consumer)
		c.connect(t, client, "wan")
		c.worksAgain(t, consumer)
	})
	t.Run("provider-is-away-for-a-while", func(t *testing.T) {
		// Nothing tells the client: what it sends is lost, and the kernel sends
		// it again after ever longer pauses (RFC 6298, section 5.5). After such
		// an outage the next one would come later than returnLimit.
		c.disconnect(t, big, "wan")
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
			c.fails(t, consumer)
		}
		c.connect(t, big, "wan", "--alias", "big-server")
		c.worksAgain(t, consumer)
	})
	t.Run("provider-leaves-and-returns-with-another-address", func(t *testing.T) {
		before := c.address(t, big, c.project+"_wan")
		c.disconnect(t, big, "wan")
		c.squat(t, c.project+"_wan", before)
		c.fails(t, consumer)
		c.waitUnusable(t, consumer)
		c.connect(t, big, "wan", "--alias", "big-server")
		c.worksAgain(t, consumer)
	})
	t.Run("service-moves-to-another-container", func(t *testing.T) {
		old := c.container(t, "redis")
		before := c.address(t, old, c.project+"_big")
		c.do(t, "rm", "--force", "--volumes", old)
		c.squat(t, c.project+"_big", before)
		c.redis(t, "redis", "--network", c.project+"_big", "--network-alias", "redis")
		c.worksAgain(t, consumer)
	})
	if again := c.started(t, big) + c.started(t, client); again != started {
		t.Errorf("an ambassador was started again: %s, before %s", again, started)
	}
}

func (c *composition) compose(t *testing.T, args ...string) string {
	t.Helper()
	// The first "up" may build the image.
	ctx, cancel := context.WithTimeout(context.Background(), 5*dockerTimeout)
	defer cancel()
	all := append(append([]string{}, c.tool[1:]...), "--project-name", c.project)
	r := commandContext(ctx, nil, c.tool[0], append(all, args...)...)
	if r.err != nil {
		t.Fatal(r)
	}
	return r.stdout
}

// container is the one container of a service.
func (c *composition) container(t *testing.T, service string) string {
	t.Helper()
	id := c.do(t, "ps", "--all", "--quiet",
		"--filter", "label=com.docker.compose.project="+c.project,
		"--filter", "label=com.docker.compose.service="+service,
		"--filter", "label=com.docker.compose.oneoff=False")
	if id == "" || strings.Contains(id, "\n") {
		t.Fatalf("containers of the service %s: %q, want one", service, id)
	}
	return id
}

func (c *composition) down(t *testing.T) {
	if t.Failed() {
		for _, service := range []string{"redis", "big-server", "certs", "client-server", "consumer"} {
			id := c.try(t, "ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project="+c.project,
				"--filter", "label=com.docker.compose.service="+service).stdout
			if id == "" {
				continue
			}
			r := c.try(t, append([]string{"logs", "--timestamps", "--tail", "50"}, strings.Fields(id)[0])...)
			t.Logf("log of %s:\n%s\n%s", service, r.stdout, r.stderr)
		}
	}
	// --rmi local: the three names of the image that only this project has.
	c.compose(t, "down", "--volumes", "--rmi", "local", "--timeout", "2", "--remove-orphans")
}

func (c *composition) disconnect(t *testing.T, container, network string) {
	t.Helper()
	c.do(t, "network", "disconnect", c.project+"_"+network, container)
}

func (c *composition) connect(t *testing.T, container, network string, args ...string) {
	t.Helper()
	c.do(t, append(append([]string{"network", "connect"}, args...), c.project+"_"+network, container)...)
}

func (c *composition) works(t *testing.T, consumer string) {
	t.Helper()
	eventually(t, dockerTimeout, func() error {
		return c.redisCLI(t, dockerTimeout, consumer, "-h", "redis", "ping")
	})
}

// worksAgain holds that the consumer's commands work within returnLimit from
// now. A command may fail until then, but none may hang.
func (c *composition) worksAgain(t *testing.T, consumer string) {
	t.Helper()
	over := time.Now().Add(returnLimit)
	took := eventually(t, returnLimit, func() error {
		return c.redisCLI(t, time.Until(over), consumer, "-h", "redis", "ping")
	})
	t.Logf("works again after %.1fs", took.Seconds())
}

// fails holds that the consumer has no answer now: the outage is one.
func (c *composition) fails(t *testing.T, consumer string) {
	t.Helper()
	if err := c.redisCLI(t, 2*time.Second, consumer, "-h", "redis", "ping"); err == nil {
		t.Fatal("the consumer has its answer with the way to it cut")
	}
}

// waitUnusable returns when a command fails by itself instead of waiting for
// an answer: the client's ambassador has given its session up.
func (c *composition) waitUnusable(t *testing.T, consumer string) {
	t.Helper()
	eventually(t, 2*dockerTimeout, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), dockerTimeout)
		defer cancel()
		r := commandContext(ctx, nil, c.docker, "exec", consumer, "timeout", "5", "redis-cli", "-h", "redis", "ping")
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if strings.HasPrefix(r.stdout, "PONG") {
			return errors.New("it works")
		}
		// busybox and coreutils: 124 or 143 is the timeout's own.
		if r.code == 124 || r.code == 143 {
			return fmt.Errorf("it hangs: %s", r)
		}
		return nil
	})
}
