package integration

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// returnLimit is how soon after a network or a service is back the consumer's
// commands have to work again (issue 2, item 9).
const returnLimit = 5 * time.Second

// started is when the container's process began: it tells a restart.
func (e *engine) started(t *testing.T, container string) string {
	t.Helper()
	return e.do(t, "inspect", "--format", "{{.State.StartedAt}} {{.RestartCount}}", container)
}

// testDockerPair builds the two tiers by hand, as one would on two real hosts:
// nothing of the client's side is on the provider's network.
func testDockerPair(t *testing.T, e *engine) {
	big := e.network(t, "big", "--internal")
	client := e.network(t, "client", "--internal")
	wan := e.network(t, "wan")
	state, joined := e.volume(t, "provider"), e.volume(t, "client")

	e.redis(t, "redis", "--network", big, "--network-alias", "cache")
	provider := e.create(t, "big-server", "--network", wan, "--network-alias", "big-server",
		"--volume", state+":/var/lib/ambassador", e.image, "serve", "--link", "cache:6379")
	e.do(t, "network", "connect", big, provider)
	e.do(t, "start", provider)

	e.waitLog(t, provider, "serving")
	token := strings.Fields(e.do(t, "exec", provider, "/ambassador", "invite", "client-server", "--link", "cache"))[0]

	ambassador := e.create(t, "client-server", "--network", wan, "--env", "AMBASSADOR_JOIN="+token,
		"--volume", joined+":/var/lib/ambassador", e.image, "connect", "big-server:7000", "--expose", "6379")
	e.do(t, "network", "connect", "--alias", "redis", client, ambassador)
	e.do(t, "start", ambassador)
	e.waitLog(t, ambassador, "connected to the provider")

	t.Run("keys-stay-where-they-belong", func(t *testing.T) {
		files := e.do(t, "run", "--rm", "--volume", joined+":/v", "busybox", "find", "/v", "-type", "f")
		got := strings.Fields(files)
		slices.Sort(got)
		if want := []string{"/v/ca.pem", "/v/cert.pem", "/v/joined", "/v/key.pem"}; !slices.Equal(got, want) {
			t.Errorf("the client has %v, want %v", got, want)
		}
		if mode := e.do(t, "run", "--rm", "--volume", joined+":/v", "busybox", "stat", "-c", "%u:%g %a", "/v/key.pem"); mode != "65532:65532 600" {
			t.Errorf("the client's key: owner and mode %s, want 65532:65532 600", mode)
		}
	})
	t.Run("next-start-needs-no-token", func(t *testing.T) {
		e.do(t, "restart", ambassador)
		e.waitLog(t, ambassador, "the token was used for this certificate before")
	})

	consumer := e.start(t, "consumer", "--network", client, "redis:7", "sleep", "600")

	t.Run("consumer-reaches-the-service", func(t *testing.T) {
		eventually(t, dockerTimeout, func() error {
			return e.redisCLI(t, dockerTimeout, consumer, "-h", "redis", "ping")
		})
		if err := e.redisCLI(t, dockerTimeout, consumer, "-h", "redis", "set", "k", "v"); err != nil {
			t.Error(err)
		}
	})
	t.Run("consumer-has-no-other-way", func(t *testing.T) {
		// Or the test above would prove nothing. An answer would be there at
		// once; Docker takes long to say that it knows no such name.
		for _, name := range []string{"cache", "big-server"} {
			if err := e.redisCLI(t, 2*time.Second, consumer, "-h", name, "ping"); err == nil {
				t.Errorf("the consumer reaches %s by itself", name)
			}
		}
	})
}
