package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestConsistencyOfARedisUnderFaults: several clients count and append in a real
// Redis through the pair while faults strike. Every acknowledged write is there, no
// reply reached the wrong request, and none was cut off by a clean end.
//
//	AMBASSADOR_CONSISTENCY=10m   how long; if unset, 8 s
//	AMBASSADOR_SEED=7            replays a run's faults; if unset, a new one, which the log names
func TestConsistencyOfARedisUnderFaults(t *testing.T) {
	length, seed := consistencyRun(t)
	t.Logf("AMBASSADOR_CONSISTENCY=%v AMBASSADOR_SEED=%d", length, seed)
	r := startRedis(t)
	s := startStage(t, r.addr())
	const writers = 6
	deadline := time.Now().Add(length)
	var all sync.WaitGroup
	records := make([]*record, writers)
	for i := range records {
		records[i] = &record{id: i, rand: rand.New(rand.NewPCG(seed, uint64(i+1)))}
		all.Go(func() { records[i].write(s.entry, deadline) })
	}
	faults := s.strike(rand.New(rand.NewPCG(seed, 0)), deadline)
	all.Wait()
	// Without faults again: a write that was under way may still come to its end.
	c, err := dialRedis(r.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	acked, unsure := 0, 0
	for _, rec := range records {
		rec.check(t, c)
		acked += rec.acked
		unsure += rec.unsure
	}
	t.Logf("%d faults (%v), %d transactions acknowledged, %d cut off", sum(faults), faults, acked, unsure)
	if acked < 50 || len(faults) < 3 {
		t.Errorf("%d transactions and %d kinds of fault: not much of a test", acked, len(faults))
	}
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func consistencyRun(t *testing.T) (length time.Duration, seed uint64) {
	t.Helper()
	length, seed = 8*time.Second, rand.Uint64()>>1
	if text := os.Getenv("AMBASSADOR_CONSISTENCY"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("AMBASSADOR_CONSISTENCY=%q: expected a duration such as 10m", text)
		}
		length = d
	}
	if text := os.Getenv("AMBASSADOR_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("AMBASSADOR_SEED=%q: expected a number", text)
		}
		seed = n
	}
	return length, seed
}

// stage is a pair whose processes can be ended and started again.
type stage struct {
	t        *testing.T
	dir      string
	link     string
	address  string // of the provider
	port     string // the link's
	entry    string
	carrier  *carrier
	provider *process
	client   *process
}

func startStage(t *testing.T, backend string) *stage {
	t.Helper()
	_, port, err := net.SplitHostPort(backend)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{
		t: t, dir: t.TempDir(), link: "backend=" + backend, port: port,
		address: "127.0.0.1:" + freePort(t), entry: "127.0.0.1:" + freePort(t),
	}
	issue(t, s.dir+"/provider", s.dir+"/client")
	s.provider = s.serve()
	s.carrier = newCarrier(t, s.address)
	s.client = s.connect()
	s.client.waitLog("connected to the provider")
	return s
}

func (s *stage) serve() *process {
	s.t.Helper()
	p := run(s.t, []string{"AMBASSADOR_LOG_LEVEL=info"}, "serve", "--listen", s.address, "--reuse-port", "--state-dir", s.dir+"/provider", "--link", s.link)
	p.waitLog("serving")
	return p
}

func (s *stage) connect() *process {
	s.t.Helper()
	return run(s.t, []string{"AMBASSADOR_LOG_LEVEL=info"}, "connect", s.carrier.addr(), "--state-dir", s.dir+"/client", "--expose", s.entry+"=backend:"+s.port)
}

// strike lets faults happen until the deadline, and mends what they broke. It
// returns how many of each there were.
func (s *stage) strike(r *rand.Rand, deadline time.Time) map[string]int {
	names := []string{"carrier-cut", "carrier-refused", "client-stopped", "provider-stopped", "provider-killed", "client-killed", "provider-replaced"}
	count := map[string]int{}
	for {
		pause, fault := time.Duration(100+r.IntN(500))*time.Millisecond, names[r.IntN(len(names))]
		hold := time.Duration(100+r.IntN(900)) * time.Millisecond
		if time.Until(deadline) < pause+hold {
			return count
		}
		<-time.After(pause)
		count[fault]++
		switch fault {
		case "carrier-cut":
			s.carrier.cut()
		case "carrier-refused":
			s.carrier.setRefuse(true)
			s.carrier.cut()
			<-time.After(hold)
			s.carrier.setRefuse(false)
		case "client-stopped":
			s.client.pause(hold)
		case "provider-stopped":
			s.provider.pause(hold)
		case "provider-killed":
			s.provider.signal(syscall.SIGKILL)
			<-s.provider.done
			s.provider = s.serve()
		case "client-killed":
			s.client.signal(syscall.SIGKILL)
			<-s.client.done
			s.client = s.connect()
			s.client.waitLog("local port open")
		case "provider-replaced":
			old := s.provider
			s.provider = s.serve()
			old.signal(syscall.SIGTERM)
		}
	}
}

// pause stops a process for a while.
func (p *process) pause(d time.Duration) {
	p.signal(syscall.SIGSTOP)
	<-time.After(d)
	p.signal(syscall.SIGCONT)
}

// record is one writer, and what it knows of its writes.
type record struct {
	id     int
	rand   *rand.Rand
	acked  int      // transactions whose replies were all read
	unsure int      // those that were cut off: they happened or did not
	tokens []string // of the acknowledged
	errs   []error  // what must never be
}

var errReply = errors.New("wrong reply")

func (r *record) key(kind string) string { return fmt.Sprintf("%s:%d", kind, r.id) }

// write makes transactions, over a new connection after every failure.
func (r *record) write(entry string, deadline time.Time) {
	for time.Now().Before(deadline) {
		c, err := dialRedis(entry)
		if err != nil {
			<-time.After(20 * time.Millisecond) // the client is being started
			continue
		}
		for time.Now().Before(deadline) {
			if err := r.transact(c); err != nil {
				r.unsure++
				if errors.Is(err, errReply) {
					r.errs = append(r.errs, err)
				}
				break
			}
		}
		c.conn.Close()
	}
}

var nextToken atomic.Int64

// transact counts, appends a token, and asks for an echo and for a large value, in
// one pipeline. What comes back must be the replies to exactly that.
func (r *record) transact(c *redisConn) error {
	token := fmt.Sprintf("%d.%d", r.id, nextToken.Add(1))
	large := strings.Repeat(token+",", 1+r.rand.IntN(20_000))
	c.conn.SetDeadline(time.Now().Add(patience))
	c.begin("MULTI", []string{"INCR", r.key("count")}, []string{"APPEND", r.key("log"), token + ";"}, "EXEC",
		[]string{"ECHO", token}, []string{"ECHO", large})
	for _, want := range []string{"+OK", "+QUEUED", "+QUEUED", "*2"} {
		if err := c.line(want); err != nil {
			return err
		}
	}
	count, err := c.number()
	if err != nil {
		return err
	}
	if count < r.acked+1 || count > r.acked+1+r.unsure {
		return fmt.Errorf("%w: INCR gave %d after %d acknowledged and %d unsure", errReply, count, r.acked, r.unsure)
	}
	if _, err := c.number(); err != nil {
		return err
	}
	for _, want := range []string{token, large} {
		got, err := c.bulk()
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%w: %d bytes %.30q to an echo of %d bytes %.30q", errReply, len(got), got, len(want), want)
		}
	}
	r.acked++
	r.tokens = append(r.tokens, token)
	return nil
}

// check compares what Redis has with what the writer knows.
func (r *record) check(t *testing.T, c *redisConn) {
	t.Helper()
	for _, err := range r.errs {
		t.Errorf("writer %d: %v", r.id, err)
	}
	c.conn.SetDeadline(time.Now().Add(patience))
	c.begin([]string{"INCR", r.key("count")}, []string{"GET", r.key("log")})
	count, err := c.number()
	if err != nil {
		t.Fatal(err)
	}
	log, err := c.bulk()
	if err != nil {
		t.Fatal(err)
	}
	if count--; count < r.acked || count > r.acked+r.unsure {
		t.Errorf("writer %d: the count is %d, with %d acknowledged and %d unsure", r.id, count, r.acked, r.unsure)
	}
	times := map[string]int{}
	for _, token := range strings.Split(strings.TrimSuffix(log, ";"), ";") {
		times[token]++
	}
	if len(times) != count {
		t.Errorf("writer %d: %d tokens in the log and a count of %d", r.id, len(times), count)
	}
	for _, token := range r.tokens {
		if times[token] != 1 {
			t.Errorf("writer %d: acknowledged token %s is in the log %d times", r.id, token, times[token])
		}
	}
}

// redisConn speaks RESP. An end of the connection where a reply is due is errReply
// if it is a clean one: this Redis ends none by itself.
type redisConn struct {
	conn net.Conn
	in   *bufio.Reader
	sent chan error // how the last writing ended
}

func dialRedis(addr string) (*redisConn, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	return &redisConn{conn: c, in: bufio.NewReader(c)}, nil
}

// begin has commands written, which Redis may not read before its replies are.
func (c *redisConn) begin(commands ...any) {
	var b strings.Builder
	for _, command := range commands {
		words, many := command.([]string)
		if !many {
			words = []string{command.(string)}
		}
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
	}
	sent := make(chan error, 1)
	c.sent = sent
	go func() {
		_, err := io.WriteString(c.conn, b.String())
		sent <- err
	}()
}

func (c *redisConn) read() (string, error) {
	text, err := c.in.ReadString('\n')
	if err != nil {
		return "", c.judge(err)
	}
	return strings.TrimSuffix(text, "\r\n"), nil
}

// judge marks a clean end. A socket tells of a reset once: if the writer was told,
// the reader sees what looks like an end.
func (c *redisConn) judge(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if sent := <-c.sent; isReset(sent) {
		return sent
	}
	return fmt.Errorf("%w: a clean end where a reply was due", errReply)
}

func (c *redisConn) line(want string) error {
	got, err := c.read()
	if err == nil && got != want {
		err = fmt.Errorf("%w: %.60q, expected %q", errReply, got, want)
	}
	return err
}

func (c *redisConn) counted(kind byte) (int, error) {
	text, err := c.read()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(text, string(kind)))
	if err != nil || text[0] != kind {
		return 0, fmt.Errorf("%w: %.60q, expected %c and a number", errReply, text, kind)
	}
	return n, nil
}

func (c *redisConn) number() (int, error) { return c.counted(':') }

func (c *redisConn) bulk() (string, error) {
	n, err := c.counted('$')
	if err != nil {
		return "", err
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return "", c.judge(err)
	}
	return string(b[:n]), nil
}
