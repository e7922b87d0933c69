package certs

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// A sealed key is a PEM block of type [sealedType]. Its headers say how the
// passphrase becomes a key by Argon2id (RFC 9106):
//
//	Kdf: argon2id
//	Memory-KiB: 65536
//	Passes: 3
//	Salt: 16 bytes in base64
//	Threads: 4
//	Version: 1
//
// and its body is a nonce of 24 bytes and the PKCS #8 key under
// XChaCha20-Poly1305, with the headers as additional data. There is one
// spelling of it: whatever differs in the headers is refused.
const sealedType = "AMBASSADOR SEALED KEY"

const (
	sealedVersion = "1"
	sealedKdf     = "argon2id"
	saltSize      = 16 // RFC 9106 §4
)

// sealCost is what a guess at the passphrase costs.
type sealCost struct {
	passes  uint32
	memory  uint32 // KiB
	threads uint8
}

// defaultCost is the second recommended option of RFC 9106 §4: 64 MiB, which a
// small machine has too. About 0.1 s.
var defaultCost = sealCost{passes: 3, memory: 64 << 10, threads: 4}

// maxCost bounds what a file may ask for. At all of it, opening takes some
// seconds and 256 MiB; without it a planted file could take the machine's
// memory before anything in it is authenticated.
var maxCost = sealCost{passes: 10, memory: 256 << 10, threads: 16}

func (c sealCost) check() error {
	switch {
	case c.passes < 1 || c.passes > maxCost.passes:
		return fmt.Errorf("passes %d, expected 1 to %d", c.passes, maxCost.passes)
	case c.threads < 1 || c.threads > maxCost.threads:
		return fmt.Errorf("threads %d, expected 1 to %d", c.threads, maxCost.threads)
	case c.memory < 8*uint32(c.threads) || c.memory > maxCost.memory: // RFC 9106 §3.1
		return fmt.Errorf("memory %d KiB, expected %d to %d", c.memory, 8*uint32(c.threads), maxCost.memory)
	}
	return nil
}

// headers are the block's headers. Their names sort as encoding/pem writes
// them.
func (c sealCost) headers(salt []byte) map[string]string {
	return map[string]string{
		"Kdf":        sealedKdf,
		"Memory-KiB": strconv.FormatUint(uint64(c.memory), 10),
		"Passes":     strconv.FormatUint(uint64(c.passes), 10),
		"Salt":       base64.StdEncoding.EncodeToString(salt),
		"Threads":    strconv.FormatUint(uint64(c.threads), 10),
		"Version":    sealedVersion,
	}
}

// additional is the block without its body: what the seal authenticates beside
// the key.
func (c sealCost) additional(salt []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: sealedType, Headers: c.headers(salt)})
}

func (c sealCost) key(passphrase, salt []byte) []byte {
	return argon2.IDKey(passphrase, salt, c.passes, c.memory, c.threads, chacha20poly1305.KeySize)
}

// seal encrypts a key under a passphrase.
func seal(plain, passphrase []byte, cost sealCost) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrPassphrase)
	}
	if err := cost.check(); err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	rand.Read(salt) // never fails (crypto/rand)
	rand.Read(nonce)
	aead, err := chacha20poly1305.NewX(cost.key(passphrase, salt))
	if err != nil {
		return nil, err
	}
	body := aead.Seal(nonce, nonce, plain, cost.additional(salt))
	return pem.EncodeToMemory(&pem.Block{Type: sealedType, Headers: cost.headers(salt), Bytes: body}), nil
}

// unseal gives the key back. Its error is ErrPassphrase if the passphrase is
// wrong, which cannot be told from a changed file, and ErrMalformed if there is
// nothing to open.
func unseal(block *pem.Block, passphrase []byte) ([]byte, error) {
	cost, salt, err := parseSeal(block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	aead, err := chacha20poly1305.NewX(cost.key(passphrase, salt))
	if err != nil {
		return nil, err
	}
	nonce, body := block.Bytes[:aead.NonceSize()], block.Bytes[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, body, cost.additional(salt))
	if err != nil {
		return nil, ErrPassphrase
	}
	return plain, nil
}

// parseSeal reads a block's headers, within bounds, before anything is spent on
// them.
func parseSeal(block *pem.Block) (cost sealCost, salt []byte, err error) {
	if block.Type != sealedType {
		return cost, nil, fmt.Errorf("PEM block %q, expected %q", shorten(block.Type), sealedType)
	}
	h := block.Headers
	if h["Version"] != sealedVersion || h["Kdf"] != sealedKdf {
		return cost, nil, fmt.Errorf("version %q with %q, expected version %s with %s", shorten(h["Version"]), shorten(h["Kdf"]), sealedVersion, sealedKdf)
	}
	passes, errPasses := strconv.ParseUint(h["Passes"], 10, 32)
	memory, errMemory := strconv.ParseUint(h["Memory-KiB"], 10, 32)
	threads, errThreads := strconv.ParseUint(h["Threads"], 10, 8)
	salt, errSalt := base64.StdEncoding.Strict().DecodeString(h["Salt"])
	if err := errors.Join(errPasses, errMemory, errThreads, errSalt); err != nil {
		return cost, nil, err
	}
	cost = sealCost{passes: uint32(passes), memory: uint32(memory), threads: uint8(threads)}
	if err := cost.check(); err != nil {
		return cost, nil, err
	}
	if len(salt) != saltSize {
		return cost, nil, fmt.Errorf("salt of %d bytes, expected %d", len(salt), saltSize)
	}
	if len(block.Bytes) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return cost, nil, errors.New("body is too short")
	}
	want := cost.headers(salt)
	for name, value := range h {
		if want[name] != value {
			return cost, nil, fmt.Errorf("unexpected header %q", shorten(name))
		}
	}
	return cost, salt, nil
}
