package integration

import (
	"strings"
	"testing"
)

// testDockerSeed walks through what the 2013 image was used for: one tier, in
// the clear, fed by Docker's own link variables or by arguments.
func testDockerSeed(t *testing.T, e *engine) {
	redis := e.redis(t, "redis")
	address := e.address(t, redis, "bridge")

	// The first one is what the README's "docker run" line says; the later
	// walks start from it.
	ambassador := e.start(t, "ambassador", "--link", redis+":redis", "--expose", "6379",
		"--publish", "127.0.0.1::6379", e.image)

	t.Run("link-variables-reach-the-service", func(t *testing.T) {
		pong(t, e.published(t, ambassador, "6379"))
	})
	t.Run("consumer-linked-to-the-ambassador", func(t *testing.T) {
		// Only what the consumer would see of a real Redis.
		consumer := e.start(t, "consumer", "--link", ambassador+":redis", "redis:7", "sleep", "600")
		out := e.do(t, "exec", consumer, "env")
		if want := "REDIS_PORT_6379_TCP=tcp://" + e.address(t, ambassador, "bridge") + ":6379"; !strings.Contains(out, want) {
			t.Errorf("the consumer's environment lacks %s:\n%s", want, out)
		}
		eventually(t, dockerTimeout, func() error { return e.redisCLI(t, dockerTimeout, consumer, "-h", "redis", "ping") })
	})
	t.Run("ambassador-linked-to-an-ambassador", func(t *testing.T) {
		// It finds REDIS_PORT_6379_TCP, its own, and REDIS_ENV_REDIS_PORT_6379_TCP,
		// the other's: whoever takes both opens 6379 twice.
		second := e.start(t, "second", "--link", ambassador+":redis", "--publish", "127.0.0.1::6379", e.image)
		pong(t, e.published(t, second, "6379"))
	})
	t.Run("host-and-port-as-arguments", func(t *testing.T) {
		for name, args := range map[string][]string{
			"bare":    {address, "6379"},
			"forward": {"forward", address, "6379"},
		} {
			a := e.start(t, name, append([]string{"--publish", "127.0.0.1::6379", e.image}, args...)...)
			pong(t, e.published(t, a, "6379"))
		}
	})
	t.Run("variable-written-by-hand", func(t *testing.T) {
		a := e.start(t, "ambassador", "--env", "REDIS_PORT_6379_TCP=tcp://"+address+":6379",
			"--publish", "127.0.0.1::6379", e.image)
		pong(t, e.published(t, a, "6379"))
	})
	t.Run("variable-with-a-host-name", func(t *testing.T) {
		// Since Docker Engine 29 sets no link variables, this is how they live
		// on: a user-defined network, and the container's name in the variable.
		network := e.network(t, "network")
		e.do(t, "network", "connect", "--alias", "redis", network, redis)
		t.Cleanup(func() { e.try(t, "network", "disconnect", "--force", network, redis) })
		a := e.start(t, "ambassador", "--network", network, "--env", "REDIS_PORT_6379_TCP=tcp://redis:6379",
			"--publish", "127.0.0.1::6379", e.image)
		pong(t, e.published(t, a, "6379"))
	})
	t.Run("local-port-is-the-number-in-the-name", func(t *testing.T) {
		a := e.start(t, "ambassador", "--env", "CACHE_PORT_80_TCP=tcp://"+address+":6379",
			"--publish", "127.0.0.1::80", e.image)
		pong(t, e.published(t, a, "80"))
	})
	t.Run("no-link-is-explained", func(t *testing.T) {
		r := e.try(t, "run", "--rm", e.image)
		if r.code != 1 {
			t.Errorf("exit code %d, want 1: %s", r.code, r)
		}
		for _, want := range []string{"_TCP=tcp://", "Docker Engine 29", "DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("the message lacks %q: %s", want, r)
			}
		}
	})
	// The last one, since it moves the Redis that the others use.
	t.Run("service-moves-to-another-address", func(t *testing.T) {
		published := e.published(t, ambassador, "6379")
		started := e.started(t, ambassador)
		// The link variables keep the old address for good; Docker corrects
		// only /etc/hosts of the linked container (moby#2801).
		e.do(t, "stop", "--time", "1", redis)
		e.squat(t, "bridge", address)
		e.do(t, "start", redis)
		eventually(t, returnLimit, func() error { return ping(published, returnLimit) })
		if again := e.started(t, ambassador); again != started {
			t.Errorf("the ambassador was started again, at %s", again)
		}
	})
}
