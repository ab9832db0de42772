package tokenizer

import (
	"strings"
	"unicode/utf8"
)

type decodeKind uint8

const (
	decodeJoin  decodeKind = iota // no decoder: pieces with a space between them
	decodeBytes                   // byte-level pieces
	decodeText                    // SentencePiece pieces
)

// decodeSpec is the decoder of a file, brought into one of the forms above.
type decodeSpec struct {
	kind     decodeKind
	replace  []normalizer // decodeText: replacements in every piece
	bytes    bool         // decodeText: byte pieces stand for bytes
	strip    byte         // decodeText: this character is cut from the start of the text,
	stripMax int          // at most so often
	// dropMark, if not empty, is cut from the first piece wherever it stands in it (the Metaspace decoder).
	dropMark string
	stage    decodeStage // how far the chain was read
}

// decodeStage orders the steps of a SentencePiece decoder chain.
type decodeStage uint8

const (
	stageNone decodeStage = iota
	stageReplace
	stageBytes
	stageFuse
	stageDone
)

// textOf lists what each id decodes to and marks the ids that decode to one byte.
func (d *decodeSpec) textOf(v *vocab, attr []tokenAttr) stringTable {
	blob := make([]byte, 0, len(v.blob))
	ends := make([]uint32, v.size())
	for i := range ends {
		p := v.at(int32(i))
		switch d.kind {
		case decodeJoin:
			blob = append(blob, p...)
		case decodeBytes:
			blob = appendFromByteLevel(blob, p)
		case decodeText:
			for _, r := range d.replace {
				p = r.replace(p, func(int, int, int, int) {})
			}
			if b, ok := pieceByte(p); ok && d.bytes {
				attr[i] |= attrByte
				blob = append(blob, b)
			} else {
				blob = append(blob, p...)
			}
		}
		ends[i] = uint32(len(blob)) // checkGrowth keeps it far below 4 GiB
	}
	return stringTable{blob: string(blob), ends: ends}
}

// Decode turns ids into text as the reference does: bytes that are not UTF-8 become U+FFFD, ids that do not exist
// are left out.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	d := t.NewDecoder(skipSpecial)
	out := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		out = d.append(out, id)
	}
	return string(d.flush(out))
}

// A Decoder turns a stream of ids into a stream of text. The concatenation of everything it returns is what Decode
// returns for all ids together, and no part ends inside a UTF-8 sequence. It is not safe for concurrent use.
//
// With byte-fallback vocabularies it holds back a run of byte tokens until the run ends: the reference replaces
// every byte of a run that is not valid UTF-8 as a whole, so nothing of it is certain before.
type Decoder struct {
	t       *Tokenizer
	skip    bool
	held    []byte // bytes whose text is not certain yet
	started bool   // a token was decoded
	strip   int    // characters that may still be cut from the start of the text
	out     []byte
}

// NewDecoder starts a stream. With skipSpecial control tokens give no text.
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder {
	return &Decoder{t: t, skip: skipSpecial, strip: t.decode.stripMax}
}

// Push takes the next id and returns the text that has become certain, often "". Its cost does not depend on how
// much was decoded before.
func (d *Decoder) Push(id int32) string {
	d.out = d.append(d.out[:0], id)
	return string(d.out)
}

// Flush ends the stream: it returns what was held back, with U+FFFD for an unfinished sequence. The decoder then
// stands at the start of a new stream.
func (d *Decoder) Flush() string {
	d.out = d.flush(d.out[:0])
	return string(d.out)
}

// Release returns what was held back, with U+FFFD for an unfinished sequence, though the text goes on: something ends a run
// of bytes that Push is not told of.
func (d *Decoder) Release() string {
	d.out = d.settle(d.out[:0])
	return string(d.out)
}

func (d *Decoder) append(out []byte, id int32) []byte {
	t := d.t
	if !t.vocab.has(id) || (d.skip && t.attr[id]&attrSpecial != 0) {
		return out
	}
	first := !d.started
	d.started = true
	text := t.text.at(id)
	switch t.decode.kind {
	case decodeBytes:
		if len(d.held) == 0 && utf8.ValidString(text) {
			return append(out, text...)
		}
		d.held = append(d.held, text...)
		n := len(d.held) - partialLen(d.held)
		out = appendLossy(out, d.held[:n])
		d.held = d.held[:copy(d.held, d.held[n:])]
		return out
	case decodeText:
		if t.attr[id]&attrByte != 0 {
			d.held = append(d.held, text...)
			return out
		}
		out = d.release(out)
		if first && t.decode.dropMark != "" {
			text = strings.ReplaceAll(t.vocab.at(id), t.decode.dropMark, "")
		}
		return d.emit(out, text)
	default:
		if !first {
			out = append(out, ' ')
		}
		return append(out, text...)
	}
}

// settle appends the text of what is held.
func (d *Decoder) settle(out []byte) []byte {
	if d.t.decode.kind != decodeBytes {
		return d.release(out)
	}
	out = appendLossy(out, d.held)
	d.held = d.held[:0]
	return out
}

func (d *Decoder) flush(out []byte) []byte {
	out = d.settle(out)
	d.started, d.strip = false, d.t.decode.stripMax
	return out
}

// release ends a run of byte tokens.
func (d *Decoder) release(out []byte) []byte {
	if len(d.held) == 0 {
		return out
	}
	if utf8.Valid(d.held) {
		out = d.emit(out, string(d.held))
	} else {
		for range d.held {
			out = d.emit(out, string(utf8.RuneError))
		}
	}
	d.held = d.held[:0]
	return out
}

// emit appends text, without what is cut from the start of the stream.
func (d *Decoder) emit(out []byte, text string) []byte {
	for d.strip > 0 && text != "" {
		if text[0] != d.t.decode.strip {
			d.strip = 0
			break
		}
		text = text[1:]
		d.strip--
	}
	return append(out, text...)
}
