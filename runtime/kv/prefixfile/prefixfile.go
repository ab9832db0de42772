// Package prefixfile keeps the contents of KV blocks on disk, so that beginnings of texts which a model has run before are found
// again after it was unloaded or the program restarted. It imports runtime/kv and runtime/vfs, nothing else of ours: what is
// in the blocks, and of which model they are, is its caller's business.
//
// A Folder has a file for each Kind. The file is written as a whole and gets its name when it is complete, so a power loss
// leaves the old one or the new one. It is read as something that anybody may have damaged: what its checksums do not confirm is
// as if it were not there. Restoring never fails in a way that the caller would have to do something about: then nothing
// was restored, or less.
//
// The format, version 1; all numbers are little-endian, and checksums are XXH64:
//
//	header, 512 bytes
//	     0  8   "aqprefix"
//	     8  4   version
//	    12  4   positions of a block
//	    16  8   bytes of a block
//	    24 32   identity of the kind
//	    56  8   length of the note
//	    64 440  note, UTF-8, padded with zeros
//	   504  8   checksum of the 504 bytes before
//	entries, one behind the other, to the end of the file; used last first, and a beginning ahead of what follows it
//	     0 32   hash of the content: of all tokens up to the end of the block, and whose they are
//	    32 32   hash of the block before; zero for the first of a text
//	    64  8   checksum of the header's checksum, of the two hashes and of the bytes
//	    72  n   bytes of the block
package prefixfile

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"aquifer/runtime/kv"
)

const (
	magic   = "aqprefix"
	version = 1

	headerBytes = 512
	noteBytes   = 440
	entryBytes  = 72 // without the bytes of the block
)

// MaxNote is the length of a Kind's note, in bytes; what is longer is cut.
const MaxNote = noteBytes

// Kind says of which kind the blocks of a file are.
type Kind struct {
	// Identity stands for everything that the bytes of a block depend on besides the text: the model's weights, the
	// arithmetic, the layout. Blocks of one identity can take each other's place.
	Identity [32]byte
	Block    int    // bytes of a block, at least 1
	Note     string // what this is, for people
}

// name is the file's.
func (k Kind) name() string { return hex.EncodeToString(k.Identity[:16]) + suffix }

const suffix = ".prefix"

// Reasons why a file or the rest of it is not used.
var (
	errForeign = errors.New("it is no file of prefixes")
	errDamaged = errors.New("its header is damaged")
	errKind    = errors.New("it is of another model, or of one that is run in another way")
)

// header returns the first bytes of a file.
func (k Kind) header() []byte {
	b := make([]byte, headerBytes)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], kv.BlockSize)
	binary.LittleEndian.PutUint64(b[16:], uint64(k.Block))
	copy(b[24:], k.Identity[:])
	note := strings.ToValidUTF8(k.Note, "")
	for len(note) > noteBytes {
		_, n := utf8.DecodeLastRuneInString(note)
		note = note[:len(note)-n]
	}
	binary.LittleEndian.PutUint64(b[56:], uint64(copy(b[64:504], note)))
	binary.LittleEndian.PutUint64(b[504:], xxhash.Sum64(b[:504]))
	return b
}

// parseHeader reads what a file says of itself.
func parseHeader(b []byte) (Kind, error) {
	if len(b) != headerBytes || string(b[:8]) != magic {
		return Kind{}, errForeign
	}
	// Before the checksum: where a later version has that, nobody knows.
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return Kind{}, fmt.Errorf("it has format %d, this program reads %d", v, version)
	}
	note, block := binary.LittleEndian.Uint64(b[56:]), binary.LittleEndian.Uint64(b[16:])
	if binary.LittleEndian.Uint64(b[504:]) != xxhash.Sum64(b[:504]) || note > noteBytes || block < 1 || block > maxBlock ||
		binary.LittleEndian.Uint32(b[12:]) != kv.BlockSize {
		return Kind{}, errDamaged
	}
	k := Kind{Block: int(block), Note: strings.ToValidUTF8(string(b[64:64+note]), "")}
	copy(k.Identity[:], b[24:])
	return k, nil
}

// maxBlock bounds what is believed of the bytes of a block.
const maxBlock = 1 << 30

// putEntry writes what stands before the bytes of a block; entry holds both, and the bytes already.
func putEntry(entry []byte, c kv.Content, seed []byte) {
	copy(entry, c.Hash[:])
	copy(entry[32:], c.Before[:])
	binary.LittleEndian.PutUint64(entry[64:], sum(entry, seed))
}

// parseEntry returns what an entry's block holds; false if it is damaged.
func parseEntry(entry, seed []byte) (kv.Content, bool) {
	c := kv.Content{Hash: kv.Hash(entry[:32]), Before: kv.Hash(entry[32:64])}
	return c, binary.LittleEndian.Uint64(entry[64:]) == sum(entry, seed)
}

// sum is an entry's checksum. seed, the header's, keeps entries of another file from fitting in.
func sum(entry, seed []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	d.Write(seed)
	d.Write(entry[:64])
	d.Write(entry[entryBytes:])
	return d.Sum64()
}
