package backendtest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

const (
	labVocab  = 128  // rows of the tables that stand for activations
	labMaxPos = 8192 // positions of a lab's plan
)

// lab builds a plan together with random weights. Token t of a step has row t of every input table as activation.
type lab struct {
	b    *plan.Builder
	rng  *rand.Rand
	data []delivery
	// magnitude is the expected size of a token's results, by token id, where the result itself may cancel to nothing;
	// errors are never measured against less.
	magnitude [labVocab]float64
}

// delivery is one part of a weight for Program.Load.
type delivery struct {
	w    plan.Weight
	part plan.Part
	data []byte
}

func newLab(name string) *lab {
	h := fnv.New64a()
	h.Write([]byte(name))
	l := &lab{b: plan.NewBuilder(name, labVocab, labMaxPos), rng: rand.New(rand.NewPCG(h.Sum64(), 1))}
	for i := range l.magnitude {
		l.magnitude[i] = 1
	}
	return l
}

// normals returns n normal values of the given deviation.
func (l *lab) normals(n int, sigma float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(l.rng.NormFloat64() * sigma)
	}
	return out
}

// input adds an activation of the given width with random rows of unit deviation, times the token's magnitude.
func (l *lab) input(name string, width int) plan.Ref {
	values := l.normals(labVocab*width, 1)
	for i := range values {
		values[i] *= float32(l.magnitude[i/width])
	}
	return l.inputOf(name, width, values)
}

// inputOf adds an activation with the given rows (labVocab, width).
func (l *lab) inputOf(name string, width int, values []float32) plan.Ref {
	table := l.weight(plan.WeightInfo{Name: name + ".table", Rows: labVocab, Cols: width, Type: plan.F32}, values)
	buf := l.b.Buffer(name, plan.PerToken, width)
	l.b.Embed(plan.All(buf), table, 1)
	return plan.All(buf)
}

// weight adds a dense weight with the given values, rounded to its type.
func (l *lab) weight(info plan.WeightInfo, values []float32) plan.Weight {
	w := l.b.Weight(info)
	l.data = append(l.data, delivery{w, plan.Elements, encode(info.Type, values)})
	return w
}

// random adds a matrix of any encoding. Its values deviate by 1/sqrt(cols), so that its product with a unit input is
// of unit size.
func (l *lab) random(info plan.WeightInfo) plan.Weight {
	if info.Encoding == plan.AQLM {
		return l.randomAQLM(info)
	}
	return l.weight(info, l.normals(info.Rows*info.Cols, 1/math.Sqrt(float64(info.Cols))))
}

// vector adds a gain or a bias, whose values have mean one half and unit deviation.
func (l *lab) vector(name string, n int, t plan.DType) plan.Weight {
	values := l.normals(n, 1)
	for i := range values {
		values[i] += 0.5
	}
	return l.weight(plan.WeightInfo{Name: name, Rows: 1, Cols: n, Type: t}, values)
}

func (l *lab) randomAQLM(info plan.WeightInfo) plan.Weight {
	s := info.Scheme
	// Large codebooks repeat a block of random values; 4093 is prime, so that a wrong index shows.
	books, n, _ := info.PartShape(plan.Codebooks)
	block := l.normals(min(books*n, 4093*8), 1/math.Sqrt(float64(s.Codebooks*info.Cols)))
	values := make([]float32, books*n)
	for i := range values {
		values[i] = block[i%len(block)]
	}
	return l.aqlmOf(info, values)
}

// aqlmOf adds a compressed weight with the given codebooks, random codes and scales.
func (l *lab) aqlmOf(info plan.WeightInfo, books []float32) plan.Weight {
	w := l.b.Weight(info)
	s := info.Scheme
	scales := make([]float32, info.Rows/s.OutGroup)
	for i := range scales {
		scales[i] = float32(0.5 + l.rng.Float64())
		if l.rng.IntN(8) == 0 {
			scales[i] = -scales[i]
		}
	}
	rows, cols, _ := info.PartShape(plan.Codes)
	l.data = append(
		l.data,
		delivery{w, plan.Codes, l.codes(rows*cols, s.Bits)},
		delivery{w, plan.Codebooks, encode(info.Codebooks, books)},
		delivery{w, plan.Scales, encode(info.Scales, scales)},
	)
	return w
}

// codes returns n random codes as published files store them: signed, sign-extended to the next whole type. Every
// 16th has random bits above instead, which a backend has to mask all the same.
func (l *lab) codes(n, bits int) []byte {
	var out []byte
	for i := range n {
		code := l.rng.Uint32N(1 << bits)
		stored := int32(code<<(32-bits)) >> (32 - bits)
		if i%16 == 0 {
			stored = int32(code | l.rng.Uint32()<<bits)
		}
		if bits <= 8 {
			out = append(out, byte(stored))
		} else {
			out = binary.LittleEndian.AppendUint16(out, uint16(stored))
		}
	}
	return out
}

// result makes the columns of r the features of the plan. Token rows pass through Select.
func (l *lab) result(r plan.Ref, width int) *lab {
	buf := l.b.Plan.Buffers[r.Buf]
	if buf.Rows == plan.PerOutput {
		l.b.Plan.Features = r.Buf
		return l
	}
	if r.Off != 0 || buf.Width != width {
		whole := plan.All(l.b.Buffer("result", plan.PerToken, width))
		l.b.Scale(whole, r, 1, 0, width)
		r = whole
	}
	out := l.b.Buffer("features", plan.PerOutput, width)
	l.b.Select(plan.All(out), r)
	l.b.Plan.Features = out
	return l
}

// program compiles the plan and loads its weights in chunks of an odd number of rows, the last ones first.
func (l *lab) program(b backends.Backend, o backends.Options) (backends.Program, error) {
	pr, err := b.Compile(&l.b.Plan, o)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	if err := load(pr, &l.b.Plan, l.data, 13); err != nil {
		pr.Close()
		return nil, err
	}
	return pr, nil
}

func load(pr backends.Program, p *plan.Plan, data []delivery, chunk int) error {
	for _, d := range data {
		rows, rowBytes := p.Weights[d.w].PartBytes(d.part)
		chunk := max(chunk, rows/64|1)
		for first := (rows - 1) / chunk * chunk; first >= 0; first -= chunk {
			n := min(chunk, rows-first)
			if err := pr.Load(d.w, d.part, first, n, d.data[int64(first)*rowBytes:][:int64(n)*rowBytes]); err != nil {
				return fmt.Errorf("load %q %s: %w", p.Weights[d.w].Name, d.part, err)
			}
		}
	}
	return nil
}

// options are sizes that suit most labs.
func options(precision backends.Precision) backends.Options {
	return backends.Options{Precision: precision, KV: plan.F32, KVBlocks: 8, MaxTokens: 100, MaxSeqs: 4, MaxOutputs: 100}
}

// tokens returns a step of one sequence with token ids 0..n-1 (mod labVocab) at positions pos..pos+n-1, all rows
// wanted. Its blocks repeat block 0: it suits plans without attention.
func tokens(n, pos int) *backends.Step {
	s := &backends.Step{Runs: []backends.Run{{Pos: pos, N: n, Blocks: make([]int32, (pos+n+plan.KVBlock-1)/plan.KVBlock)}}}
	for i := range n {
		s.Tokens = append(s.Tokens, int32(i%labVocab))
		s.Out = append(s.Out, int32(i))
	}
	return s
}

// differ runs the steps on both backends and compares the features of each.
func (l *lab) differ(tested, oracle backends.Backend, o backends.Options, tol tolerance, steps ...*backends.Step) error {
	want, err := l.expected(oracle, o, steps)
	if err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	got, err := l.program(tested, o)
	if err != nil {
		return err
	}
	defer got.Close()
	width := l.b.Plan.Buffers[l.b.Plan.Features].Width
	for i, s := range steps {
		b := *s
		if err := got.Run(&b); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		floor := make([]float64, len(s.Out))
		for m, r := range s.Out {
			floor[m] = l.magnitude[s.Tokens[r]]
		}
		if err := compare(b.Features, want[i], width, tol, floor); err != nil {
			return fmt.Errorf("step %d of %d tokens: %w", i, len(s.Tokens), err)
		}
	}
	return nil
}

// oracles holds the features of what the oracle ran, by the hash of everything they depend on: levels, threads and precisions
// ask for the same again, and the oracle takes most of the suite's time.
var oracles sync.Map // [sha256.Size]byte to [][]float32

// expected returns the oracle's features of each step.
func (l *lab) expected(oracle backends.Backend, o backends.Options, steps []*backends.Step) ([][]float32, error) {
	o.Precision = backends.Exact // the oracle has no other
	h := sha256.New()
	fmt.Fprintf(h, "%+v %+v %+v", oracle.Info(), l.b.Plan, o)
	for _, d := range l.data {
		fmt.Fprintf(h, "%v %v %d:", d.w, d.part, len(d.data))
		h.Write(d.data)
	}
	for _, s := range steps {
		fmt.Fprintf(h, "%v %v %v;", s.Tokens, s.Runs, s.Out)
	}
	key := [sha256.Size]byte(h.Sum(nil))
	if known, ok := oracles.Load(key); ok {
		return known.([][]float32), nil
	}
	pr, err := l.program(oracle, o)
	if err != nil {
		return nil, err
	}
	defer pr.Close()
	var all [][]float32
	for i, s := range steps {
		run := *s
		if err := pr.Run(&run); err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
		all = append(all, slices.Clone(run.Features))
	}
	oracles.Store(key, all)
	return all, nil
}

// encode stores values in an element type, rounding to nearest.
func encode(t plan.DType, values []float32) []byte {
	var out []byte
	switch t {
	case plan.F32:
		for _, v := range values {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	case plan.F16:
		for _, v := range values {
			out = binary.LittleEndian.AppendUint16(out, half(v))
		}
	case plan.BF16:
		for _, v := range values {
			b := math.Float32bits(v)
			if v == v {
				b += 0x7fff + b>>16&1
			}
			out = binary.LittleEndian.AppendUint16(out, uint16(b>>16))
		}
	case plan.Q8_0:
		for i := 0; i < len(values); i += 32 {
			var top float64
			for _, v := range values[i : i+32] {
				top = max(top, math.Abs(float64(v)))
			}
			out = binary.LittleEndian.AppendUint16(out, half(float32(top/127)))
			for _, v := range values[i : i+32] {
				var q float64
				if top > 0 && !math.IsInf(top, 0) {
					q = math.Round(float64(v) / top * 127)
				}
				out = append(out, byte(int8(q)))
			}
		}
	}
	return out
}

// half rounds to F16 by scaling: the spacing of halves at v is known from v's exponent. Written unlike the converters
// of the backends on purpose.
func half(v float32) uint16 {
	x := float64(v)
	var sign uint16
	if math.Signbit(x) {
		sign, x = 0x8000, -x
	}
	switch {
	case math.IsNaN(x):
		return 0x7e00
	case x >= 65520:
		return sign | 0x7c00
	}
	_, exp := math.Frexp(max(x, 0x1p-14)) // below 2^-14 the spacing stays 2^-24
	n := uint16(math.RoundToEven(math.Ldexp(x, 11-exp)))
	return sign | (uint16(exp+13)<<10 + n) // n has the leading bit, which adds one to the exponent
}
