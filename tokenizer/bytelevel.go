package tokenizer

import "unicode/utf8"

// The byte-level alphabet of GPT-2 spells every byte as one printable character: printable Latin-1 bytes stand for
// themselves, the 68 others are numbered upwards from U+0100.
var (
	byteRune = makeByteRune()
	runeByte = makeRuneByte()
)

const byteRuneEnd = 256 + 68 // first code point after the alphabet

func makeByteRune() (m [256]rune) {
	next := rune(256)
	for b := range m {
		if (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE {
			m[b] = rune(b)
			continue
		}
		m[b] = next
		next++
	}
	return m
}

func makeRuneByte() (m [byteRuneEnd]int16) {
	for i := range m {
		m[i] = -1
	}
	for b, r := range byteRune {
		m[r] = int16(b)
	}
	return m
}

// appendByteLevel appends the byte-level spelling of s.
func appendByteLevel(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = utf8.AppendRune(dst, byteRune[s[i]])
	}
	return dst
}

// appendFromByteLevel appends the bytes a piece spells. A piece with a character outside the alphabet (an added
// token) stands for its own bytes.
func appendFromByteLevel(dst []byte, piece string) []byte {
	mark := len(dst)
	for _, r := range piece {
		if r >= byteRuneEnd || runeByte[r] < 0 {
			return append(dst[:mark], piece...)
		}
		dst = append(dst, byte(runeByte[r]))
	}
	return dst
}

// pieceByte reads a byte-fallback piece such as "<0x0A>".
func pieceByte(piece string) (byte, bool) {
	if len(piece) != 6 || piece[:3] != "<0x" || piece[5] != '>' {
		return 0, false
	}
	hi, ok1 := hexDigit(piece[3])
	lo, ok2 := hexDigit(piece[4])
	return hi<<4 | lo, ok1 && ok2
}

// bytePiece spells a byte-fallback piece.
func bytePiece(b byte) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{'<', '0', 'x', digits[b>>4], digits[b&15], '>'})
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
