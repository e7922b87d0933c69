package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
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

const invitationsDir = "invitations"

// Bounds of an invitation. A day is as long as a token may be under way by a
// channel that keeps it.
const (
	defaultInvitationLife = 15 * time.Minute
	maxInvitationLife     = 7 * 24 * time.Hour
	maxUses               = 1000
	// maxInvitations bounds those that are open at a time, by number.
	maxInvitations = 1000
)

// InviteOptions are what an invitation grants.
type InviteOptions struct {
	// Links are the client's grant from the first use on, unless the grant is
	// changed by hand before that. If empty, a new client may use every link, and a
	// known one keeps its grant.
	Links []string
	// Life is how long the invitation is open. If zero, 15 min; at most 7 days.
	Life time.Duration
	// Uses is how many hosts may come in by it, each with a key of its own, all
	// under the one name. If zero, 1; at most 1000.
	Uses int
}

// Invitation is an open invitation, or one whose last use is not long ago.
type Invitation struct {
	ID       string    `json:"id"`
	Identity string    `json:"identity"`
	Links    []string  `json:"links"` // as in InviteOptions
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	Uses     int       `json:"uses"`
	Used     int       `json:"used"`
}

// Name is the name of the client that is invited.
func (i Invitation) Name() string {
	id, _ := ParseIdentity(i.Identity) // was checked when it was read
	return id.Name
}

// invitationFile is what is kept of an invitation, in DIR/invitations/ID.json.
type invitationFile struct {
	Identity string    `json:"identity"`
	Links    []string  `json:"links"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	Uses     int       `json:"uses"`
	// SecretHash is the SHA-256 of the secret: of 160 random bits, so that no
	// slower hash is needed.
	SecretHash  []byte       `json:"secret_hash"`
	Redemptions []redemption `json:"redemptions"`
	// Changes and Revocations are those of the client's record when it was invited.
	Changes     uint64 `json:"changes,omitempty"`
	Revocations uint64 `json:"revocations,omitempty"`
	// Granted: the first use is over, and the links count no more.
	Granted bool `json:"granted,omitempty"`
}

// redemption is one use. It stands here before its certificate is made.
type redemption struct {
	KeyFingerprint string `json:"key_fingerprint"`
	Certificate    []byte `json:"certificate,omitempty"` // DER
}

// parseInvitation reads a kept invitation and trusts nothing in it.
func parseInvitation(data []byte) (*invitationFile, error) {
	var f invitationFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value in it")
	}
	id, err := ParseIdentity(f.Identity)
	if err != nil {
		return nil, err
	}
	if id.Role != RoleClient {
		return nil, fmt.Errorf("%w: %s is not a client", ErrWrongRole, f.Identity)
	}
	if len(f.SecretHash) != sha256.Size || f.Uses < 1 || f.Uses > maxUses || len(f.Redemptions) > f.Uses {
		return nil, errors.New("its numbers are out of bounds")
	}
	return &f, checkLinks(f.Links)
}

func (f *invitationFile) public(id string) Invitation {
	return Invitation{
		ID: id, Identity: f.Identity, Links: f.Links, Created: f.Created, Expires: f.Expires, Uses: f.Uses, Used: len(f.Redemptions),
	}
}

// matches compares a secret in a time that tells nothing of it.
func (f *invitationFile) matches(secret []byte) bool {
	sum := sha256.Sum256(secret)
	return subtle.ConstantTimeCompare(sum[:], f.SecretHash) == 1
}

func (f *invitationFile) redemption(fingerprint string) *redemption {
	for i := range f.Redemptions {
		if f.Redemptions[i].KeyFingerprint == fingerprint {
			return &f.Redemptions[i]
		}
	}
	return nil
}

// Invite makes an invitation for a client. The token is nowhere kept: only the
// caller has it. The error is ErrName, ErrBounds, or that of a file.
func (ca *CA) Invite(name string, o InviteOptions) (token Token, _ Invitation, err error) {
	if err := CheckName(name); err != nil {
		return Token{}, Invitation{}, err
	}
	if err := checkLinks(o.Links); err != nil {
		return Token{}, Invitation{}, err
	}
	if err := o.check(); err != nil {
		return Token{}, Invitation{}, err
	}
	var f invitationFile
	err = ca.locked(func(ca *CA) error {
		ids, err := ca.invitationIDs()
		if err != nil {
			return err
		}
		// Whatever is wrong with another's file, it is "invite list" that tells.
		open, _ := ca.openInvitations()
		if len(open) >= maxInvitations {
			return fmt.Errorf(`%d invitations are open, which is the most: take some back with "ambassador invite revoke ID"`, len(open))
		}
		token = newToken(ca.roots[0])
		for slices.Contains(ids, token.ID) {
			token = newToken(ca.roots[0])
		}
		id := Identity{ca.trustDomain, RoleClient, name}
		r, _, err := ca.record(id)
		if err != nil {
			return err
		}
		now := ca.now().UTC().Truncate(time.Second)
		sum := sha256.Sum256(token.secret[:])
		f = invitationFile{
			Identity: id.String(), Links: append([]string{}, sorted(o.Links)...), Changes: r.Changes, Revocations: r.Revocations,
			Created: now, Expires: now.Add(o.Life), Uses: o.Uses, SecretHash: sum[:],
		}
		return writeJSON(ca.invitationFile(token.ID), &f)
	})
	if err != nil {
		return Token{}, Invitation{}, err
	}
	return token, f.public(token.ID), nil
}

// check fills in what is not given and looks at the rest.
func (o *InviteOptions) check() error {
	if o.Life == 0 {
		o.Life = defaultInvitationLife
	}
	if o.Uses == 0 {
		o.Uses = 1
	}
	if o.Life < time.Second || o.Life > maxInvitationLife {
		return fmt.Errorf("%w: an invitation for %v: expected 1s to %dd", ErrBounds, o.Life, maxInvitationLife/(24*time.Hour))
	}
	if o.Uses < 1 || o.Uses > maxUses {
		return fmt.Errorf("%w: an invitation for %d uses: expected 1 to %d", ErrBounds, o.Uses, maxUses)
	}
	return nil
}

func (ca *CA) invitationFile(id string) string {
	return filepath.Join(ca.dir, invitationsDir, id+".json")
}

// readInvitation reads one invitation; nil without an error if there is none.
func (ca *CA) readInvitation(id string) (*invitationFile, error) {
	if checkInvitationID(id) != nil {
		return nil, nil
	}
	path := ca.invitationFile(id)
	data, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := parseInvitation(data)
	if err != nil {
		return nil, malformed(path, err, "remove it, and invite the client anew")
	}
	return f, nil
}

func (ca *CA) invitationIDs() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(ca.dir, invitationsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok && checkInvitationID(id) == nil {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// openInvitations are those that have not expired, by id. The others are
// removed: the caller holds the lock. With an error come those that could be
// read.
func (ca *CA) openInvitations() (map[string]*invitationFile, error) {
	ids, err := ca.invitationIDs()
	errs := []error{err}
	open := make(map[string]*invitationFile)
	for _, id := range ids {
		f, err := ca.readInvitation(id)
		switch {
		case err != nil:
			errs = append(errs, err)
		case f != nil && f.Expires.After(ca.now()):
			open[id] = f
		case f != nil:
			errs = append(errs, os.Remove(ca.invitationFile(id)))
		}
	}
	return open, errors.Join(errs...)
}

// Invitations are those that have not expired, those that are used up included,
// in the order of their end. With an error come those that could be read.
func (ca *CA) Invitations() (all []Invitation, err error) {
	err = ca.locked(func(ca *CA) error {
		open, err := ca.openInvitations()
		for id, f := range open {
			all = append(all, f.public(id))
		}
		return err
	})
	slices.SortFunc(all, func(a, b Invitation) int {
		if n := a.Expires.Compare(b.Expires); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, err
}

// invites says whether any invitation is open, or may be asked about again by
// a client whose answer was lost. It takes no lock: each file is whole.
func (ca *CA) invites() bool {
	ids, _ := ca.invitationIDs() // a directory that cannot be read invites nobody
	return slices.ContainsFunc(ids, func(id string) bool {
		f, err := ca.readInvitation(id)
		return err == nil && f != nil && f.Expires.After(ca.now())
	})
}

// invited says whether a secret is that of an invitation that is there. It takes
// no lock, and decides nothing but who waits for whom.
func (ca *CA) invited(id string, secret []byte) bool {
	f, err := ca.readInvitation(id)
	return err == nil && f != nil && f.matches(secret)
}

// RevokeInvitation takes an invitation back. What was issued by it stays. The
// error is ErrName, ErrNoInvitation, or that of a file.
func (ca *CA) RevokeInvitation(id string) error {
	if err := checkInvitationID(id); err != nil {
		return err
	}
	return ca.locked(func(ca *CA) error {
		err := ca.removeInvitation(id)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf(`%w with the id %s: see "ambassador invite list"`, ErrNoInvitation, id)
		}
		return err
	})
}

func (ca *CA) removeInvitation(id string) error {
	path := ca.invitationFile(id)
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// cancelInvitations takes all invitations of a client back that it can, and says
// how many there were. The error is about those that it cannot read, which may
// be anybody's, or cannot remove. The caller holds the lock.
func (ca *CA) cancelInvitations(name string) (n int, err error) {
	open, err := ca.openInvitations()
	errs := []error{err}
	for id, f := range open {
		if f.public(id).Name() != name {
			continue
		}
		if err := ca.removeInvitation(id); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}
