package kernelbench

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"aquifer/runtime/half"
	"aquifer/runtime/plan"
)

// Encoding reads the name of an encoding: an AQLM scheme, as in 2x8g8, or f32, f16, bf16 or q8_0. The result has no shape
// yet.
func Encoding(name string) (plan.WeightInfo, error) {
	for _, t := range []plan.DType{plan.F32, plan.F16, plan.BF16, plan.Q8_0} {
		if t.String() == name {
			return plan.WeightInfo{Type: t}, nil
		}
	}
	s, err := plan.ParseScheme(name)
	if err != nil {
		return plan.WeightInfo{}, fmt.Errorf("kernelbench: encoding %.40q: must be KxBgG as in 2x8g8, f32, f16, bf16 or q8_0", name)
	}
	return plan.WeightInfo{Encoding: plan.AQLM, Scheme: s, Codes: s.CodeType(), Codebooks: plan.F16, Scales: plan.F16}, nil
}

// EncodingName is the name that Encoding reads.
func EncodingName(w *plan.WeightInfo) string {
	if w.Encoding == plan.AQLM {
		return w.Scheme.String()
	}
	return w.Type.String()
}

// matrix is a weight with random values whose variance is 1/cols: its products are as large as its inputs.
type matrix struct {
	info plan.WeightInfo
	data [][]byte // by plan.Part
}

// normals is how many different numbers a matrix is made of. It is prime, so that rows differ.
const normals = 65521

func newMatrix(info plan.WeightInfo) *matrix {
	info.Name = "w"
	m := &matrix{info, make([][]byte, plan.Scales+1)}
	random := rand.NewChaCha8([32]byte{1})
	deviation := 1 / math.Sqrt(float64(info.Cols))
	for _, part := range info.Parts() {
		rows, cols, t := info.PartShape(part)
		switch {
		case part == plan.Codes:
			m.data[part] = randomCodes(random, rows*cols, info.Scheme.Bits)
		case part == plan.Codebooks:
			m.data[part] = randomFloats(random, t, rows*cols, 1/math.Sqrt(float64(info.Scheme.Codebooks)))
		default:
			m.data[part] = randomFloats(random, t, rows*cols, deviation)
		}
	}
	return m
}

// randomCodes returns n codes, sign-extended as checkpoints have them.
func randomCodes(random *rand.ChaCha8, n, codeBits int) []byte {
	if codeBits <= 8 {
		data := make([]byte, n)
		random.Read(data)
		for i, c := range data {
			data[i] = byte(int8(c) << (8 - codeBits) >> (8 - codeBits))
		}
		return data
	}
	data := make([]byte, 2*n)
	random.Read(data)
	for i := 0; i < len(data); i += 2 {
		c := int16(binary.LittleEndian.Uint16(data[i:]))
		binary.LittleEndian.PutUint16(data[i:], uint16(c<<(16-codeBits)>>(16-codeBits)))
	}
	return data
}

// randomFloats returns n normal numbers of a float type. A block of Q8_0 has random bytes and the scale that gives them
// the deviation.
func randomFloats(random *rand.ChaCha8, t plan.DType, n int, deviation float64) []byte {
	if t == plan.Q8_0 {
		const values, size, uniform = 32, 34, 73.9 // the last is the deviation of a byte
		data := make([]byte, n/values*size)
		random.Read(data)
		for i := 0; i < len(data); i += size {
			binary.LittleEndian.PutUint16(data[i:], half.Bits(float32(deviation/uniform)))
		}
		return data
	}
	_, size := t.Block()
	block := make([]byte, 0, normals*size)
	r := rand.New(random)
	for range min(n, normals) {
		x := float32(deviation * r.NormFloat64())
		switch t {
		case plan.F32:
			block = binary.LittleEndian.AppendUint32(block, math.Float32bits(x))
		case plan.BF16:
			block = binary.LittleEndian.AppendUint16(block, uint16(math.Float32bits(x)>>16))
		default:
			block = binary.LittleEndian.AppendUint16(block, half.Bits(x))
		}
	}
	data := make([]byte, 0, n*size)
	for len(data) < n*size {
		data = append(data, block[:min(len(block), n*size-len(data))]...)
	}
	return data
}

// sampled returns a matrix of some of the rows of m, evenly spread, and the number of each.
func (m *matrix) sampled(most int) (*matrix, []int) {
	groups, _ := m.info.PartBytes(m.info.Parts()[0])
	height := m.info.Rows / groups // rows that share codes
	step := max(1, groups*height/most)
	s := &matrix{m.info, make([][]byte, len(m.data))}
	var rows []int
	for g := 0; g < groups; g += step {
		for a := range height {
			rows = append(rows, g*height+a)
		}
	}
	s.info.Rows = len(rows)
	for _, part := range m.info.Parts() {
		if part == plan.Codebooks {
			s.data[part] = m.data[part]
			continue
		}
		_, size := m.info.PartBytes(part)
		for g := 0; g < groups; g += step {
			s.data[part] = append(s.data[part], m.data[part][int64(g)*size:int64(g+1)*size]...)
		}
	}
	return s, rows
}
