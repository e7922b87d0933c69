package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	certificateType = "CERTIFICATE"
	keyType         = "PRIVATE KEY"
)

// newKey makes a key. P-256 is what every TLS 1.3 implementation has (RFC 8446
// §9.1) and the fastest that crypto/tls signs with.
func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func encodeCertificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: c.Raw})...)
	}
	return out
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: der}), nil
}

// parseCertificates returns the certificates of a PEM file, at least one. Other
// blocks are passed over: files of other CAs may hold the key, or parameters.
func parseCertificates(file string, data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certificateType {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, malformed(file, err, "")
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, malformed(file, errors.New("no PEM block of type "+certificateType+" in it"), "")
	}
	return certs, nil
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return parseCertificates(file, data)
}

// readKey reads an unsealed key in any of the PEM forms that Go knows.
func readKey(file string) (crypto.Signer, error) {
	data, err := readSecret(file)
	if err != nil {
		return nil, err
	}
	return parseKey(file, data)
}

func parseKey(file string, data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case keyType:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, malformed(file, errors.New("the key is encrypted"), fmt.Sprintf(`decrypt it with "openssl pkey -in %s -out FILE"`, file))
		default:
			continue
		}
		if err != nil {
			return nil, malformed(file, err, "")
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, malformed(file, fmt.Errorf("a key of type %T cannot sign", key), "")
		}
		return signer, nil
	}
	return nil, malformed(file, errors.New("no PEM block with a private key in it"), "")
}

// sameKey says whether a key is a certificate's.
func sameKey(cert *x509.Certificate, key crypto.Signer) bool {
	pub, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(key.Public())
}

// keyFingerprint is the SHA-256 of a certificate's SubjectPublicKeyInfo, in
// hex: what RFC 7469 §2.4 pins.
func keyFingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// serialNumber is a serial in hex, as openssl and browsers show it.
func serialNumber(cert *x509.Certificate) string {
	return hex.EncodeToString(cert.SerialNumber.Bytes())
}
