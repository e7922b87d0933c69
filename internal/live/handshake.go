package live

// Why connections to a provider's port became no session: the words that
// HandshakeRefused is given.
const (
	RefusedTLS         = "tls"         // no TLS 1.3 handshake: another protocol, or an older version
	RefusedCertificate = "certificate" // the client's certificate is missing, expired, revoked or of another CA
	RefusedUntrusted   = "untrusted"   // the client broke the handshake off: it does not trust the provider's certificate, most often
	RefusedProtocol    = "protocol"    // no ambassador, or one of another version: no ALPN, or no hello
	RefusedDenied      = "denied"      // the certificate is good, and the provider grants its holder nothing, or no more
	RefusedTimeout     = "timeout"     // not done within the handshake's time
	RefusedBusy        = "busy"        // gave way, because too many connections were unauthenticated at a time
	RefusedGone        = "gone"        // the connection ended before the handshake did
	RefusedFailed      = "failed"      // anything else
)

// HandshakeWords are all of these.
var HandshakeWords = []string{
	RefusedTLS, RefusedCertificate, RefusedUntrusted, RefusedProtocol, RefusedDenied,
	RefusedTimeout, RefusedBusy, RefusedGone, RefusedFailed,
}
