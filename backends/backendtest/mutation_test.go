package backendtest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"aquifer/backends"
	"aquifer/backends/ref"
	"aquifer/runtime/plan"
)

// mutant is the reference with one fault.
type mutant struct {
	backends.Backend
	plan func(p *plan.Plan) // changes a copy of the plan before it is compiled
	wrap func(pr *mutantProgram)
	// accept lets Compile and Measure succeed with bad options.
	accept bool
}

type mutantProgram struct {
	backends.Program
	plan  *plan.Plan
	opt   backends.Options
	load  func(w plan.Weight, part plan.Part, first, n int, data []byte) error
	run   func(s *backends.Step) error
	copy  func(dst, src int) error
	read  func(block int, data []byte) error
	write func(block int, data []byte) error
	// layout is what BlockLayout returns.
	layout backends.BlockLayout
	close  func() error
}

func (m *mutant) Compile(p *plan.Plan, o backends.Options) (backends.Program, error) {
	if m.plan != nil {
		c := *p
		c.Ops = slices.Clone(p.Ops)
		if m.plan(&c); c.Validate() == nil {
			p = &c
		}
	}
	if m.accept {
		o.KV = min(o.KV, plan.F16)
	}
	pr, err := m.Backend.Compile(p, o)
	if err != nil || m.wrap == nil {
		return pr, err
	}
	mp := &mutantProgram{
		Program: pr, plan: p, opt: o, load: pr.Load, run: pr.Run, copy: pr.CopyBlock, read: pr.ReadBlock, write: pr.WriteBlock,
		layout: pr.BlockLayout(), close: pr.Close,
	}
	m.wrap(mp)
	return mp, nil
}

func (p *mutantProgram) Load(w plan.Weight, part plan.Part, first, n int, data []byte) error {
	return p.load(w, part, first, n, data)
}
func (p *mutantProgram) Run(s *backends.Step) error   { return p.run(s) }
func (p *mutantProgram) CopyBlock(dst, src int) error { return p.copy(dst, src) }
func (p *mutantProgram) Close() error                 { return p.close() }

func (p *mutantProgram) BlockLayout() backends.BlockLayout       { return p.layout }
func (p *mutantProgram) ReadBlock(block int, data []byte) error  { return p.read(block, data) }
func (p *mutantProgram) WriteBlock(block int, data []byte) error { return p.write(block, data) }

// after changes the features of each step.
func after(change func(p *mutantProgram, s *backends.Step)) func(*mutantProgram) {
	return func(p *mutantProgram) {
		run := p.run
		p.run = func(s *backends.Step) error {
			if err := run(s); err != nil {
				return err
			}
			if len(s.Features) > 0 {
				change(p, s)
			}
			return nil
		}
	}
}

// before changes the bytes of one part.
func before(part plan.Part, change func(info plan.WeightInfo, data []byte)) func(*mutantProgram) {
	return func(p *mutantProgram) {
		load := p.load
		p.load = func(w plan.Weight, got plan.Part, first, n int, data []byte) error {
			if got == part && w >= 0 && int(w) < len(p.plan.Weights) {
				data = slices.Clone(data)
				change(p.plan.Weights[w], data)
			}
			return load(w, got, first, n, data)
		}
	}
}

// ops changes all ops of a kind.
func ops(kind plan.Kind, change func(op *plan.Op)) func(*plan.Plan) {
	return func(p *plan.Plan) {
		for i := range p.Ops {
			if p.Ops[i].Kind == kind {
				change(&p.Ops[i])
			}
		}
	}
}

// TestMutants: each fault is caught by the groups that are there to catch it.
func TestMutants(t *testing.T) {
	for _, tt := range []struct {
		name   string
		groups []string
		mutant mutant
	}{
		{"an element is off by 1e-4", []string{"linear/", "aqlm/", "attention/", "ops/"}, mutant{wrap: after(func(_ *mutantProgram, s *backends.Step) {
			s.Features[len(s.Features)/2] += 1e-4
		})}},
		{"fast is off by 5 %", []string{"linear/f16/65x63/fast", "aqlm/2x8g8-f16/65x120/fast"}, mutant{wrap: after(func(p *mutantProgram, s *backends.Step) {
			for i := range s.Features {
				s.Features[i] *= 1.05
			}
		})}},
		{"two elements are swapped in fast mode", []string{"linear/f16/65x63/fast"}, mutant{wrap: after(func(p *mutantProgram, s *backends.Step) {
			if row := s.Features[:len(s.Features)/len(s.Out)]; len(s.Tokens) == 100 {
				i, j := slices.Index(row, slices.Max(row)), slices.Index(row, slices.Min(row))
				row[i], row[j] = row[j], row[i]
			}
		})}},
		{"NaN becomes zero", []string{"nonfinite/activation/2x8g8/exact", "nonfinite/scales/1x16g8/exact", "nonfinite/ops"}, mutant{wrap: after(func(_ *mutantProgram, s *backends.Step) {
			for i, v := range s.Features {
				if v != v {
					s.Features[i] = 0
				}
			}
		})}},
		{"NaN infects the next token", []string{"nonfinite/activation/2x8g8/exact", "nonfinite/activation/2x8g8/fast", "nonfinite/ops"}, mutant{wrap: after(func(p *mutantProgram, s *backends.Step) {
			width := len(s.Features) / len(s.Out)
			for i, v := range s.Features {
				if v != v && i+width < len(s.Features) {
					s.Features[i+width] = v
					return
				}
			}
		})}},
		{"noise between runs", []string{"program/repeat"}, mutant{wrap: func(p *mutantProgram) {
			runs := 0
			after(func(_ *mutantProgram, s *backends.Step) {
				runs++
				s.Features[0] = math.Float32frombits(math.Float32bits(s.Features[0]) + uint32(runs%2))
			})(p)
		}}},
		{"the last token of 33 is dropped", []string{"linear/f16", "program/batch", "attention/"}, mutant{wrap: func(p *mutantProgram) {
			run := p.run
			p.run = func(s *backends.Step) error {
				c := *s
				if len(s.Tokens) >= 33 {
					c.Tokens = slices.Clone(s.Tokens)
					c.Tokens[len(c.Tokens)-1] ^= 1
				}
				err := run(&c)
				s.Logits, s.Features = c.Logits, c.Features
				return err
			}
		}}},
		{"sequences share their blocks", []string{"attention/shared-prefix", "attention/6-2x64"}, mutant{wrap: func(p *mutantProgram) {
			run := p.run
			p.run = func(s *backends.Step) error {
				c := *s
				c.Runs = slices.Clone(s.Runs)
				for i := range c.Runs {
					if len(c.Runs[i].Blocks) >= len(c.Runs[0].Blocks) {
						c.Runs[i].Blocks = append(slices.Clone(c.Runs[0].Blocks), c.Runs[i].Blocks[len(c.Runs[0].Blocks):]...)
					}
				}
				err := run(&c)
				s.Logits, s.Features = c.Logits, c.Features
				return err
			}
		}}},
		{"CopyBlock does nothing", []string{"attention/copy-block"}, mutant{wrap: func(p *mutantProgram) {
			p.copy = func(int, int) error { return nil }
		}}},
		{"CopyBlock takes any number", []string{"program/copy-block"}, mutant{wrap: func(p *mutantProgram) {
			p.copy = func(int, int) error { return nil }
		}}},
		{"ReadBlock forgets the last layer", []string{"blocks/move"}, mutant{wrap: func(p *mutantProgram) {
			read := p.read
			p.read = func(block int, data []byte) error {
				err := read(block, data)
				clear(data[len(data)/2:])
				return err
			}
		}}},
		{"WriteBlock does nothing", []string{"blocks/move", "blocks/whole"}, mutant{wrap: func(p *mutantProgram) {
			p.write = func(block int, data []byte) error {
				return p.layout.CheckBlock(block, p.opt.KVBlocks, len(data))
			}
		}}},
		{"WriteBlock writes to the block behind as well", []string{"blocks/whole"}, mutant{wrap: func(p *mutantProgram) {
			write := p.write
			p.write = func(block int, data []byte) error {
				if block+1 < p.opt.KVBlocks && len(data) == p.layout.Bytes {
					if err := write(block+1, data); err != nil {
						return err
					}
				}
				return write(block, data)
			}
		}}},
		{"ReadBlock and WriteBlock take any size", []string{"blocks/bad"}, mutant{wrap: func(p *mutantProgram) {
			read := p.read
			p.read = func(block int, data []byte) error {
				whole := make([]byte, p.layout.Bytes)
				copy(data, whole)
				return read(block, whole)
			}
		}}},
		{"WriteBlock takes any number", []string{"blocks/bad"}, mutant{wrap: func(p *mutantProgram) {
			write := p.write
			p.write = func(block int, data []byte) error { return write(min(max(block, 0), p.opt.KVBlocks-1), data) }
		}}},
		{"the layout is the same for all types", []string{"blocks/layout"}, mutant{wrap: func(p *mutantProgram) {
			p.layout.Name = "mutant"
		}}},
		{"codes are not masked", []string{"aqlm/1x15g8", "aqlm/2x12g8", "aqlm/2x9g16og2", "aqlm/2x4g8"}, mutant{wrap: before(plan.Codes, func(info plan.WeightInfo, data []byte) {
			// An entry past the end would be read; entry zero stands for it.
			for i := range data {
				if info.Codes == plan.I16 && i%2 == 1 && data[i]>>(info.Scheme.Bits-8) != 0 {
					data[i-1], data[i] = 0, 0
				}
				if info.Codes == plan.I8 && info.Scheme.Bits < 8 && data[i]>>info.Scheme.Bits != 0 {
					data[i] = 0
				}
			}
		})}},
		{"the sign of a scale is lost", []string{"aqlm/2x8g8", "aqlm/1x16g8"}, mutant{wrap: before(plan.Scales, func(info plan.WeightInfo, data []byte) {
			_, _, t := info.PartShape(plan.Scales)
			_, size := t.Block()
			for i := size - 1; i < len(data); i += size {
				data[i] &= 0x7f
			}
		})}},
		{"the last row is not loaded", []string{"program/missing-weights"}, mutant{wrap: func(p *mutantProgram) {
			for w, info := range p.plan.Weights {
				for _, part := range info.Parts() {
					rows, rowBytes := info.PartBytes(part)
					p.Program.Load(plan.Weight(w), part, 0, rows, make([]byte, int64(rows)*rowBytes))
				}
			}
		}}},
		{"loads fail in silence", []string{"program/bad-loads"}, mutant{wrap: func(p *mutantProgram) {
			load := p.load
			p.load = func(w plan.Weight, part plan.Part, first, n int, data []byte) error {
				_ = load(w, part, first, n, data)
				return nil
			}
		}}},
		{"data is kept", []string{"program/concurrent-load"}, mutant{wrap: func(p *mutantProgram) {
			var late []func() error
			load, run := p.load, p.run
			lock := make(chan bool, 1)
			p.load = func(w plan.Weight, part plan.Part, first, n int, data []byte) error {
				lock <- true
				late = append(late, func() error { return load(w, part, first, n, data) })
				<-lock
				return nil
			}
			p.run = func(s *backends.Step) error {
				for _, f := range late {
					if err := f(); err != nil {
						return err
					}
				}
				return run(s)
			}
		}}},
		{"a bad step runs", []string{"program/bad-steps"}, mutant{wrap: func(p *mutantProgram) {
			run := p.run
			p.run = func(s *backends.Step) error {
				if err := run(s); !errors.Is(err, backends.ErrStep) {
					return err
				}
				return nil
			}
		}}},
		{"a bad step leaves traces", []string{"program/bad-steps"}, mutant{wrap: func(p *mutantProgram) {
			run := p.run
			p.run = func(s *backends.Step) error {
				err := run(s)
				if errors.Is(err, backends.ErrStep) {
					trace := step(seq{10, 1, []int32{1}})
					trace.Tokens[0]++
					run(trace)
				}
				return err
			}
		}}},
		{"KV of any type", []string{"program/bad-options"}, mutant{accept: true}},
		{"closing twice fails", []string{"program/closed"}, mutant{wrap: func(p *mutantProgram) {
			closed := false
			p.close = func() error {
				if closed {
					return errors.New("closed")
				}
				closed = true
				return p.Program.Close()
			}
		}}},

		{"biases are ignored", []string{"linear/fused/2-bias15"}, mutant{plan: func(p *plan.Plan) {
			ops(plan.Linear, func(op *plan.Op) { op.W[4] = plan.None })(p)
			// The weight has to stay in use for the plan to be valid: Norm takes it as a gain of nothing.
			unused(p)
		}}},
		{"a window is one short", []string{"attention/2-2x20-w24"}, mutant{plan: ops(plan.Attention, func(op *plan.Op) {
			op.I[2] = max(0, op.I[2]-1)
		})}},
		{"scores are not capped", []string{"attention/2-2x26"}, mutant{plan: ops(plan.Attention, func(op *plan.Op) { op.F[1] = 0 })}},
		{"epsilon is 1e-6", []string{"ops/norm/rms-33", "ops/norm/layer-7"}, mutant{plan: ops(plan.Norm, func(op *plan.Op) { op.F[0] = 1e-6 })}},
		{"the gain offset is ignored", []string{"ops/norm/rms-plus"}, mutant{plan: ops(plan.Norm, func(op *plan.Op) { op.F[1] = 0 })}},
		{"rms instead of layer norm", []string{"ops/norm/layer-7", "ops/norm/parts-own"}, mutant{plan: ops(plan.Norm, func(op *plan.Op) { op.I[2] = 0 })}},
		{"pairs are exchanged", []string{"ops/rope/20-0-5", "ops/rope/64-1-5"}, mutant{plan: ops(plan.Rope, func(op *plan.Op) { op.I[3] ^= 1 })}},
		{"the rope factor is ignored", []string{"ops/rope/80-0-5"}, mutant{plan: ops(plan.Rope, func(op *plan.Op) { op.F[0] = 1 })}},
		{"gelu with erf for tanh", []string{"ops/glu/1-65"}, mutant{plan: ops(plan.Glu, func(op *plan.Op) {
			if op.I[0] == int32(plan.GeluTanh) {
				op.I[0] = int32(plan.GeluErf)
			}
		})}},
		{"no cap", []string{"ops/scale/65-3"}, mutant{plan: ops(plan.Scale, func(op *plan.Op) { op.F[1] = 0 })}},
		{"no embedding scale", []string{"ops/embed/f16-576-24"}, mutant{plan: ops(plan.Embed, func(op *plan.Op) { op.F[0] = 1 })}},
		{"length makes no difference", []string{"ops/rope/long-0"}, mutant{wrap: func(p *mutantProgram) {
			run := p.run
			p.run = func(s *backends.Step) error {
				c := *s
				c.Runs = slices.Clone(s.Runs)
				for i := range c.Runs {
					c.Runs[i].Length = 0
				}
				err := run(&c)
				s.Logits, s.Features = c.Logits, c.Features
				return err
			}
		}}},
		{"the limit is one short", []string{"ops/rope/long-1"}, mutant{plan: ops(plan.Rope, func(op *plan.Op) { op.I[4]-- })}},
		{"softmax over all experts", []string{"experts/route/8-2", "models/random"}, mutant{plan: ops(plan.Route, func(op *plan.Op) { op.I[2] = 0 })}},
		{"experts are exchanged", []string{"experts/product/2x8g8-66x96-4", "models/random"}, mutant{wrap: func(p *mutantProgram) {
			load := p.load
			p.load = func(w plan.Weight, part plan.Part, first, n int, data []byte) error {
				for _, op := range p.plan.Ops {
					if op.Kind == plan.Experts && op.I[1] > 1 && (w == op.W[0] || w == op.W[0]+1) {
						return load(2*op.W[0]+1-w, part, first, n, data)
					}
				}
				return load(w, part, first, n, data)
			}
		}}},
		{"add without scale", []string{"ops/add/65-0"}, mutant{plan: ops(plan.Add, func(op *plan.Op) { op.F[0] = 1 })}},
	} {
		for _, prefix := range tt.groups {
			t.Run(tt.name+"/"+prefix, func(t *testing.T) {
				m := tt.mutant
				m.Backend = ref.New(2)
				for _, c := range casesOf(t, prefix) {
					err := c.run(&m, ref.New(2))
					if err != nil && strings.Contains(err.Error(), "oracle") {
						t.Fatal(err)
					}
					if err != nil {
						return
					}
				}
				t.Error("not caught")
			})
		}
	}
}

// unused keeps weights that lost their op in use, by rotating nothing with them: an extra linear into a buffer of its
// own, which no result depends on.
func unused(p *plan.Plan) {
	used := map[plan.Weight]bool{}
	for i := range p.Ops {
		for _, w := range p.Ops[i].W {
			used[w] = true
		}
	}
	p.Weights, p.Buffers = slices.Clone(p.Weights), slices.Clone(p.Buffers)
	for w := range p.Weights {
		if info := p.Weights[w]; !used[plan.Weight(w)] && info.Rows == 1 {
			b := plan.Builder{Plan: *p}
			table := plan.Weight(slices.IndexFunc(p.Weights, func(i plan.WeightInfo) bool { return i.Rows == labVocab }))
			x := plan.All(b.Buffer(fmt.Sprintf("unused.x%d", w), plan.PerToken, p.Weights[table].Cols))
			y := plan.All(b.Buffer(fmt.Sprintf("unused.y%d", w), plan.PerToken, info.Cols))
			b.Embed(x, table, 1)
			b.Norm(y, plan.Ref{Buf: x.Buf}, plan.NormParams{Width: info.Cols, Gain: plan.Weight(w), Bias: plan.None, Eps: 1})
			*p = b.Plan
		}
	}
}

// casesOf returns the cases whose group/name starts with the prefix.
func casesOf(t *testing.T, prefix string) (found []testCase) {
	t.Helper()
	for _, g := range groups() {
		for _, c := range g.cases {
			if strings.HasPrefix(g.name+"/"+c.name, prefix) {
				found = append(found, c)
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no case starts with %q", prefix)
	}
	return found
}

// TestNames: cases can be told apart, in every group.
func TestNames(t *testing.T) {
	for _, g := range groups() {
		seen := map[string]bool{}
		for _, c := range g.cases {
			if seen[c.name] {
				t.Errorf("%s/%s occurs twice", g.name, c.name)
			}
			seen[c.name] = true
		}
	}
}

func TestCompareRow(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, tt := range []struct {
		name      string
		got, want []float32
		tol       tolerance
		floor     float64
		ok        bool
	}{
		{"equal", []float32{1, -2}, []float32{1, -2}, tolerance{}, 0, true},
		{"close", []float32{1.0001, 1}, []float32{1, 1}, tolerance{norm: 1e-4}, 0, true},
		{"off", []float32{1.001, 1}, []float32{1, 1}, tolerance{norm: 1e-4}, 0, false},
		{"cancelled", []float32{1e-5}, []float32{2e-5}, tolerance{norm: 1e-4}, 1, true},
		{"NaN kept", []float32{nan, 1}, []float32{nan, 1}, tolerance{}, 0, true},
		{"NaN lost", []float32{0, 1}, []float32{nan, 1}, tolerance{norm: 9}, 0, false},
		{"NaN as infinity", []float32{inf, 1}, []float32{nan, 1}, tolerance{norm: 9}, 0, false},
		{"infinity as NaN", []float32{nan, 1}, []float32{inf, 1}, tolerance{}, 0, true},
		{"infinity lost", []float32{3, 1}, []float32{inf, 1}, tolerance{norm: 9}, 0, false},
		{"NaN made", []float32{nan, 1}, []float32{1, 1}, tolerance{norm: 9}, 0, false},
		{"NaN made and allowed", []float32{nan, 1}, []float32{1, 1}, tolerance{spurious: true}, 0, true},
		{"zero", []float32{0, 0}, []float32{0, 0}, tolerance{}, 0, true},
	} {
		if err := compareRow(tt.got, tt.want, tt.tol, tt.floor); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// One wrong element among a thousand hides in the norm of a row, not from the bound of an element.
	want := slices.Repeat([]float32{1}, 1000)
	got := slices.Clone(want)
	got[500] = 1.5
	if err := compareRow(got, want, tolerance{norm: linearFast}, 0); err == nil {
		t.Error("one wrong element passed")
	}
}

// TestEncode: the suite's own conversions, against values of the formats' definitions.
func TestEncode(t *testing.T) {
	for v, want := range map[float32]uint16{
		0: 0, 1: 0x3c00, -2: 0xc000, 65504: 0x7bff, 65520: 0x7c00, 65519: 0x7bff, 0x1p-24: 1, 0x1p-25: 0, 0x1.8p-24: 2,
		0x1p-14: 0x0400, 0x1.ff8p-15: 0x03ff, 0x1.ffcp-15: 0x0400, 0x1.fffp-15: 0x0400, 1.0009765625: 0x3c01, 1.00048828125: 0x3c00, 1.00146484375: 0x3c02,
	} {
		if got := half(v); got != want {
			t.Errorf("half(%v) = %#04x, want %#04x", v, got, want)
		}
	}
	if got := encode(plan.BF16, []float32{1, 1.00390625, 1.01171875}); !slices.Equal(got, []byte{0x80, 0x3f, 0x80, 0x3f, 0x82, 0x3f}) {
		t.Errorf("bf16 %x", got)
	}
	values := make([]float32, 32)
	values[3], values[4] = -127, 63.4
	got := encode(plan.Q8_0, values)
	if len(got) != 34 || int8(got[5]) != -127 || got[6] != 63 || got[0] != 0 || got[1] != 0x3c {
		t.Errorf("q8_0 %x", got)
	}
}
