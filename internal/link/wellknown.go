package link

import (
	"maps"
	"slices"
	"strings"
)

// wellKnown gives the ports of services by the names that people give their
// containers. Sources: IANA's service name registry for redis, postgresql,
// mysql and amqp (rabbitmq); the EXPOSE line of the official image for all
// others, of which only the ports that consumers use are taken, not those
// between the members of a cluster.
var wellKnown = map[string][]uint16{
	"cassandra":     {9042},
	"consul":        {8500},
	"couchdb":       {5984},
	"elasticsearch": {9200},
	"etcd":          {2379},
	"influxdb":      {8086},
	"kafka":         {9092},
	"mariadb":       {3306},
	"memcached":     {11211},
	"mongo":         {27017},
	"mongodb":       {27017},
	"mosquitto":     {1883},
	"mysql":         {3306},
	"nats":          {4222},
	"nginx":         {80},
	"opensearch":    {9200},
	"postgres":      {5432},
	"postgresql":    {5432},
	"rabbitmq":      {5672},
	"redis":         {6379},
	"valkey":        {6379},
	"vault":         {8200},
	"zookeeper":     {2181},
}

// WellKnownPorts returns the ports of a service by its name, in any case and
// with or without the number that Compose puts behind it (redis_1, redis-1);
// nil if the name is not in the table. No other name is guessed at.
func WellKnownPorts(name string) []uint16 {
	name = strings.ToLower(name)
	if ports, known := wellKnown[name]; known {
		return slices.Clone(ports)
	}
	base := strings.TrimRight(name, "0123456789")
	if base == name || base == "" || !strings.ContainsRune("-_", rune(base[len(base)-1])) {
		return nil
	}
	return slices.Clone(wellKnown[base[:len(base)-1]])
}

// WellKnownNames returns the names of the table, sorted.
func WellKnownNames() []string { return slices.Sorted(maps.Keys(wellKnown)) }
