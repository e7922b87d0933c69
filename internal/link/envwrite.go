package link

import (
	"fmt"
	"strconv"
	"strings"
)

// Env writes the link as the variables that Docker sets in a linked container,
// in Docker's order, for a consumer that reads them. Docker's _START and _END
// of ranges, which say nothing new, are not written, and neither is anything
// of ALIAS_ENV_*.
//
// FromEnv reads the same link back, its Source then being SourceEnvironment,
// with two exceptions: an Alias other than the link's name is lost (Docker has
// one word for both), and so is a link that FromEnv never reads because its
// variables would hold _ENV_ or begin with KUBERNETES_.
func (l Link) Env() []string {
	if len(l.Ports) == 0 {
		return nil
	}
	prefix := EnvPrefix(l.Name)
	env := []string{prefix + "_PORT=tcp://" + l.Ports[0].Target.String()}
	for _, p := range l.Ports {
		key := fmt.Sprintf("%s_PORT_%d_TCP", prefix, p.Number)
		env = append(
			env,
			key+"=tcp://"+p.Target.String(),
			key+"_ADDR="+p.Target.Host,
			key+"_PORT="+strconv.Itoa(int(p.Target.Port)),
			key+"_PROTO=tcp",
		)
	}
	if name := l.envName(); name != "" {
		env = append(env, prefix+"_NAME="+name)
	}
	return env
}

// envName is the value of ALIAS_NAME: Docker's form only for a link that
// Docker made, since it promises a line in /etc/hosts, and nothing if the
// prefix says all.
func (l Link) envName() string {
	switch {
	case l.Ports[0].Target.Alias == l.Name:
		return "/ambassador/" + l.Name
	case strings.ToLower(EnvPrefix(l.Name)) != l.Name:
		return l.Name
	}
	return ""
}
