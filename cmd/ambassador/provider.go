package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"ambassador/certs"
	"ambassador/server"

	"go.uber.org/zap"
)

type authorizer = func(tls.ConnectionState) (server.Peer, error)

// provider is what serve has of certificates.
type provider struct {
	credentials *certs.Credentials
	authorize   authorizer
	services    map[string]server.Service
	blame       func(error) error // names the flag of a bad file

	ca         *certs.CA // nil with another CA's certificates
	passphrase string

	// After upkeep; the last three are nil with another CA's certificates.
	certificates *reloader
	grants       *grantsUpkeep
	keeper       *caUpkeep
	clients      *clientRecords
}

// newProvider takes the given files, else those of the private CA, which it
// makes when it is missing.
func newProvider(ctx context.Context, f serveFlags, environ []string, log *zap.Logger) (*provider, error) {
	if f.files.given() {
		return foreignProvider(f, environ)
	}
	if len(*f.allow) > 0 {
		return nil, usage(errors.New("--allow goes with --ca: clients of the private CA get their links from \"ambassador invite NAME --link LINK\" and \"ambassador grant NAME LINK\""))
	}
	dir, err := stateDir(*f.stateDir, environ)
	if err != nil {
		return nil, err
	}
	ca, err := ensureCA(ctx, dir, *f.passphrase, func(msg string) { log.Info(msg, zap.String("state_dir", dir)) })
	if err != nil {
		return nil, err
	}
	made, err := ca.EnsureProvider()
	if err != nil {
		return nil, err
	}
	if made {
		log.Info("made the provider's certificate", zap.String("state_dir", dir))
	}
	c, err := certs.Load(certs.StateFiles(dir), certs.RoleProvider)
	if err != nil {
		return nil, err
	}
	return &provider{
		credentials: c, authorize: admit(ca), services: enrolment(ca, c, log),
		blame: func(err error) error { return err },
		ca:    ca, passphrase: *f.passphrase,
	}, nil
}

// admit authorizes by the grants that the CA keeps.
func admit(ca *certs.CA) authorizer {
	return func(cs tls.ConnectionState) (server.Peer, error) {
		id, links, err := ca.Admit(cs)
		switch {
		case errors.Is(err, certs.ErrRevoked):
			err = &server.DeniedError{Reason: "its certificate is revoked: only a new invitation brings it back", Err: err}
		case errors.Is(err, certs.ErrUnknownClient):
			err = &server.DeniedError{Reason: "the provider has no record of it: only a new invitation brings it back", Err: err}
		}
		return server.Peer{Identity: id, Links: links}, err
	}
}

// enrolment is what invitations and renewals need of the port.
func enrolment(ca *certs.CA, c *certs.Credentials, log *zap.Logger) map[string]server.Service {
	e := &certs.Enroller{CA: ca, Credentials: c, Report: func(given certs.Enrolment) {
		msg := "client joined"
		if given.Invitation == "" {
			msg = "renewed a client's certificate"
		}
		log.Info(msg, zap.String("peer", given.Identity), zap.String("client_addr", given.Peer), zap.Strings("links", given.Links),
			zap.String("invitation", given.Invitation), zap.String("serial", given.Serial), zap.Time("not_after", given.NotAfter))
	}}
	refused := &refusals{log: log}
	waiting := tellingWaits(log)
	return map[string]server.Service{certs.EnrolProtocol: {
		TLSConfig: e.TLSConfig(),
		Serve: func(ctx context.Context, conn *tls.Conn) error {
			err := e.Serve(waiting(ctx), conn)
			if err != nil && ctx.Err() == nil {
				refused.tell(conn.RemoteAddr(), err, time.Now())
			}
			return err
		},
	}}
}

// tellBusyEvery is how often it is told that askers are turned away.
const tellBusyEvery = time.Minute

// refusals tells of enrolments that were refused.
type refusals struct {
	log *zap.Logger

	mu     sync.Mutex
	busy   int // since busyAt
	busyAt time.Time
}

func (r *refusals) tell(from net.Addr, err error, now time.Time) {
	switch {
	case errors.Is(err, certs.ErrRequest):
		// A stranger's noise: the server logs it at debug.
	case errors.Is(err, certs.ErrBusy):
		r.tellBusy(from, err, now)
	default:
		r.log.Warn("enrolment refused", zap.Stringer("client_addr", from), zap.Error(err))
	}
}

// tellBusy warns once a minute: joiners who wait would not know why.
func (r *refusals) tellBusy(from net.Addr, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy++
	if now.Sub(r.busyAt) < tellBusyEvery {
		return
	}
	r.log.Warn("too many ask to be enrolled, some are told to come back", zap.Int("turned_away", r.busy),
		zap.Stringer("client_addr", from), zap.Error(err))
	r.busy, r.busyAt = 0, now
}

// foreignProvider uses another CA's certificates: nobody may do anything that
// --allow does not say.
func foreignProvider(f serveFlags, environ []string) (*provider, error) {
	files, err := f.files.files(*f.stateDir, environ)
	if err != nil {
		return nil, err
	}
	rules, err := parseAllow(*f.allow)
	if err != nil {
		return nil, usage(err)
	}
	c, err := certs.Load(files, certs.RoleProvider)
	if err != nil {
		return nil, f.files.blame(err)
	}
	return &provider{credentials: c, authorize: rules.authorize, blame: f.files.blame}, nil
}

// upkeep keeps the certificates and grants of a server current.
func (p *provider) upkeep(s *server.Server, log *zap.Logger) *upkeep {
	changed := newAlarm()
	p.certificates = newReloader(p.credentials, p.blame, changed.ring, log)
	p.certificates.table = s.Table
	parts := []func(context.Context){every(lookEvery, nil, p.certificates.look)}
	if p.ca == nil {
		return begin(context.Background(), parts...)
	}
	p.grants = &grantsUpkeep{watch: certs.NewWatch(p.ca.GrantsPath()), reauthorize: s.Reauthorize, log: log}
	p.keeper = &caUpkeep{ca: p.ca, credentials: p.credentials, reload: p.certificates, passphrase: p.passphrase, table: s.Table, log: log}
	p.clients = newClientRecords(p.ca)
	parts = append(parts, every(lookEvery, nil, p.grants.look), every(lookEvery, nil, p.clients.look), func(ctx context.Context) {
		every(maintainEvery, changed, func() { p.keeper.maintain(ctx) })(ctx)
	})
	return begin(tellingWaits(log)(context.Background()), parts...)
}

// reload reads certificates and grants again.
func (p *provider) reload() error {
	err := p.certificates.now()
	if p.grants != nil {
		err = errors.Join(err, p.grants.apply())
	}
	return err
}
