package backendtest

import (
	"fmt"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// tokenCounts straddle the register blocks and chunk sizes that kernels choose.
var tokenCounts = []int{100, 1, 2, 3, 4, 5, 8, 11, 16, 17, 33, 64}

func countSteps() (steps []*backends.Step) {
	for _, n := range tokenCounts {
		steps = append(steps, tokens(n, 0))
	}
	return steps
}

func precisions(name string, run func(p backends.Precision, tested, oracle backends.Backend) error) []testCase {
	var cases []testCase
	for _, p := range []backends.Precision{backends.Exact, backends.Fast, backends.Auto} {
		cases = append(cases, testCase{name + "/" + p.String(), func(tested, oracle backends.Backend) error {
			return run(p, tested, oracle)
		}})
	}
	return cases
}

// product runs y = W x for one weight and all token counts.
func product(info plan.WeightInfo) []testCase {
	info.Name = "w"
	name := fmt.Sprintf("%s/%dx%d", info.Type, info.Rows, info.Cols)
	if info.Encoding == plan.AQLM {
		name = fmt.Sprintf("%s-%s/%dx%d", info.Scheme, info.Codebooks, info.Rows, info.Cols)
	}
	return precisions(name, func(p backends.Precision, tested, oracle backends.Backend) error {
		l := newLab(name)
		x := l.input("x", info.Cols)
		w := l.random(info)
		y := plan.All(l.b.Buffer("y", plan.PerToken, info.Rows))
		l.b.Linear(x, plan.Output{To: y, W: w, Bias: plan.None})
		l.result(y, info.Rows)
		return l.differ(tested, oracle, options(p), linearTolerance(p), countSteps()...)
	})
}

func linearCases() []testCase {
	var cases []testCase
	for _, t := range []plan.DType{plan.F32, plan.F16, plan.BF16, plan.Q8_0} {
		shapes := [][2]int{{1, 1}, {1, 127}, {31, 33}, {33, 31}, {63, 65}, {65, 63}, {127, 129}, {257, 576}, {5, 4099}}
		if t == plan.Q8_0 {
			shapes = [][2]int{{1, 32}, {31, 64}, {33, 96}, {65, 160}, {127, 576}, {5, 4128}}
		}
		for _, s := range shapes {
			cases = append(cases, product(plan.WeightInfo{Rows: s[0], Cols: s[1], Type: t})...)
		}
	}
	cases = append(cases, fusedCases()...)
	cases = append(cases, outlierCases()...)
	cases = append(cases, alignedCases()...)
	return append(cases, outputRowsCase())
}

// fusedCases: one to four outputs of different weights, sizes, offsets and biases share an input that lies inside a
// wider buffer.
func fusedCases() []testCase {
	const width, cols, off = 200, 96, 41
	rows := []int{33, 64, 7, 129}
	weights := []plan.WeightInfo{
		{Type: plan.F16}, aqlm(2, 8, 8, 1), {Type: plan.Q8_0}, aqlm(1, 16, 8, 1),
	}
	var cases []testCase
	for n := 1; n <= 4; n++ {
		for _, biased := range []int{0, 5, 15} { // bit masks of outputs with a bias
			name := fmt.Sprintf("fused/%d-bias%d", n, biased)
			cases = append(cases, precisions(name, func(p backends.Precision, tested, oracle backends.Backend) error {
				l := newLab(name)
				x := l.input("x", width)
				total := 3
				for i := range n {
					total += rows[i] + i
				}
				// The gaps between the outputs hold values that must survive.
				y := l.input("y", total)
				at := 3
				var outs []plan.Output
				for i := range n {
					info := weights[i]
					info.Name, info.Rows, info.Cols = fmt.Sprintf("w%d", i), rows[i], cols
					o := plan.Output{To: plan.At(y.Buf, at), W: l.random(info), Bias: plan.None}
					if biased>>i&1 == 1 {
						o.Bias = l.vector(info.Name+".bias", rows[i], []plan.DType{plan.F16, plan.F32, plan.BF16}[i%3])
					}
					outs = append(outs, o)
					at += rows[i] + i
				}
				l.b.Linear(plan.At(x.Buf, off), outs...)
				l.result(y, total)
				return l.differ(tested, oracle, options(p), linearTolerance(p), tokens(1, 0), tokens(9, 0), tokens(100, 0))
			})...)
		}
	}
	return cases
}

// outlierCases: a token with values a thousand times larger must not cost its neighbours their accuracy, nor must one
// large column of a token, as trained models have them.
func outlierCases() []testCase {
	var cases []testCase
	for _, info := range []plan.WeightInfo{{Type: plan.F16}, {Type: plan.Q8_0}, aqlm(2, 8, 8, 1), aqlm(4, 8, 8, 1), aqlm(1, 16, 8, 1), aqlm(1, 8, 8, 1)} {
		info.Name, info.Rows, info.Cols = "w", 65, 576
		name := "outlier/" + info.Type.String()
		if info.Encoding == plan.AQLM {
			name = "outlier/" + info.Scheme.String()
		}
		cases = append(cases, precisions(name, func(p backends.Precision, tested, oracle backends.Backend) error {
			column := float32(1000)
			if p != backends.Exact {
				column = 8 // the contract of fast mode bounds inputs without extremes only
			}
			l := newLab(name)
			values := l.normals(labVocab*info.Cols, 1)
			for t := range labVocab {
				row := values[t*info.Cols:][:info.Cols]
				switch t % 4 {
				case 1: // a large token
					l.magnitude[t] = 1000
				case 2: // a small one
					l.magnitude[t] = 1e-4
				case 3:
					row[t*7%info.Cols] *= column
				}
				for i := range row {
					row[i] *= float32(l.magnitude[t])
				}
			}
			x := l.inputOf("x", info.Cols, values)
			y := plan.All(l.b.Buffer("y", plan.PerToken, info.Rows))
			l.b.Linear(x, plan.Output{To: y, W: l.random(info), Bias: plan.None})
			l.result(y, info.Rows)
			return l.differ(tested, oracle, options(p), linearTolerance(p), tokens(1, 0), tokens(4, 0), tokens(21, 0), tokens(100, 0))
		})...)
	}
	return cases
}

// alignedCases: inputs and entries of one direction, so that sums are as large as their norms allow. Integer kernels must have room
// for them, whichever way the direction points: all columns alike, or one in a group.
func alignedCases() []testCase {
	var cases []testCase
	for _, info := range []plan.WeightInfo{aqlm(1, 8, 8, 1), aqlm(2, 8, 8, 1), aqlm(4, 8, 8, 1), aqlm(8, 8, 32, 1), aqlm(1, 16, 8, 1), aqlm(2, 16, 8, 1), aqlm(1, 16, 16, 1)} {
		info.Name, info.Rows, info.Cols = "w", 130, 576
		for _, every := range []int{1, info.Scheme.InGroup} {
			name := fmt.Sprintf("aligned/%s-every-%d", info.Scheme, every)
			cases = append(cases, precisions(name, func(p backends.Precision, tested, oracle backends.Backend) error {
				l := newLab(name)
				values := make([]float32, labVocab*info.Cols)
				for i := 0; i < len(values); i += every {
					values[i] = []float32{1, -1, 1000, 3e-5}[i/info.Cols%4]
				}
				x := l.inputOf("x", info.Cols, values)
				books, n, _ := info.PartShape(plan.Codebooks)
				entries := make([]float32, books*n)
				for i := 0; i < len(entries); i += every {
					entries[i] = -0.75
				}
				y := plan.All(l.b.Buffer("y", plan.PerToken, info.Rows))
				l.b.Linear(x, plan.Output{To: y, W: l.aqlmOf(info, entries), Bias: plan.None})
				l.result(y, info.Rows)
				return l.differ(tested, oracle, options(p), linearTolerance(p), tokens(1, 0), tokens(3, 0), tokens(9, 0), tokens(100, 0))
			})...)
		}
	}
	return cases
}

// outputRowsCase: products on the rows behind Select, from none to all of them.
func outputRowsCase() testCase {
	return testCase{"output-rows", func(tested, oracle backends.Backend) error {
		l := newLab("output rows")
		x := l.input("x", 64)
		sel := plan.All(l.b.Buffer("sel", plan.PerOutput, 64))
		l.b.Select(sel, x)
		y := plan.All(l.b.Buffer("y", plan.PerOutput, 99))
		l.b.Linear(sel, plan.Output{To: y, W: l.random(plan.WeightInfo{Name: "w", Rows: 99, Cols: 64, Type: plan.F16}), Bias: plan.None})
		l.result(y, 99)
		var steps []*backends.Step
		for _, rows := range [][]int32{{0}, {}, {16}, {3, 4, 9}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}} {
			s := tokens(17, 0)
			s.Out = rows
			steps = append(steps, s)
		}
		return l.differ(tested, oracle, options(backends.Exact), linearTolerance(backends.Exact), steps...)
	}}
}

// aqlm returns a weight of the scheme with F16 codebooks and scales; the caller adds name and shape.
func aqlm(codebooks, bits, inGroup, outGroup int) plan.WeightInfo {
	s := plan.Scheme{Codebooks: codebooks, Bits: bits, InGroup: inGroup, OutGroup: outGroup}
	return plan.WeightInfo{Encoding: plan.AQLM, Scheme: s, Codes: s.CodeType(), Codebooks: plan.F16, Scales: plan.F16}
}

func aqlmCases() []testCase {
	var cases []testCase
	add := func(info plan.WeightInfo, shapes ...[2]int) {
		for _, s := range shapes {
			info.Rows, info.Cols = s[0], s[1]
			cases = append(cases, product(info)...)
		}
	}
	// The schemes of published models get many shapes, up to inputs that do not fit a cache block.
	wide := [][2]int{{1, 8}, {31, 24}, {33, 40}, {64, 64}, {65, 120}, {63, 248}, {127, 576}, {193, 1544}, {17, 4104}}
	add(aqlm(2, 8, 8, 1), wide...)
	add(aqlm(4, 8, 8, 1), wide...)
	add(aqlm(1, 8, 8, 1), wide...)
	add(aqlm(1, 16, 8, 1), [][2]int{{1, 8}, {31, 24}, {33, 40}, {65, 120}, {127, 1544}}...)
	add(aqlm(8, 8, 32, 1), [][2]int{{1, 32}, {31, 96}, {65, 224}, {33, 1568}}...)
	add(aqlm(1, 16, 16, 1), [][2]int{{1, 16}, {33, 208}, {65, 784}}...)
	add(aqlm(2, 16, 8, 1), [][2]int{{1, 8}, {33, 104}}...)
	add(aqlm(2, 12, 8, 1), [][2]int{{31, 24}, {65, 136}}...)
	add(aqlm(1, 15, 8, 1), [][2]int{{31, 24}, {65, 136}}...)
	// Many rows and few inputs: what takes several tokens at once pays only there.
	add(aqlm(2, 8, 8, 1), [2]int{1185, 72})
	add(aqlm(3, 8, 8, 1), [2]int{1153, 56})
	add(aqlm(1, 8, 8, 1), [2]int{700, 136})
	add(aqlm(8, 8, 32, 1), [2]int{769, 96})
	// Everything else the format allows.
	add(aqlm(15, 8, 64, 1), [][2]int{{1, 64}, {33, 192}}...)
	add(aqlm(4, 8, 16, 1), [][2]int{{31, 48}, {65, 304}}...)
	add(aqlm(2, 8, 4, 1), [][2]int{{31, 12}, {65, 132}}...)
	add(aqlm(3, 8, 8, 1), [][2]int{{31, 24}, {65, 136}}...)
	add(aqlm(16, 8, 8, 1), [2]int{33, 40})
	add(aqlm(2, 8, 5, 1), [2]int{33, 35})
	add(aqlm(2, 8, 1, 1), [2]int{33, 33})
	add(aqlm(2, 4, 8, 1), [2]int{33, 40})
	add(aqlm(3, 1, 8, 1), [2]int{33, 40})
	add(aqlm(2, 9, 8, 1), [2]int{33, 40})
	add(aqlm(1, 12, 4, 1), [2]int{33, 44})
	add(aqlm(2, 8, 8, 2), [][2]int{{2, 8}, {34, 40}, {168, 104}}...)
	add(aqlm(1, 16, 8, 2), [2]int{34, 40})
	add(aqlm(2, 9, 16, 2), [2]int{34, 48})
	add(aqlm(2, 8, 8, 3), [2]int{33, 40})
	for _, t := range [][2]plan.DType{{plan.F32, plan.F32}, {plan.BF16, plan.BF16}, {plan.F16, plan.F32}} {
		for _, scheme := range [][4]int{{2, 8, 8, 1}, {1, 16, 8, 1}, {8, 8, 32, 1}} {
			info := aqlm(scheme[0], scheme[1], scheme[2], scheme[3])
			info.Codebooks, info.Scales = t[0], t[1]
			add(info, [2]int{65, 96})
		}
	}
	return cases
}
