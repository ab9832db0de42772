package backendtest

import (
	"fmt"
	"math"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// widths straddle vector lengths.
var widths = []int{1, 2, 7, 31, 33, 63, 64, 65, 127, 576, 1537}

// one wraps an exact-mode case: these ops have the same bound in both precisions.
func one(name string, run func(l *lab, tested, oracle backends.Backend) error) testCase {
	return testCase{name, func(tested, oracle backends.Backend) error { return run(newLab(name), tested, oracle) }}
}

func opCases() []testCase {
	var cases []testCase
	for _, f := range []func() []testCase{embedCases, normCases, ropeCases, longRopeCases, gluCases, addCases, scaleCases, selectCases} {
		cases = append(cases, f()...)
	}
	return cases
}

func embedCases() []testCase {
	var cases []testCase
	for _, t := range []plan.DType{plan.F32, plan.F16, plan.BF16, plan.Q8_0} {
		for _, width := range []int{32, 576, 33} {
			if t == plan.Q8_0 && width%32 != 0 {
				continue
			}
			for _, scale := range []float32{1, 24.0625} {
				cases = append(cases, one(fmt.Sprintf("embed/%s-%d-%v", t, width, scale), func(l *lab, tested, oracle backends.Backend) error {
					table := l.weight(plan.WeightInfo{Name: "table", Rows: labVocab, Cols: width, Type: t}, l.normals(labVocab*width, 1))
					x := l.b.Buffer("x", plan.PerToken, width+5)
					l.b.Embed(plan.At(x, 3), table, scale)
					l.result(plan.At(x, 3), width)
					return l.differ(tested, oracle, options(backends.Exact), tolerance{norm: rounding}, tokens(1, 0), tokens(100, 0))
				}))
			}
		}
	}
	return cases
}

func normCases() []testCase {
	var cases []testCase
	add := func(name string, p plan.NormParams, gain, bias plan.DType, perPart, inPlace bool, offset float32) {
		parts := max(p.Parts, 1)
		all := parts * p.Width
		cases = append(cases, one("norm/"+name, func(l *lab, tested, oracle backends.Backend) error {
			values := l.normals(labVocab*(all+4), 1)
			for i := range values {
				values[i] += offset
			}
			if p.Eps > 0 {
				clear(values[:all+4]) // an all-zero token: epsilon alone keeps it finite
			}
			x := l.inputOf("x", all+4, values)
			length := p.Width
			if perPart {
				length = all
			}
			p.Gain, p.Bias = l.vector("gain", length, gain), plan.None
			if bias != plan.I8 {
				p.Bias = l.vector("bias", length, bias)
			}
			from := plan.At(x.Buf, 4)
			to := from
			if !inPlace {
				to = plan.At(l.b.Buffer("y", plan.PerToken, all+1), 1)
			}
			l.b.Norm(to, from, p)
			l.result(to, all)
			// A mean m costs a variance about m*m units of accuracy.
			tol := elementary * float64(1+offset*offset)
			return l.differ(tested, oracle, options(backends.Exact), tolerance{norm: tol}, tokens(1, 0), tokens(100, 0), tokens(17, 0))
		}))
	}
	const none = plan.I8 // no bias
	for _, w := range widths {
		add(fmt.Sprintf("rms-%d", w), plan.NormParams{Width: w, Eps: 1e-5}, plan.F16, none, false, w%2 == 1, 0)
		if w > 2 { // of fewer columns, the mean leaves a difference of neighbours only
			add(fmt.Sprintf("layer-%d", w), plan.NormParams{Type: plan.LayerNorm, Width: w, Eps: 1e-5}, plan.F32, none, false, w%2 == 0, 1)
		}
	}
	add("rms-plus", plan.NormParams{Width: 96, Eps: 1e-6, Plus: 1}, plan.BF16, none, false, false, 0)
	add("rms-bias", plan.NormParams{Width: 96, Eps: 1e-6}, plan.F16, plan.F32, false, false, 0)
	add("rms-eps", plan.NormParams{Width: 96, Eps: 0.5}, plan.F16, none, false, false, 0)
	add("layer-bias", plan.NormParams{Type: plan.LayerNorm, Width: 96, Eps: 1e-5}, plan.F16, plan.F16, false, true, -2)
	add("parts-shared", plan.NormParams{Parts: 5, Width: 20, Eps: 1e-6}, plan.F16, none, false, true, 0)
	add("parts-own", plan.NormParams{Type: plan.LayerNorm, Parts: 7, Width: 26, Eps: 1e-5}, plan.F32, none, true, true, 0)
	add("parts-own-bias", plan.NormParams{Type: plan.LayerNorm, Parts: 3, Width: 33, Eps: 1e-5, Plus: 1}, plan.F32, plan.BF16, true, false, 0.5)
	add("parts-of-1", plan.NormParams{Parts: 9, Width: 1, Eps: 1e-2}, plan.F32, none, true, false, 0)
	return cases
}

func ropeCases() []testCase {
	var cases []testCase
	for _, dim := range []int{2, 12, 20, 26, 64, 80, 128} {
		for _, pairing := range []plan.RopePairing{plan.RopeHalf, plan.RopeNeighbours} {
			for _, pos := range []int{0, 5, 1000, labMaxPos - 100} {
				heads, rotated, factor := 1+dim%5, dim, float32(1)
				if dim == 80 {
					rotated, factor = 32, 1.19
				}
				name := fmt.Sprintf("rope/%d-%d-%d", dim, pairing, pos)
				cases = append(cases, one(name, func(l *lab, tested, oracle backends.Backend) error {
					x := l.input("x", heads*dim+9)
					freqs := make([]float32, rotated/2)
					f := 1.0
					for i := range freqs {
						freqs[i] = float32(f)
						f *= 0.8
					}
					part := plan.At(x.Buf, 5)
					l.b.Rope(part, plan.RopeParams{Heads: heads, Dim: dim, Rotated: rotated, Pairing: pairing, Freqs: l.b.Const("freqs", freqs), Factor: factor})
					l.result(x, heads*dim+9) // with the columns beside, which must stay as they are
					o := options(backends.Exact)
					two := tokens(33, pos) // two sequences at different positions in one step
					two.Runs[0].N = 20
					two.Runs = append(two.Runs, backends.Run{Pos: 3, N: 13, Blocks: []int32{1}})
					return l.differ(tested, oracle, o, ropeTolerance(pos+100), tokens(1, pos), tokens(100, pos), two)
				}))
			}
		}
	}
	return cases
}

// longRopeCases: sequences on both sides of the limit in one step, decided by their length and not by their position.
func longRopeCases() []testCase {
	var cases []testCase
	for _, pairing := range []plan.RopePairing{plan.RopeHalf, plan.RopeNeighbours} {
		cases = append(cases, one(fmt.Sprintf("rope/long-%d", pairing), func(l *lab, tested, oracle backends.Backend) error {
			const heads, dim, rotated, limit = 3, 20, 12, 40
			x := l.input("x", heads*dim)
			l.b.Rope(x, plan.RopeParams{
				Heads: heads, Dim: dim, Rotated: rotated, Pairing: pairing, Factor: 1.19,
				Freqs: l.b.Const("short", []float32{1, 0.7, 0.5, 0.2, 0.1, 0.03}),
				Limit: limit, Long: l.b.Const("long", []float32{0.9, 0.5, 0.2, 0.1, 0.02, 0.01}),
			})
			l.result(x, heads*dim)
			run := func(pos, n, length int) *backends.Step {
				s := tokens(n, pos)
				s.Runs[0].Length = length
				return s
			}
			mixed := tokens(30, 0)
			mixed.Runs = []backends.Run{
				{Pos: 0, N: 10, Blocks: []int32{1}, Length: 41},
				{Pos: 0, N: 10, Blocks: []int32{2}, Length: 40},
				{Pos: 35, N: 6, Blocks: []int32{3, 4}},
				{Pos: 36, N: 4, Blocks: []int32{5, 6}},
			}
			return l.differ(
				tested, oracle, options(backends.Exact), ropeTolerance(200),
				run(0, 40, 0), run(0, 41, 0), run(0, 1, 41), run(39, 1, 0), run(40, 1, 0), run(39, 1, 90), mixed,
			)
		}))
	}
	return cases
}

func gluCases() []testCase {
	var cases []testCase
	for _, act := range []plan.Activation{plan.SiLU, plan.GeluTanh, plan.GeluErf} {
		for _, width := range widths {
			for inPlace := range 3 { // 0: no, 1: over the gate, 2: over the other
				if inPlace > 0 && width != 65 {
					continue
				}
				cases = append(cases, one(fmt.Sprintf("glu/%d-%d-%d", act, width, inPlace), func(l *lab, tested, oracle backends.Backend) error {
					values := l.normals(labVocab*2*width, 3)
					for i, v := range []float32{0, float32(math.Copysign(0, -1)), 1e-30, -1e-30, 20, -20, 90, -90, 1e4, -1e4} { // the tails
						values[i*2*width] = v
					}
					gu := l.inputOf("gu", 2*width, values)
					gate, up := gu, plan.At(gu.Buf, width)
					to := plan.All(l.b.Buffer("y", plan.PerToken, width))
					switch inPlace {
					case 1:
						to = gate
					case 2:
						to = up
					}
					l.b.Glu(to, gate, up, act, width)
					l.result(to, width)
					return l.differ(tested, oracle, options(backends.Exact), tolerance{norm: elementary}, tokens(1, 0), tokens(100, 0), tokens(17, 0))
				}))
			}
		}
	}
	return cases
}

func addCases() []testCase {
	var cases []testCase
	for _, width := range widths {
		for inPlace := range 3 {
			cases = append(cases, one(fmt.Sprintf("add/%d-%d", width, inPlace), func(l *lab, tested, oracle backends.Backend) error {
				x, y := l.input("x", width+3), l.input("y", width+1)
				x.Off, y.Off = 3, 1
				to := [...]plan.Ref{{}, x, y}[inPlace]
				if inPlace == 0 {
					to = plan.At(l.b.Buffer("z", plan.PerToken, width+2), 2)
				}
				l.b.Add(to, x, y, []float32{1, -0.22}[width%2], width)
				l.result(to, width)
				return l.differ(tested, oracle, options(backends.Exact), tolerance{norm: rounding}, tokens(1, 0), tokens(100, 0), tokens(5, 0))
			}))
		}
	}
	return cases
}

func scaleCases() []testCase {
	var cases []testCase
	for _, width := range widths {
		for _, limit := range []float32{0, 3} {
			cases = append(cases, one(fmt.Sprintf("scale/%d-%v", width, limit), func(l *lab, tested, oracle backends.Backend) error {
				x := l.input("x", width+2)
				to := plan.At(x.Buf, 1)
				if width%2 == 0 {
					to = plan.All(l.b.Buffer("y", plan.PerToken, width))
				}
				l.b.Scale(to, plan.At(x.Buf, 1), 2.5, limit, width)
				l.result(to, width)
				return l.differ(tested, oracle, options(backends.Exact), tolerance{norm: elementary}, tokens(1, 0), tokens(100, 0), tokens(3, 0))
			}))
		}
	}
	return cases
}

func selectCases() []testCase {
	var cases []testCase
	for _, width := range widths {
		cases = append(cases, one(fmt.Sprintf("select/%d", width), func(l *lab, tested, oracle backends.Backend) error {
			l.result(l.input("x", width), width)
			var steps []*backends.Step
			for _, rows := range [][]int32{{}, {0}, {99}, {1, 2, 50}, {0, 99}} {
				s := tokens(100, 0)
				s.Out = rows
				steps = append(steps, s)
			}
			return l.differ(tested, oracle, options(backends.Exact), tolerance{norm: 0}, steps...)
		}))
	}
	return cases
}
