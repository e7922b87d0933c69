package certs

import (
	"bytes"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

func sealed(t testing.TB, plain, passphrase string, cost sealCost) *pem.Block {
	t.Helper()
	data, err := seal([]byte(plain), []byte(passphrase), cost)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(data)
	if block == nil || len(rest) > 0 {
		t.Fatalf("not one PEM block: %q", data)
	}
	return block
}

func TestSealedKeyOpensWithItsPassphraseAlone(t *testing.T) {
	block := sealed(t, "the key", "open sesame", defaultCost)
	plain, err := unseal(block, []byte("open sesame"))
	if err != nil || string(plain) != "the key" {
		t.Fatalf("got %q, %v", plain, err)
	}
	if bytes.Contains(block.Bytes, []byte("the key")) {
		t.Error("the key is in the file")
	}
	quick := sealed(t, "the key", "open sesame", cheap)
	_, err = unseal(quick, []byte("open barley"))
	wantIs(t, err, ErrPassphrase)
	if quick.Headers["Salt"] == block.Headers["Salt"] {
		t.Error("a salt is used twice")
	}
	_, err = seal([]byte("the key"), nil, cheap)
	wantIs(t, err, ErrPassphrase)
}

func TestSealedKeyAsksForNoMoreThanTheCaps(t *testing.T) {
	for name, change := range map[string]func(*pem.Block){
		"too many passes":      func(b *pem.Block) { b.Headers["Passes"] = "11" },
		"no passes":            func(b *pem.Block) { b.Headers["Passes"] = "0" },
		"passes over 32 bits":  func(b *pem.Block) { b.Headers["Passes"] = "4294967297" },
		"too much memory":      func(b *pem.Block) { b.Headers["Memory-KiB"] = "262145" },
		"4 TiB of memory":      func(b *pem.Block) { b.Headers["Memory-KiB"] = "4294967295" },
		"too little memory":    func(b *pem.Block) { b.Headers["Memory-KiB"] = "7" },
		"too many threads":     func(b *pem.Block) { b.Headers["Threads"] = "17" },
		"no threads":           func(b *pem.Block) { b.Headers["Threads"] = "0" },
		"negative":             func(b *pem.Block) { b.Headers["Passes"] = "-1" },
		"another spelling":     func(b *pem.Block) { b.Headers["Passes"] = "01" },
		"another version":      func(b *pem.Block) { b.Headers["Version"] = "2" },
		"another kdf":          func(b *pem.Block) { b.Headers["Kdf"] = "argon2i" },
		"a header more":        func(b *pem.Block) { b.Headers["Comment"] = "x" },
		"a header less":        func(b *pem.Block) { delete(b.Headers, "Salt") },
		"a short salt":         func(b *pem.Block) { b.Headers["Salt"] = "AAAA" },
		"a salt of no base64":  func(b *pem.Block) { b.Headers["Salt"] = "!" },
		"another type":         func(b *pem.Block) { b.Type = keyType },
		"a body too short":     func(b *pem.Block) { b.Bytes = b.Bytes[:39] },
		"no body, no header":   func(b *pem.Block) { b.Bytes, b.Headers = nil, nil },
		"a huge header's word": func(b *pem.Block) { b.Headers["Kdf"] = strings.Repeat("x", 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			block := sealed(t, "the key", "secret", cheap)
			change(block)
			_, err := unseal(block, []byte("secret"))
			wantIs(t, err, ErrMalformed)
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// What is within the caps but not as it was sealed does not open either.
func TestSealedKeyIsAuthenticated(t *testing.T) {
	for name, change := range map[string]func(*pem.Block){
		"passes":     func(b *pem.Block) { b.Headers["Passes"] = "2" },
		"memory":     func(b *pem.Block) { b.Headers["Memory-KiB"] = "9" },
		"salt":       func(b *pem.Block) { b.Headers["Salt"] = strings.Repeat("A", 22) + "==" },
		"nonce":      func(b *pem.Block) { b.Bytes[0] ^= 1 },
		"ciphertext": func(b *pem.Block) { b.Bytes[30] ^= 1 },
		"tag":        func(b *pem.Block) { b.Bytes[len(b.Bytes)-1] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			block := sealed(t, "the key", "secret", cheap)
			change(block)
			_, err := unseal(block, []byte("secret"))
			wantIs(t, err, ErrPassphrase)
		})
	}
}

// The headers change the key as well; this shows that they are authenticated by
// themselves.
func TestSealAuthenticatesItsHeaders(t *testing.T) {
	block := sealed(t, "the key", "secret", cheap)
	_, salt, err := parseSeal(block)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := chacha20poly1305.NewX(cheap.key([]byte("secret"), salt))
	if err != nil {
		t.Fatal(err)
	}
	nonce := block.Bytes[:aead.NonceSize():aead.NonceSize()]
	block.Bytes = aead.Seal(nonce, nonce, []byte("the key"), nil)
	_, err = unseal(block, []byte("secret"))
	wantIs(t, err, ErrPassphrase)
}

func FuzzUnseal(f *testing.F) {
	good, err := seal([]byte("the key"), []byte("secret"), cheap)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("-----BEGIN " + sealedType + "-----\nVersion: 1\n\n-----END " + sealedType + "-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		block, _ := pem.Decode(data)
		if block == nil {
			return
		}
		cost, _, err := parseSeal(block)
		if err != nil {
			return
		}
		if err := cost.check(); err != nil {
			t.Fatal(err)
		}
		if cost.memory > 1<<10 || cost.passes > 2 {
			return // allowed, but slow to fuzz
		}
		plain, err := unseal(block, []byte("secret"))
		if err == nil && string(plain) != "the key" || err != nil && !errors.Is(err, ErrPassphrase) {
			t.Errorf("got %q, %v", plain, err)
		}
	})
}
