package admin

import (
	"time"

	"ambassador/internal/live"
)

// families are the metrics there are.
//
// Labels are link and peer: as many as are configured and were let in. Nothing that
// a stranger decides on becomes a label, and no address and no session does.
var families = []family{
	{
		name: "build_info", help: "Always 1; the labels say which program it is.",
		labels: []string{"version", "revision", "goversion", "role"}, kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			put(1, s.a.Build.Version, s.a.Build.Commit, s.a.Build.Go, s.a.Role)
		},
	},
	{
		name: "ready", help: "1 if the tunnel is up and the backends of all links answer, as /readyz says.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) { put(one(s.ready)) },
	},
	{
		name: "draining", help: "1 if it takes no new connections and ends with the last one.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) { put(one(s.facts.Draining)) },
	},
	{
		name: "warnings", help: "Number of warnings that status shows.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) { put(float64(s.warned)) },
	},
	{
		name: "tunnel_up", help: "1 if there is a session with the provider. Clients only.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			if s.a.Role == RoleClient {
				put(one(s.facts.Tunnel == ""))
			}
		},
	},
	{
		name: "link_up", help: "1 if the backends of all the link's ports are known to answer.", labels: byLink, kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			for i := range s.links {
				put(one(s.links[i].State == StateUp), s.links[i].Name)
			}
		},
	},
	{
		name: "link_ports", help: "Number of ports of the link.", labels: byLink, kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			for i := range s.links {
				put(float64(len(s.links[i].Ports)), s.links[i].Name)
			}
		},
	},
	{
		name: "link_ports_up", help: "Number of ports of the link whose backend is known to answer.", labels: byLink, kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			for i := range s.links {
				put(float64(portsUp(&s.links[i])), s.links[i].Name)
			}
		},
	},
	{
		name: "sessions", help: "Number of live sessions with the peer, 0 while it is away. Not of revoked ones.", labels: byPeer, kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			for i := range s.peers {
				if p := &s.peers[i]; p.Connected || !p.Revoked {
					put(float64(p.Sessions), p.Identity)
				}
			}
		},
	},
	{
		name: "sessions_opened_total", help: "Number of sessions so far; on a client those after the first one are reconnects and renewals. Not in forward.", kind: counter,
		values: func(s *scrape, put func(float64, ...string)) {
			if s.tunnels() {
				put(float64(s.SessionsOpened))
			}
		},
	},
	{
		name: "session_duration_seconds", help: "How long the sessions lasted that have ended. Not in forward.",
		histograms: func(s *scrape, put func(live.Histogram, ...string)) {
			if s.tunnels() {
				put(s.SessionSeconds)
			}
		},
	},
	{
		name: "session_rtt_seconds", help: "Last measured round trip to the peer, while it has a session.", labels: byPeer, kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			for i := range s.peers {
				if rtt := s.peers[i].RTTSeconds; rtt > 0 {
					put(rtt, s.peers[i].Identity)
				}
			}
		},
	},
	{
		name: "streams", help: "Number of running streams, those that wait or connect included.", labels: byLinkAndPeer, kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			for k, a := range s.accounts {
				put(float64(a.Streams), k.link, k.peer)
			}
		},
	},
	{
		name: "streams_opened_total", help: "Number of streams so far, running ones included.", labels: byLinkAndPeer, kind: counter,
		values: func(s *scrape, put func(float64, ...string)) {
			for k, a := range s.accounts {
				put(float64(a.Opened), k.link, k.peer)
			}
		},
	},
	{
		name: "streams_ended_total", help: "Number of streams that have ended, by close reason.", labels: byLinkAndCause, kind: counter,
		values: func(s *scrape, put func(float64, ...string)) {
			for link, a := range s.byLink {
				// From 0 on, so that the first one of its kind is a rise.
				for why := live.Running + 1; why < live.Reasons; why++ {
					put(float64(a.Ended[why]), link, why.String())
				}
			}
		},
	},
	{
		name: "in_bytes_total", help: "Payload bytes that went to backends, of running streams too.", labels: byLinkAndPeer, kind: counter,
		values: func(s *scrape, put func(float64, ...string)) {
			for k, a := range s.accounts {
				put(float64(a.Bytes.In), k.link, k.peer)
			}
		},
	},
	{
		name: "out_bytes_total", help: "Payload bytes that came from backends, of running streams too.", labels: byLinkAndPeer, kind: counter,
		values: func(s *scrape, put func(float64, ...string)) {
			for k, a := range s.accounts {
				put(float64(a.Bytes.Out), k.link, k.peer)
			}
		},
	},
	{
		name: "dial_duration_seconds", help: "How long it took to connect streams to their backends, of those that were connected. Not on a client, which dials none.", labels: byLink,
		histograms: func(s *scrape, put func(live.Histogram, ...string)) {
			if s.a.Role == RoleClient {
				return
			}
			for link, a := range s.byLink {
				put(a.DialSeconds, link)
			}
		},
	},
	{
		name: "certificate_not_after_timestamp_seconds", help: "When its certificate ends, in Unix time.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) { s.putEnd(put, "leaf") },
	},
	{
		name: "issuer_not_after_timestamp_seconds", help: "When the certificate of the CA's issuer ends that its own rests on, in Unix time.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) { s.putEnd(put, "issuer") },
	},
	{
		name: "root_not_after_timestamp_seconds", help: "When the CA's root ends, in Unix time; the last one of several.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) { s.putEnd(put, "root") },
	},
	{
		name: "certificate_renewal_failed", help: "1 if the last attempt to renew one of its certificates failed. Not in forward.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			if s.tunnels() {
				put(one(s.renewalFailed()))
			}
		},
	},
	{
		name: "peer_certificate_not_after_timestamp_seconds", help: "When the peer's certificate ends, in Unix time, if it is known. Not of revoked ones.", labels: byPeer, kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			for i := range s.peers {
				if p := &s.peers[i]; p.NotAfter != nil && !p.Revoked {
					put(seconds(*p.NotAfter), p.Identity)
				}
			}
		},
	},
	{
		name: "last_reload_successful", help: "1 if the last reload took all files over, or if there was none.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) { put(one(s.facts.ReloadError == "")) },
	},
	{
		name: "last_reload_timestamp_seconds", help: "When files were last read, in Unix time: at the start if there was no reload.", kind: gauge,
		values: func(s *scrape, put func(float64, ...string)) {
			last := s.facts.Reloaded
			if last.IsZero() {
				last = s.a.Started
			}
			if !last.IsZero() {
				put(seconds(last))
			}
		},
	},
	{
		name: "handshakes_refused_total", help: "Number of connections that became no session, by reason. Providers only.", labels: byReason, kind: counter,
		values: func(s *scrape, put func(float64, ...string)) {
			for why, n := range s.refusedHandshakes() {
				put(float64(n), why)
			}
		},
	},
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
