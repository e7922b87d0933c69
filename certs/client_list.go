package certs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ClientList reads what a CA keeps of its clients, as [CA.Clients] does, for one
// who asks again and again: a record is read again only when its file has changed.
// It is for one goroutine.
type ClientList struct {
	ca   *CA
	seen map[string]seenRecord // by file name
}

type seenRecord struct {
	info   fs.FileInfo
	at     time.Time // when it was read
	record ClientRecord
}

// NewClientList starts one that has read nothing.
func NewClientList(ca *CA) *ClientList { return &ClientList{ca: ca} }

// Read returns the records of all clients, sorted by name. With an error come
// those that could be read.
func (l *ClientList) Read() ([]ClientRecord, error) {
	entries, err := os.ReadDir(l.ca.GrantsPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	errs := []error{err}
	seen := make(map[string]seenRecord, len(entries))
	records := make([]ClientRecord, 0, len(entries))
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue // unfinished
		}
		r, ok, err := l.read(e.Name(), Identity{l.ca.trustDomain, RoleClient, name})
		if err != nil {
			errs = append(errs, err)
		} else if ok {
			seen[e.Name()] = r
			records = append(records, r.record)
		}
	}
	l.seen = seen
	return records, errors.Join(errs...)
}

func (l *ClientList) read(file string, id Identity) (r seenRecord, ok bool, err error) {
	info, err := os.Lstat(filepath.Join(l.ca.GrantsPath(), file))
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	// What was read while its file was young may have changed without a trace.
	if old, is := l.seen[file]; is && !differs(old.info, info) && old.at.Sub(info.ModTime()) > young {
		return old, true, nil
	}
	r = seenRecord{info: info, at: time.Now()}
	r.record, ok, err = l.ca.record(id)
	return r, ok, err
}
