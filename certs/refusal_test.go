package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The certificate row of the table of bad input, as far as a side sees it in its
// own files: the file, what is wrong, what to do.
func TestOwnFilesThatAreRefused(t *testing.T) {
	longAgo, later := at(time.Now().Add(-leafLife-time.Hour)), at(time.Now().Add(time.Hour))
	for _, tc := range []struct {
		name  string
		files func(t *testing.T) Files
		role  Role
		want  error
		says  []string
	}{
		{
			"client: no certificate",
			func(t *testing.T) Files { return StateFiles(filepath.Join(t.TempDir(), "none")) }, RoleClient,
			ErrNoCertificate,
			[]string{"cert.pem does not exist", `run "ambassador invite NAME" on the provider's host and pass the token with --join`},
		},
		{
			"client: no key",
			func(t *testing.T) Files { return without(t, clientOf(t, newCA(t, InitOptions{}), "web"), "key.pem") }, RoleClient,
			ErrMissing,
			[]string{"key.pem does not exist"},
		},
		{
			"client: no CA",
			func(t *testing.T) Files { return without(t, clientOf(t, newCA(t, InitOptions{}), "web"), "ca.pem") }, RoleClient,
			ErrMissing,
			[]string{"ca.pem does not exist"},
		},
		{
			"client: expired",
			func(t *testing.T) Files { return clientOf(t, newCA(t, InitOptions{Now: longAgo}), "web") }, RoleClient,
			ErrExpired,
			[]string{"cert.pem has expired on 20", "ambassador invite NAME"},
		},
		{
			"client: not yet valid",
			func(t *testing.T) Files { return clientOf(t, newCA(t, InitOptions{Now: later}), "web") }, RoleClient,
			ErrNotYetValid,
			[]string{"cert.pem is not valid before 20", "clock"},
		},
		{
			"client: wrong CA",
			func(t *testing.T) Files {
				f := clientOf(t, newCA(t, InitOptions{}), "web")
				copyFile(t, clientOf(t, newCA(t, InitOptions{}), "web").CA, f.CA)
				return f
			}, RoleClient,
			ErrWrongCA,
			[]string{"cert.pem does not chain to ", "ca.pem", "belong together"},
		},
		{
			"client: key of another",
			func(t *testing.T) Files {
				ca := newCA(t, InitOptions{})
				f := clientOf(t, ca, "web")
				copyFile(t, clientOf(t, ca, "web").Key, f.Key)
				return f
			}, RoleClient,
			ErrMismatch,
			[]string{"key.pem is not the key of ", "cert.pem", "made together"},
		},
		{
			"client: provider's certificate",
			func(t *testing.T) Files { return provider(t, newCA(t, InitOptions{})) }, RoleClient,
			ErrWrongRole,
			[]string{"cert.pem is a provider's certificate, and a client's is needed", "a state directory of its own", "ambassador invite NAME"},
		},
		{
			"provider: client's certificate",
			func(t *testing.T) Files { return clientOf(t, newCA(t, InitOptions{}), "web") }, RoleProvider,
			ErrWrongRole,
			[]string{"cert.pem is a client's certificate, and a provider's is needed", "--state-dir"},
		},
		{
			"provider: client's certificate of another CA",
			func(t *testing.T) Files { return newForeign(t).leaf(t, x509.ExtKeyUsageClientAuth, "web.example") }, RoleProvider,
			ErrWrongRole,
			[]string{"is a client's certificate, and a provider's is needed"},
		},
		{
			"client: provider's name with a client's usage",
			func(t *testing.T) Files {
				return leafLike(t, newCA(t, InitOptions{}), "spiffe://ambassador/provider/x", x509.ExtKeyUsageClientAuth)
			}, RoleClient,
			ErrWrongRole,
			[]string{"cert.pem is a provider's certificate, and a client's is needed"},
		},
		{
			"provider: no certificate",
			func(t *testing.T) Files { return StateFiles(filepath.Join(t.TempDir(), "none")) }, RoleProvider,
			ErrNoCertificate,
			[]string{"cert.pem does not exist", `restart "ambassador serve", which makes a new one`},
		},
		{
			"provider: the CA not yet valid",
			func(t *testing.T) Files {
				return leafLike(t, newCA(t, InitOptions{Now: later}), "spiffe://ambassador/provider/x", x509.ExtKeyUsageServerAuth)
			}, RoleProvider,
			ErrNotYetValid,
			[]string{"cert.pem is under a CA certificate that is not valid before 20", "set this host's clock, which says 20"},
		},
		{
			"provider: expired",
			func(t *testing.T) Files { return provider(t, newCA(t, InitOptions{Now: longAgo})) }, RoleProvider,
			ErrExpired,
			[]string{"cert.pem has expired on 20", `restart "ambassador serve", which makes a new one`},
		},
		{
			"client: garbage for a certificate",
			func(t *testing.T) Files { return garbled(t, clientOf(t, newCA(t, InitOptions{}), "web"), "cert.pem") }, RoleClient,
			ErrMalformed,
			[]string{"cert.pem is malformed: no PEM block of type CERTIFICATE"},
		},
		{
			"client: garbage for a key",
			func(t *testing.T) Files { return garbled(t, clientOf(t, newCA(t, InitOptions{}), "web"), "key.pem") }, RoleClient,
			ErrMalformed,
			[]string{"key.pem is malformed: no PEM block with a private key"},
		},
		{
			"client: garbage for a CA",
			func(t *testing.T) Files { return garbled(t, clientOf(t, newCA(t, InitOptions{}), "web"), "ca.pem") }, RoleClient,
			ErrMalformed,
			[]string{"ca.pem is malformed"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(tc.files(t), tc.role)
			wantIs(t, err, tc.want)
			if err == nil {
				return
			}
			for _, part := range tc.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func without(t *testing.T, f Files, name string) Files {
	t.Helper()
	removeFile(t, filepath.Join(f.Dir, name))
	return f
}

func garbled(t *testing.T, f Files, name string) Files {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.Dir, name), []byte("garbage"), keyMode); err != nil {
		t.Fatal(err)
	}
	return f
}

// careless are the files as a TLS program would use them that checks nothing:
// what our own checks refuse to send reaches the peer by it.
func careless(t *testing.T, f Files) *tls.Config {
	t.Helper()
	l, err := readLeaf(f)
	if err != nil {
		t.Fatal(err)
	}
	cert := l.tls()
	return &tls.Config{
		InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	}
}

// The same table as the provider sees it in its clients, and what these are
// told.
func TestClientsThatAreRefused(t *testing.T) {
	ca := newCA(t, InitOptions{})
	ours := serverConfig(t, provider(t, ca))
	with := func(f Files) func(*testing.T) *tls.Config {
		return func(t *testing.T) *tls.Config { return careless(t, f) }
	}
	for _, tc := range []struct {
		name   string
		client func(t *testing.T) *tls.Config
		says   string
	}{
		{"no certificate", func(*testing.T) *tls.Config {
			return &tls.Config{InsecureSkipVerify: true}
		}, "the provider wants a certificate and got none"},
		{"another CA", func(t *testing.T) *tls.Config {
			return careless(t, clientOf(t, newCA(t, InitOptions{}), "web"))
		}, "the provider does not know the CA of our certificate"},
		{"expired", func(t *testing.T) *tls.Config {
			return careless(t, leafAt(t, ca, time.Now().Add(-leafLife-time.Hour)))
		}, "the provider finds our certificate expired"},
		{"not yet valid", func(t *testing.T) *tls.Config {
			return careless(t, leafAt(t, ca, time.Now().Add(time.Hour)))
		}, "the provider finds our certificate expired, or its clock is wrong"},
		{"the provider's own certificate", with(provider(t, ca)), "the provider refuses our certificate"},
		{"a provider's name with a client's usage", func(t *testing.T) *tls.Config {
			return careless(t, leafLike(t, ca, "spiffe://ambassador/provider/big-server", x509.ExtKeyUsageClientAuth))
		}, "the provider refuses our certificate"},
		{"a client's name with a provider's usage", func(t *testing.T) *tls.Config {
			return careless(t, leafLike(t, ca, "spiffe://ambassador/client/web", x509.ExtKeyUsageServerAuth))
		}, "the provider refuses our certificate"},
		{"no identity", func(t *testing.T) *tls.Config {
			return careless(t, leafLike(t, ca, "https://ambassador/x", x509.ExtKeyUsageClientAuth))
		}, "the provider refuses our certificate"},
		{"two identities", func(t *testing.T) *tls.Config {
			return careless(t, leafLike(t, ca, "spiffe://ambassador/client/web spiffe://ambassador/client/db", x509.ExtKeyUsageClientAuth))
		}, "the provider refuses our certificate"},
		{"a trust domain below ours", func(t *testing.T) *tls.Config {
			return careless(t, leafLike(t, ca, "spiffe://sub.ambassador/client/web", x509.ExtKeyUsageClientAuth))
		}, "the provider refuses our certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := shake(t, tc.client(t), ours)
			if s.provider == nil || s.client == nil {
				t.Fatalf("accepted: provider %v, client %v", s.provider, s.client)
			}
			if got := Explain(s.client); !strings.HasPrefix(got, tc.says) || !strings.Contains(got, "ambassador invite NAME") {
				t.Errorf("explained as %q, want %q (%v)", got, tc.says, s.client)
			}
		})
	}
}

// And as a client sees it in its provider.
func TestProvidersThatAreRefused(t *testing.T) {
	ca := newCA(t, InitOptions{})
	ours := clientConfig(t, clientOf(t, ca, "web"), "big-server")
	other := newCA(t, InitOptions{})
	for _, tc := range []struct {
		name     string
		provider func(t *testing.T) *tls.Config
		says     string
	}{
		{"another CA", func(t *testing.T) *tls.Config {
			return serverConfig(t, provider(t, other))
		}, "the provider's certificate is of another CA than ours"},
		{"a client of our own CA", func(t *testing.T) *tls.Config {
			return careless(t, clientOf(t, ca, "mallory"))
		}, "the other side's certificate is not a provider's"},
		{"a client's name with a provider's usage", func(t *testing.T) *tls.Config {
			return careless(t, leafLike(t, ca, "spiffe://ambassador/client/mallory", x509.ExtKeyUsageServerAuth))
		}, "the other side is not our provider (certificate for the other role"},
		{"a trust domain below ours", func(t *testing.T) *tls.Config {
			return careless(t, leafLike(t, ca, "spiffe://sub.ambassador/provider/x", x509.ExtKeyUsageServerAuth))
		}, "the other side is not our provider (identity of another trust domain"},
		{"no identity", func(t *testing.T) *tls.Config {
			return careless(t, leafLike(t, ca, "https://ambassador/x", x509.ExtKeyUsageServerAuth))
		}, "the other side is not our provider (certificate without an identity"},
		{"expired", func(t *testing.T) *tls.Config {
			return careless(t, providerAt(t, ca, time.Now().Add(-leafLife-time.Hour)))
		}, "the provider's certificate has expired on 20"},
		{"not yet valid", func(t *testing.T) *tls.Config {
			return careless(t, providerAt(t, ca, time.Now().Add(time.Hour)))
		}, "the provider's certificate is not valid before 20"},
		{"a public host's certificate for the very name", func(t *testing.T) *tls.Config {
			return careless(t, newForeign(t).leaf(t, x509.ExtKeyUsageServerAuth, "big-server"))
		}, "the provider's certificate is of another CA than ours"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := shake(t, ours, tc.provider(t))
			if s.client == nil {
				t.Fatal("accepted")
			}
			if got := Explain(s.client); !strings.HasPrefix(got, tc.says) {
				t.Errorf("explained as %q, want %q", got, tc.says)
			}
		})
	}
}

// leafAt is a client's leaf made at a moment, under an issuer of now.
func leafAt(t *testing.T, ca *CA, when time.Time) Files {
	t.Helper()
	return save(t, ca, Identity{"ambassador", RoleClient, "web"}, when)
}

func providerAt(t *testing.T, ca *CA, when time.Time) Files {
	t.Helper()
	return save(t, ca, Identity{"ambassador", RoleProvider, "big-server"}, when)
}

func save(t *testing.T, ca *CA, id Identity, when time.Time) Files {
	t.Helper()
	clocked := *ca
	clocked.now = at(when)
	l, err := clocked.newLeaf(id)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, l)
}

func written(t *testing.T, l *leaf) Files {
	t.Helper()
	f := StateFiles(filepath.Join(t.TempDir(), "leaf"))
	if err := makeDir(f.Dir); err != nil {
		t.Fatal(err)
	}
	if err := writeLeaf(f, l); err != nil {
		t.Fatal(err)
	}
	return f
}

// leafLike is a leaf of the CA with URIs and a usage that it would never put
// together.
func leafLike(t *testing.T, ca *CA, uris string, usage x509.ExtKeyUsage) Files {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	for word := range strings.FieldsSeq(uris) {
		uri, err := url.Parse(word)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, uri)
	}
	cert, err := sign(template, ca.issuers[0], key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, &leaf{cert: cert, chain: []*x509.Certificate{cert, ca.issuers[0]}, key: key, roots: []*x509.Certificate{ca.roots[0]}})
}
