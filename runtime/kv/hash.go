package kv

import (
	"crypto/sha256"
	"encoding/binary"
)

// Hash names what a full block holds: its tokens, all tokens before it, and whose they are. Equal hashes mean equal
// contents: the function is one for which nobody can make two texts of one hash, since whoever could would read the
// answers to another's prompt.
type Hash [sha256.Size]byte

// Root starts the chain of hashes of all texts with a salt. Texts with different salts share nothing.
func Root(salt string) Hash { return sha256.Sum256([]byte(salt)) }

// Next returns the hash of the block behind the one that h names; tokens are its BlockSize tokens.
func (h Hash) Next(tokens []int32) Hash {
	var b [len(h) + 4*BlockSize]byte
	at := copy(b[:], h[:])
	for i, id := range tokens[:BlockSize] {
		binary.LittleEndian.PutUint32(b[at+4*i:], uint32(id))
	}
	return sha256.Sum256(b[:])
}

// Chain appends to chain, which belongs to the first blocks of tokens and starts at root, the hashes of the other full
// blocks.
func Chain(chain []Hash, root Hash, tokens []int32) []Hash {
	if n := len(chain); n > 0 {
		root = chain[n-1]
	}
	for n := len(chain); (n+1)*BlockSize <= len(tokens); n++ {
		root = root.Next(tokens[n*BlockSize : (n+1)*BlockSize])
		chain = append(chain, root)
	}
	return chain
}
