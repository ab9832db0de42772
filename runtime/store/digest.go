package store

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Digest names a file by its content, as the hub does: the SHA-256 of large files, the id that git gives small ones,
// which is a SHA-1. It was checked when it was made, so it can be part of a path.
type Digest struct{ hex string }

// ParseDigest reads a digest in lower-case hexadecimal digits.
func ParseDigest(text string) (Digest, error) {
	if len(text) != 2*sha1.Size && len(text) != 2*sha256.Size || !isHex(text) {
		return Digest{}, fmt.Errorf("%.80q is not a digest, which is 40 or 64 hexadecimal digits", text)
	}
	return Digest{text}, nil
}

// String is the digest in hexadecimal digits.
func (d Digest) String() string { return d.hex }

// Hash returns what computes the digest of a file of that many bytes.
func (d Digest) Hash(size int64) hash.Hash {
	if len(d.hex) == 2*sha256.Size {
		return sha256.New()
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", size)
	return h
}

// DigestOf returns the digest that a hash has computed.
func DigestOf(h hash.Hash) Digest { return Digest{hex.EncodeToString(h.Sum(nil))} }

// HashError says that a file does not have the content that its name stands for.
type HashError struct {
	What      string
	Want, Got Digest
}

func (e *HashError) Error() string {
	return fmt.Sprintf("%s: the content is not the one it should be: digest %.12s, must be %.12s", e.What, e.Got, e.Want)
}
