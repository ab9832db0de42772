package plan

import (
	"fmt"
	"math"
	"math/bits"
)

// Limits of a weight. They keep every size of a plan inside the int32 fields of the C ABI and every product of two of
// them inside int64; published models are orders of magnitude below.
const (
	maxSide      = math.MaxInt32 // rows or columns of a weight
	maxCodebooks = 16
	maxBits      = 16
	maxInGroup   = 256
	maxOutGroup  = 16
	maxBytes     = int64(1) << 46 // of one part; above any address space in use
)

// String returns the scheme as the project writes it: 2x8g8 for two codebooks of 8 bits over groups of 8 inputs, with
// og2 appended for groups of two rows.
func (s Scheme) String() string {
	text := fmt.Sprintf("%dx%dg%d", s.Codebooks, s.Bits, s.InGroup)
	if s.OutGroup != 1 {
		text += fmt.Sprintf("og%d", s.OutGroup)
	}
	return text
}

// ParseScheme reads what String writes, and no other spelling, and validates it.
func ParseScheme(text string) (Scheme, error) {
	s := Scheme{OutGroup: 1}
	// What was not understood shows in the spelling.
	if n, _ := fmt.Sscanf(text, "%dx%dg%dog%d", &s.Codebooks, &s.Bits, &s.InGroup, &s.OutGroup); n < 3 || s.String() != text {
		return Scheme{}, fmt.Errorf("plan: scheme %.40q: must be KxBgG (codebooks x bits g in group), as in 2x8g8", text)
	}
	return s, s.Validate()
}

// Validate reports the first number of the scheme that is out of range.
func (s Scheme) Validate() error {
	for _, f := range []struct {
		name    string
		got, hi int
	}{
		{"codebooks", s.Codebooks, maxCodebooks},
		{"bits", s.Bits, maxBits},
		{"in group", s.InGroup, maxInGroup},
		{"out group", s.OutGroup, maxOutGroup},
	} {
		if f.got < 1 || f.got > f.hi {
			return fmt.Errorf("plan: scheme has %s %d, must be 1..%d", f.name, f.got, f.hi)
		}
	}
	return nil
}

// CodeType returns the element type that codes of s.Bits are stored in.
func (s Scheme) CodeType() DType {
	if s.Bits <= 8 {
		return I8
	}
	return I16
}

// Parts returns the parts that make up the weight, in the order of their constants.
func (w *WeightInfo) Parts() []Part {
	if w.Encoding == AQLM {
		return []Part{Codes, Codebooks, Scales}
	}
	return []Part{Elements}
}

// PartShape returns how a part is delivered: its rows (matrix rows, row groups or codebooks), the elements of one row
// and their type. It is meaningful for the parts that Parts lists, of a weight that Validate accepts.
func (w *WeightInfo) PartShape(part Part) (rows, cols int, t DType) {
	s := w.Scheme
	switch part {
	case Codes:
		return w.Rows / s.OutGroup, w.Cols / s.InGroup * s.Codebooks, w.Codes
	case Codebooks:
		return s.Codebooks, (1 << s.Bits) * s.OutGroup * s.InGroup, w.Codebooks
	case Scales:
		return w.Rows / s.OutGroup, 1, w.Scales
	default:
		return w.Rows, w.Cols, w.Type
	}
}

// PartBytes returns the rows of a part and the bytes of one row, the units of a backend's Load.
func (w *WeightInfo) PartBytes(part Part) (rows int, rowBytes int64) {
	rows, cols, t := w.PartShape(part)
	rowBytes, err := t.Bytes(int64(cols))
	if err != nil {
		return 0, 0 // refused by Validate
	}
	return rows, rowBytes
}

// Bytes returns the bytes of all parts as they are stored in a checkpoint.
func (w *WeightInfo) Bytes() int64 {
	var total int64
	for _, part := range w.Parts() {
		rows, rowBytes := w.PartBytes(part)
		total += int64(rows) * rowBytes
	}
	return total
}

// Validate checks shape, scheme and element types.
func (w *WeightInfo) Validate() error {
	if w.Name == "" {
		return fmt.Errorf("plan: weight without a name")
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("plan: weight %q: %s", w.Name, fmt.Sprintf(format, args...))
	}
	if w.Rows < 1 || w.Rows > maxSide || w.Cols < 1 || w.Cols > maxSide {
		return bad("shape (%d, %d) is out of range", w.Rows, w.Cols)
	}
	switch w.Encoding {
	case Dense:
		if !w.Type.Valid() || !w.Type.Float() {
			return bad("element type %s cannot hold weights", w.Type)
		}
		if w.Scheme != (Scheme{}) {
			return bad("dense, but has a scheme")
		}
	case AQLM:
		if err := w.validateAQLM(bad); err != nil {
			return err
		}
	default:
		return bad("unknown encoding %d", w.Encoding)
	}
	for _, part := range w.Parts() {
		rows, cols, t := w.PartShape(part)
		rowBytes, err := t.Bytes(int64(cols))
		if err != nil {
			return bad("%s: rows of %d do not fit blocks of %s", part, cols, t)
		}
		if hi, lo := bits.Mul64(uint64(rows), uint64(rowBytes)); hi != 0 || lo > uint64(maxBytes) {
			return bad("%s: %d rows of %d bytes are too large", part, rows, rowBytes)
		}
	}
	return nil
}

func (w *WeightInfo) validateAQLM(bad func(string, ...any) error) error {
	s := w.Scheme
	if err := s.Validate(); err != nil {
		return fmt.Errorf("plan: weight %q: scheme %s is out of range", w.Name, s)
	}
	if w.Cols%s.InGroup != 0 {
		return bad("%d columns are no multiple of the in group %d", w.Cols, s.InGroup)
	}
	if w.Rows%s.OutGroup != 0 {
		return bad("%d rows are no multiple of the out group %d", w.Rows, s.OutGroup)
	}
	if w.Codes != s.CodeType() {
		return bad("codes of %d bits are stored as %s, not %s", s.Bits, s.CodeType(), w.Codes)
	}
	for _, f := range []struct {
		part Part
		t    DType
	}{{Codebooks, w.Codebooks}, {Scales, w.Scales}} {
		if f.t != F32 && f.t != F16 && f.t != BF16 {
			return bad("%s cannot be %s", f.part, f.t)
		}
	}
	return nil
}
