// Package certs is the private CA, and what both sides need to know each other
// by certificates: identities, files and TLS configs.
//
// A provider calls [Ensure] on its state directory, then [CA.EnsureProvider],
// then [Load] and [Credentials.ServerConfig]; [CA.Admit] says who a peer is and
// what it may use, an [Enroller] takes those who come with an invitation or to
// renew, and [CA.Maintain] is called every half minute. An operator calls
// [CA.Invite], [CA.AddLinks], [CA.WithdrawLinks] and [CA.Revoke], in the same
// process or another.
//
// A client calls [Join] with a [Token], then Load and [Credentials.ClientConfig],
// and runs a [Renewal] of [Credentials.Renew]. [CA.IssueTo] makes a directory for
// it without a network. Files of another CA work in Load too; [Watch] and
// [Credentials.Reload] take over those that change.
//
// # The CA
//
// A root, which signs issuers and may stay sealed by a passphrase; an issuer,
// which does the work; and leaves, each with one URI SAN (see [Identity]), for
// 30 days and one side of TLS: a client's has the usage clientAuth alone, a
// provider's serverAuth alone. Root and issuer are confined to the trust domain
// by a critical name constraint. All keys are ECDSA P-256.
//
// # The state directory
//
// A provider's:
//
//	DIR/ca/root.crt, root.key      the roots, newest first; the newest's key, which may be sealed
//	DIR/ca/issuer.crt, issuer.key  the issuer, once for each root
//	DIR/clients/NAME.json          a client's grant and certificates, a [ClientRecord]
//	DIR/invitations/ID.json        an invitation: the hash of its secret, and its uses
//	DIR/ca.pem, cert.pem, key.pem  the provider's own: roots; leaf, then issuers; key
//	DIR/lock                       held while the CA changes something
//
// A client's:
//
//	DIR/ca.pem, cert.pem, key.pem  roots; leaf, then issuers; key
//	DIR/joined                     the id of the invitation that it came by
//
// Directories are 0700 and keys and records 0600; what is open to others is
// refused when it is read, with the chmod that mends it. (A process that is not
// root may get a key of root's by its group.) On Windows modes mean nothing and
// are not checked: the directory's access list has to do. Files are written
// under another name, synced and renamed. A key.pem.next is a key on its way to
// key.pem, and root.key.next one to root.key. What root writes in a directory of
// another user's is that user's.
//
// No other package of the project is imported, and this is the only one that
// imports golang.org/x/crypto.
package certs
