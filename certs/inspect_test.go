package certs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func kinds(i *Inspection) []string {
	var all []string
	for _, c := range i.Certificates {
		all = append(all, c.Kind)
	}
	return all
}

func TestInspect(t *testing.T) {
	ca := newCA(t, InitOptions{})
	if i, err := Inspect(ca.Dir()); err != nil || i.Problem != "" || !slices.Equal(kinds(i), []string{"issuer", "root"}) {
		t.Errorf("a CA alone: %v, %v", i, err)
	}
	p, c := provider(t, ca), clientOf(t, ca, "web")
	for _, tc := range []struct {
		path  string
		kinds []string
		name  string
	}{
		{p.Dir, []string{"provider", "issuer", "root"}, "spiffe://ambassador/provider/big-server"},
		{c.Dir, []string{"client", "issuer", "root"}, "spiffe://ambassador/client/web"},
		{c.Cert, []string{"client", "issuer"}, "spiffe://ambassador/client/web"},
	} {
		i, err := Inspect(tc.path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(kinds(i), tc.kinds) || i.Certificates[0].Identity != tc.name || i.Problem != "" {
			t.Errorf("%s: %+v", tc.path, i)
		}
	}
	i, err := Inspect(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		within time.Duration
		want   int
	}{{7 * 24 * time.Hour, 0}, {leafLife + time.Minute, 1}, {issuerLife + time.Minute, 2}, {rootLife + time.Minute, 3}} {
		if got := i.Expiring(time.Now().Add(tc.within)); len(got) != tc.want {
			t.Errorf("within %v: %v", tc.within, got)
		}
	}
}

func TestInspectSaysWhatIsWrong(t *testing.T) {
	ca := newCA(t, InitOptions{})
	f := clientOf(t, ca, "web")
	copyFile(t, clientOf(t, ca, "db").Key, f.Key)
	if i, err := Inspect(f.Dir); err != nil || !strings.Contains(i.Problem, "is not the key of") {
		t.Errorf("%+v, %v", i, err)
	}
	old := clientOf(t, newCA(t, InitOptions{Now: at(time.Now().Add(-leafLife - time.Hour))}), "web")
	if i, err := Inspect(old.Dir); err != nil || !strings.Contains(i.Problem, "has expired") {
		t.Errorf("%+v, %v", i, err)
	}
	empty := t.TempDir()
	for _, path := range []string{empty, filepath.Join(empty, "none")} {
		_, err := Inspect(path)
		wantIs(t, err, ErrNoCertificate)
	}
	junk := filepath.Join(empty, "cert.pem")
	if err := os.WriteFile(junk, []byte("junk"), certMode); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, junk} {
		_, err := Inspect(path)
		wantIs(t, err, ErrMalformed)
	}
}
