package grammar

import "unicode/utf8"

// byteRange is a set of neighbouring bytes.
type byteRange struct{ lo, hi byte }

// utf8Sequences calls yield with sequences of byte ranges that together match the UTF-8 encodings of lo..hi and
// nothing else, in ascending order. Surrogates have no encoding and are left out.
func utf8Sequences(lo, hi rune, yield func([]byteRange)) {
	const (
		surrogateLow  = 0xD800
		surrogateHigh = 0xDFFF
	)
	if lo > hi {
		return
	}
	if lo <= surrogateHigh && hi >= surrogateLow {
		utf8Sequences(lo, surrogateLow-1, yield)
		utf8Sequences(surrogateHigh+1, hi, yield)
		return
	}
	// Encodings of one length only ...
	for _, last := range []rune{0x7F, 0x7FF, 0xFFFF} {
		if lo <= last && hi > last {
			utf8Sequences(lo, last, yield)
			utf8Sequences(last+1, hi, yield)
			return
		}
	}
	n := utf8.RuneLen(lo)
	// ... and only ranges where each byte varies on its own: once two bytes differ, all after them are free.
	for i := 1; i < n; i++ {
		free := rune(1)<<(6*i) - 1
		if lo&^free == hi&^free {
			continue
		}
		if lo&free != 0 {
			utf8Sequences(lo, lo|free, yield)
			utf8Sequences((lo|free)+1, hi, yield)
			return
		}
		if hi&free != free {
			utf8Sequences(lo, hi&^free-1, yield)
			utf8Sequences(hi&^free, hi, yield)
			return
		}
	}
	var a, b [utf8.UTFMax]byte
	utf8.EncodeRune(a[:], lo)
	utf8.EncodeRune(b[:], hi)
	seq := make([]byteRange, n)
	for i := range seq {
		seq[i] = byteRange{a[i], b[i]}
	}
	yield(seq)
}
