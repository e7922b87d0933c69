package certs

import (
	"strings"
	"testing"
)

// FuzzStoredFiles: certificates and keys come from files that anybody may have
// written. They are taken, or an error names the file.
func FuzzStoredFiles(f *testing.F) {
	key, err := newKey()
	if err != nil {
		f.Fatal(err)
	}
	pem, err := encodeKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n"))
	f.Add([]byte("no PEM"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const file = "/state/some.pem"
		all, err := parseCertificates(file, data)
		if err == nil && len(all) == 0 || err != nil && !strings.Contains(err.Error(), file) {
			t.Errorf("%d certificates, %v", len(all), err)
		}
		k, err := parseKey(file, data)
		if err == nil && k == nil || err != nil && !strings.Contains(err.Error(), file) {
			t.Errorf("key %v, %v", k, err)
		}
	})
}
