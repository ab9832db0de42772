package backendtest

import (
	"fmt"
	"math"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// expertCases check the three ops of a mixture of experts, each alone and together.
func expertCases() []testCase {
	cases := append(routeCases(), mixCases()...)
	return append(append(cases, productCases()...), brokenRoutes())
}

// routes adds a choice among p.Experts, made from random logits.
func (l *lab) routes(p plan.RouteParams) plan.Ref {
	logits := l.inputOf("router", p.Experts, l.normals(labVocab*p.Experts, 2))
	to := plan.All(l.b.Buffer("routes", plan.PerToken, 2*p.Slots))
	l.b.Route(to, logits, p)
	return to
}

func routeCases() []testCase {
	var cases []testCase
	for _, p := range []plan.RouteParams{
		{Experts: 1, Slots: 1},
		{Experts: 4, Slots: 2},
		{Experts: 8, Slots: 2, Among: true},
		{Experts: 7, Slots: 7, Among: true},
		{Experts: 60, Slots: 4},
		{Experts: 128, Slots: 8, Among: true},
	} {
		cases = append(cases, one(fmt.Sprintf("route/%d-%d-%v", p.Experts, p.Slots, p.Among), func(l *lab, tested, oracle backends.Backend) error {
			values := l.normals(labVocab*p.Experts, 3)
			for i := range values[:20*p.Experts] { // tokens with many equal logits, and huge ones
				values[i] = float32(math.Round(float64(values[i])/3)) * 1e4
			}
			logits := l.inputOf("router", p.Experts+2, spread(values, p.Experts, 2))
			to := plan.At(l.b.Buffer("routes", plan.PerToken, 2*p.Slots+3), 1)
			l.b.Route(to, plan.At(logits.Buf, 2), p)
			l.result(to, 2*p.Slots)
			return l.differ(tested, oracle, options(backends.Exact), tolerance{norm: elementary}, tokens(1, 0), tokens(100, 0))
		}))
	}
	return cases
}

// spread puts gap values of one in front of each row.
func spread(values []float32, width, gap int) []float32 {
	var out []float32
	for i := 0; i < len(values); i += width {
		for range gap {
			out = append(out, 1)
		}
		out = append(out, values[i:i+width]...)
	}
	return out
}

func mixCases() []testCase {
	var cases []testCase
	for _, width := range []int{1, 33, 64, 577} {
		for _, slots := range []int{1, 2, 5} {
			cases = append(cases, one(fmt.Sprintf("mix/%d-%d", width, slots), func(l *lab, tested, oracle backends.Backend) error {
				x := l.input("x", slots*width+1)
				routes := l.routes(plan.RouteParams{Experts: 6, Slots: slots, Among: slots == 2})
				to := plan.At(l.b.Buffer("y", plan.PerToken, width+2), 1)
				l.b.Mix(to, plan.At(x.Buf, 1), routes, slots, width)
				l.result(to, width)
				return l.differ(tested, oracle, options(backends.Exact), tolerance{norm: elementary}, tokens(1, 0), tokens(100, 0), tokens(3, 0))
			}))
		}
	}
	return cases
}

// productCases: one to three outputs of the chosen experts, from one row for all slots or a row for each, in every way
// that weights are stored, for numbers of tokens that give an expert none, one, some or many of them.
func productCases() []testCase {
	var cases []testCase
	for _, info := range []plan.WeightInfo{
		{Type: plan.F16},
		{Type: plan.F32},
		{Type: plan.Q8_0},
		aqlm(2, 8, 8, 1), aqlm(4, 8, 8, 1), aqlm(1, 16, 8, 1), aqlm(2, 8, 8, 2),
		aqlm(8, 8, 32, 1), aqlm(1, 12, 4, 1),
	} {
		for _, shape := range []struct {
			rows, cols int
			p          plan.RouteParams
			apart      bool
			outs       int
		}{
			{66, 96, plan.RouteParams{Experts: 4, Slots: 2, Among: true}, false, 2},
			{34, 160, plan.RouteParams{Experts: 4, Slots: 2}, true, 1},
			{130, 96, plan.RouteParams{Experts: 9, Slots: 3}, false, 3},
			{2, 96, plan.RouteParams{Experts: 1, Slots: 1}, false, 1},
			{66, 40, plan.RouteParams{Experts: 5, Slots: 2}, true, 1}, // columns that are padded
		} {
			info := info
			info.Rows, info.Cols = shape.rows, shape.cols
			if info.Cols%32 != 0 && (info.Type == plan.Q8_0 || info.Scheme.InGroup == 32) {
				continue
			}
			name := info.Type.String()
			if info.Encoding == plan.AQLM {
				name = info.Scheme.String()
			}
			name = fmt.Sprintf("product/%s-%dx%d-%d", name, shape.rows, shape.cols, shape.p.Experts)
			cases = append(cases, precisions(name, func(p backends.Precision, tested, oracle backends.Backend) error {
				l := newLab(name)
				inputs := 1
				if shape.apart {
					inputs = shape.p.Slots
				}
				x := l.input("x", inputs*shape.cols+3)
				routes := l.routes(shape.p)
				width := shape.p.Slots * shape.rows
				y := l.input("y", shape.outs*(width+1)) // the gaps between the outputs must survive
				var outs []plan.ExpertOutput
				for i := range shape.outs {
					outs = append(outs, plan.ExpertOutput{To: plan.At(y.Buf, i*(width+1)), First: plan.Weight(len(l.b.Plan.Weights))})
					for e := range shape.p.Experts {
						info := info
						info.Name = fmt.Sprintf("w%d.%d", i, e)
						l.random(info)
					}
				}
				l.b.Experts(plan.At(x.Buf, 3), routes, shape.apart, shape.p, outs...)
				l.result(y, shape.outs*(width+1))
				return l.differ(tested, oracle, options(p), linearTolerance(p), countSteps()...)
			})...)
		}
	}
	return cases
}

// brokenRoutes: whatever the logits are, the experts are some of those there are, and other tokens stay as they are.
func brokenRoutes() testCase {
	return testCase{"broken", func(tested, oracle backends.Backend) error {
		l := newLab("broken routes")
		p := plan.RouteParams{Experts: 4, Slots: 2, Among: true}
		values := l.normals(labVocab*p.Experts, 1)
		for t, v := range brokenTokens {
			for e := range p.Experts {
				values[t*p.Experts+e] = v
			}
		}
		values[p.Experts] = 0 // token 1 has one number among its NaNs
		routes := plan.All(l.b.Buffer("routes", plan.PerToken, 2*p.Slots))
		l.b.Route(routes, l.inputOf("router", p.Experts, values), p)
		x := l.input("x", 32)
		y := plan.All(l.b.Buffer("y", plan.PerToken, p.Slots*16))
		first := plan.Weight(len(l.b.Plan.Weights))
		for e := range p.Experts {
			l.random(plan.WeightInfo{Name: fmt.Sprintf("w%d", e), Rows: 16, Cols: 32, Type: plan.F32})
		}
		l.b.Experts(x, routes, false, p, plan.ExpertOutput{To: y, First: first})
		mixed := plan.All(l.b.Buffer("mixed", plan.PerToken, 16))
		l.b.Mix(mixed, y, routes, p.Slots, 16)
		l.result(mixed, 16)
		return l.differ(tested, oracle, options(backends.Exact), tolerance{norm: elementary}, tokens(12, 0))
	}}
}
