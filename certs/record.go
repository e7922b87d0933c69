package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// EveryLink in a grant stands for all links.
const EveryLink = "*"

// A record stays well below maxFile however often its client is issued a
// certificate, such as by a script in a loop.
const (
	maxLinks        = 1000
	maxCertificates = 1000
)

// ClientRecord is what a CA keeps of a client, in DIR/clients/NAME.json.
type ClientRecord struct {
	Identity string `json:"identity"`
	// Links are the names of the links granted, sorted; "*" stands for all.
	Links []string `json:"links"`
	// Changes counts the changes of Links by hand. An invitation from before one
	// leaves the grant as it is.
	Changes uint64 `json:"changes,omitempty"`
	// Certificates are those issued that have not expired, oldest first, and of
	// them the last 1000.
	Certificates []IssuedCertificate `json:"certificates"`
	// Revoked: the client may not come back. To issue it a certificate or invite
	// it anew ends that, for the new certificates.
	Revoked bool `json:"revoked,omitempty"`
	// RevokedAt is when it was last revoked: certificates that were issued until
	// then count no more. It is zero for one that never was.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	// Revocations counts them. An invitation from before one is good no more.
	Revocations uint64 `json:"revocations,omitempty"`
}

// IssuedCertificate is what a CA keeps of a certificate.
type IssuedCertificate struct {
	Serial    string    `json:"serial"` // hex
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	// KeyFingerprint is the SHA-256 of the SubjectPublicKeyInfo, in hex.
	KeyFingerprint string `json:"key_fingerprint"`
}

// Name is the client's name.
func (r ClientRecord) Name() string {
	id, _ := ParseIdentity(r.Identity) // was checked when it was read
	return id.Name
}

// parseRecord reads a record and trusts nothing in it. A field that is not
// known is an error: it may be a later version's way to take a right away, and
// then the client is better refused.
func parseRecord(data []byte) (ClientRecord, error) {
	var r ClientRecord
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return ClientRecord{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return ClientRecord{}, errors.New("more than one value in it")
	}
	id, err := ParseIdentity(r.Identity)
	if err != nil {
		return ClientRecord{}, err
	}
	if id.Role != RoleClient {
		return ClientRecord{}, fmt.Errorf("%w: %s is not a client", ErrWrongRole, r.Identity)
	}
	return r, checkLinks(r.Links)
}

// checkLinks checks the form of links' names alone: a link may be offered later
// than it is granted.
func checkLinks(links []string) error {
	if len(links) > maxLinks {
		return fmt.Errorf("%d links, expected at most %d", len(links), maxLinks)
	}
	for _, l := range links {
		if l == EveryLink {
			continue
		}
		if err := CheckName(l); err != nil {
			return fmt.Errorf("link: %w", err)
		}
	}
	return nil
}

func (ca *CA) recordFile(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	file := name + ".json"
	// The grammar allows no way out of the directory; this also keeps away from
	// the device names of Windows, such as NUL.
	if !filepath.IsLocal(file) {
		return "", fmt.Errorf("%w %q: it cannot be a file's name here", ErrName, name)
	}
	return filepath.Join(ca.dir, clientsDir, file), nil
}

// record reads a client's record; ok is false if there is none.
func (ca *CA) record(id Identity) (r ClientRecord, ok bool, err error) {
	path, err := ca.recordFile(id.Name)
	if err != nil {
		return ClientRecord{}, false, err
	}
	data, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ClientRecord{}, false, nil
	}
	if err != nil {
		return ClientRecord{}, false, err
	}
	r, err = parseRecord(data)
	if err != nil {
		return ClientRecord{}, false, malformed(path, err, "restore it, or remove it and issue the client's certificate again")
	}
	if r.Identity != id.String() {
		// On a file system that folds case, web and Web are one file.
		return ClientRecord{}, false, &FileError{File: path, Problem: fmt.Sprintf("is the record of %s, not of %s", r.Identity, id), Hint: "choose another name", Err: ErrOtherIdentity}
	}
	return r, true, nil
}

// remember records a certificate. change gives the grant, if it is not nil: it
// gets the record as it is, with known false for a new client, which may use
// every link. Certificates that have expired are forgotten.
func (ca *CA) remember(id Identity, cert *x509.Certificate, change func(r *ClientRecord, known bool)) (ClientRecord, error) {
	r, ok, err := ca.record(id)
	if err != nil {
		return ClientRecord{}, err
	}
	if !ok {
		r = ClientRecord{Identity: id.String(), Links: []string{EveryLink}}
	}
	if change != nil {
		change(&r, ok)
	}
	now := ca.now()
	r.Certificates = slices.DeleteFunc(r.Certificates, func(c IssuedCertificate) bool { return c.NotAfter.Before(now) })
	r.Certificates = append(r.Certificates, IssuedCertificate{
		Serial: serialNumber(cert), NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), KeyFingerprint: keyFingerprint(cert),
	})
	r.Certificates = r.Certificates[max(0, len(r.Certificates)-maxCertificates):]
	r.Revoked = false
	return r, ca.writeRecord(r)
}

// sorted is a grant as it is kept.
func sorted(links []string) []string { return slices.Compact(slices.Sorted(slices.Values(links))) }

func (ca *CA) writeRecord(r ClientRecord) error {
	path, err := ca.recordFile(r.Name())
	if err != nil {
		return err
	}
	return writeJSON(path, r)
}

// writeJSON replaces a file of a directory of the state, which is made if need
// be. The caller holds the lock.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := makeSubdir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := sweep(filepath.Dir(path)); err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'), keyMode)
}

// Clients returns the records of all clients, sorted by name. With an error come
// those records that could be read.
func (ca *CA) Clients() ([]ClientRecord, error) {
	entries, err := os.ReadDir(filepath.Join(ca.dir, clientsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	errs := []error{err}
	var records []ClientRecord
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue // unfinished
		}
		r, ok, err := ca.record(Identity{ca.trustDomain, RoleClient, name})
		if err != nil {
			errs = append(errs, err)
		} else if ok {
			records = append(records, r)
		}
	}
	return records, errors.Join(errs...)
}
