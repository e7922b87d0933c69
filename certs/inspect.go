package certs

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Inspection is what can be said of a certificate file or a state directory.
type Inspection struct {
	Path         string            `json:"path"`
	Certificates []CertificateInfo `json:"certificates"`
	// Problem is what would keep the directory's certificate from being used
	// now, with what to do. It is empty for a file.
	Problem string `json:"problem,omitempty"`
}

// CertificateInfo is one certificate in a file.
type CertificateInfo struct {
	File string `json:"file"`
	// Kind is "root", "issuer", "client", "provider", or "certificate" for
	// what is no ambassador's.
	Kind           string    `json:"kind"`
	Identity       string    `json:"identity,omitempty"` // the URI SANs', or the first DNS name
	Subject        string    `json:"subject,omitempty"`
	Issuer         string    `json:"issuer"`
	Serial         string    `json:"serial"` // hex
	NotBefore      time.Time `json:"not_before"`
	NotAfter       time.Time `json:"not_after"`
	Key            string    `json:"key"`             // algorithm
	Fingerprint    string    `json:"fingerprint"`     // SHA-256 of the certificate, hex
	KeyFingerprint string    `json:"key_fingerprint"` // SHA-256 of the SubjectPublicKeyInfo, hex
}

// Expiring are the certificates that expire before a moment.
func (i *Inspection) Expiring(before time.Time) []CertificateInfo {
	var soon []CertificateInfo
	for _, c := range i.Certificates {
		if c.NotAfter.Before(before) {
			soon = append(soon, c)
		}
	}
	return soon
}

// Inspect reads a certificate file, or those of a state directory. It fails with
// ErrNoCertificate if there is none, and with ErrMalformed. What is wrong with
// certificates that can be read is the Inspection's to tell.
func Inspect(path string) (*Inspection, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &FileError{File: path, Problem: "does not exist", Hint: "name a certificate file or a state directory", Err: errors.Join(ErrNoCertificate, err)}
	}
	if err != nil {
		return nil, err
	}
	i := &Inspection{Path: path}
	if !info.IsDir() {
		return i, i.add(path)
	}
	f := StateFiles(path)
	for _, file := range []string{f.Cert, f.CA, filepath.Join(path, caDir, issuerCert), filepath.Join(path, caDir, rootCert)} {
		if err := i.add(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if len(i.Certificates) == 0 {
		return nil, &FileError{File: path, Problem: "holds no certificate", Hint: hintIssue, Err: ErrNoCertificate}
	}
	if err := check(f); err != nil {
		i.Problem = err.Error()
	}
	return i, nil
}

// add reads a file's certificates. Those that stand in a file before count once.
func (i *Inspection) add(file string) error {
	certs, err := readCertificates(file)
	if err != nil {
		return err
	}
next:
	for _, c := range certs {
		info := describe(file, c)
		for _, have := range i.Certificates {
			if have.Fingerprint == info.Fingerprint {
				continue next
			}
		}
		i.Certificates = append(i.Certificates, info)
	}
	return nil
}

// check is what the side that the certificate is for would find when it starts.
func check(f Files) error {
	role := RoleClient
	chain, err := readCertificates(f.Cert)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(f.Dir, caDir)); err == nil {
			return nil // a CA whose provider has not been started yet
		}
	}
	if err == nil && isProvider(chain[0]) {
		role = RoleProvider
	}
	_, err = Load(f, role)
	return err
}

func isProvider(cert *x509.Certificate) bool {
	if id, ok := identityOf(cert); ok {
		return id.Role == RoleProvider
	}
	for _, usage := range cert.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth {
			return true
		}
	}
	return false
}

func describe(file string, cert *x509.Certificate) CertificateInfo {
	sum := sha256.Sum256(cert.Raw)
	name, _ := peerName(cert) // a CA has none
	return CertificateInfo{
		File: file, Kind: kindOf(cert), Identity: name,
		Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), Serial: serialNumber(cert),
		NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(),
		Key:         keyAlgorithm(cert),
		Fingerprint: hex.EncodeToString(sum[:]), KeyFingerprint: keyFingerprint(cert),
	}
}

func kindOf(cert *x509.Certificate) string {
	if cert.IsCA && cert.CheckSignatureFrom(cert) == nil {
		return "root"
	}
	if cert.IsCA {
		return "issuer"
	}
	if id, ok := identityOf(cert); ok {
		return string(id.Role)
	}
	return "certificate"
}

// keyAlgorithm names the key and its size or curve.
func keyAlgorithm(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return key.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	}
	return cert.PublicKeyAlgorithm.String()
}
