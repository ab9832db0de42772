//go:build ((linux || darwin) && (amd64 || arm64)) || (windows && amd64)

package cpu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"aquifer/backends"
	"aquifer/backends/abi"
	"aquifer/runtime/plan"
)

var errClosed = errors.New("cpu: program is closed")

// program is a compiled plan.
type program struct {
	b      *backend
	plan   *plan.Plan
	opts   backends.Options
	handle uint64 // 0 behind Close
	layout backends.BlockLayout
	loaded *progress
	rows   [2]int // of the last step, by plan.Rows

	// What a step is made of lives here, pinned, so that a step allocates nothing.
	pin     runtime.Pinner
	args    *abi.RunArgs
	tokens  []int32
	seqs    []abi.Seq
	blocks  []int32
	outputs []int32
}

func newProgram(b *backend, p *plan.Plan, o backends.Options, compiled *abi.CompileArgs) *program {
	prog := &program{
		b: b, plan: p, opts: o, handle: compiled.Program, loaded: newProgress(p),
		layout: blockLayout(p, o, compiled.KVBlockBytes),
		args:   &abi.RunArgs{Size: uint32(unsafe.Sizeof(abi.RunArgs{})), Program: compiled.Program},
		tokens: make([]int32, o.MaxTokens), seqs: make([]abi.Seq, o.MaxSeqs), outputs: make([]int32, o.MaxOutputs),
	}
	prog.growBlocks(256)
	return prog
}

// growBlocks makes room for n KV block numbers and pins the step's memory anew.
func (p *program) growBlocks(n int) {
	p.blocks = make([]int32, 2*n)
	p.pin.Unpin()
	p.pin.Pin(p.args)
	p.args.Tokens = address(&p.pin, p.tokens)
	p.args.Seqs = address(&p.pin, p.seqs)
	p.args.Blocks = address(&p.pin, p.blocks)
	p.args.Outputs = address(&p.pin, p.outputs)
}

// ---- weights ------------------------------------------------------------------------------------------------------

func (p *program) loadConstants() error {
	for w, values := range p.plan.Consts {
		data := make([]byte, 0, 4*len(values))
		for _, v := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		if err := p.write(w, plan.Elements, 0, 1, data); err != nil {
			return err
		}
	}
	return nil
}

// Load delivers rows of a part of a weight; the kernel library repacks them on the calling thread.
func (p *program) Load(w plan.Weight, part plan.Part, first, n int, data []byte) error {
	if p.handle == 0 {
		return errClosed
	}
	if w < 0 || int(w) >= len(p.plan.Weights) {
		return fmt.Errorf("cpu: load of weight %d of %d", w, len(p.plan.Weights))
	}
	info := &p.plan.Weights[w]
	if !hasPart(info, part) {
		return fmt.Errorf("cpu: weight %q has no part %d", info.Name, part)
	}
	rows, rowBytes := info.PartBytes(part)
	if first < 0 || n < 0 || first > rows-n || int64(len(data)) != int64(n)*rowBytes {
		return fmt.Errorf("cpu: weight %q, %s: rows %d to %d of %d in %d bytes, a row has %d",
			info.Name, part, first, first+n, rows, len(data), rowBytes)
	}
	if _, constant := p.plan.Consts[w]; constant {
		return fmt.Errorf("cpu: weight %q is a constant of the plan", info.Name)
	}
	if n == 0 {
		return nil
	}
	return p.write(w, part, first, n, data)
}

func (p *program) write(w plan.Weight, part plan.Part, first, n int, data []byte) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	args := &abi.WriteArgs{
		Size: uint32(unsafe.Sizeof(abi.WriteArgs{})), Weight: int32(w), Part: int32(part),
		First: int32(first), Rows: int32(n), Program: p.handle, Data: address(&pin, data), Bytes: int64(len(data)),
	}
	if status := abi.Call(p.b.fn.Write, unsafe.Pointer(args)); status != abi.OK {
		return p.b.failure(status)
	}
	p.loaded.mark(w, part, first, n)
	return nil
}

func hasPart(w *plan.WeightInfo, part plan.Part) bool {
	for _, have := range w.Parts() {
		if have == part {
			return true
		}
	}
	return false
}

// ---- steps --------------------------------------------------------------------------------------------------------

// Run executes a step. The results are memory of the kernel library.
func (p *program) Run(s *backends.Step) error {
	if err := p.RunOps(s, 0, len(p.plan.Ops)); err != nil {
		return err
	}
	s.Logits = p.result(p.args.Logits, p.plan.Logits, len(s.Out))
	s.Features = p.result(p.args.Features, p.plan.Features, len(s.Out))
	return nil
}

func (p *program) result(at uint64, buf plan.Buf, rows int) []float32 {
	if buf == plan.None || rows == 0 {
		return nil
	}
	// The address is not one of Go's, so the conversion that vet suspects is fine.
	return unsafe.Slice(*(**float32)(unsafe.Pointer(&at)), rows*p.plan.Buffers[buf].Width)
}

// RunOps runs ops [from, to) of the plan.
func (p *program) RunOps(s *backends.Step, from, to int) error {
	if p.handle == 0 {
		return errClosed
	}
	if err := s.Check(p.plan, p.opts); err != nil {
		return err
	}
	if from < 0 || from > to || to > len(p.plan.Ops) {
		return fmt.Errorf("cpu: ops %d to %d of %d", from, to, len(p.plan.Ops))
	}
	if name, ok := p.loaded.missing(); ok {
		return fmt.Errorf("cpu: weight %q is not loaded", name)
	}
	p.fill(s)
	p.args.OpFrom, p.args.OpTo = int32(from), int32(to)
	if status := abi.Call(p.b.fn.Run, unsafe.Pointer(p.args)); status != abi.OK {
		return p.b.failure(status)
	}
	p.rows = [2]int{plan.PerToken: len(s.Tokens), plan.PerOutput: len(s.Out)}
	return nil
}

// fill copies a checked step to the pinned memory.
func (p *program) fill(s *backends.Step) {
	total := 0
	for _, r := range s.Runs {
		total += len(r.Blocks)
	}
	if total > len(p.blocks) {
		p.growBlocks(total)
	}
	copy(p.tokens, s.Tokens)
	copy(p.outputs, s.Out)
	at := 0
	for i, r := range s.Runs {
		p.seqs[i] = abi.Seq{
			Pos: int32(r.Pos), N: int32(r.N), Block: int32(at), Blocks: int32(len(r.Blocks)), Length: int32(r.Total()),
		}
		at += copy(p.blocks[at:], r.Blocks)
	}
	p.args.NTokens, p.args.NSeqs, p.args.NOutputs = int32(len(s.Tokens)), int32(len(s.Runs)), int32(len(s.Out))
}

// Read copies a buffer as the last RunOps left it.
func (p *program) Read(b plan.Buf) ([]float32, error) {
	if p.handle == 0 {
		return nil, errClosed
	}
	if b < 0 || int(b) >= len(p.plan.Buffers) {
		return nil, fmt.Errorf("cpu: read of buffer %d of %d", b, len(p.plan.Buffers))
	}
	rows := p.rows[p.plan.Buffers[b].Rows]
	out := make([]float32, rows*p.plan.Buffers[b].Width)
	if len(out) == 0 {
		return out, nil
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	args := &abi.ReadArgs{
		Size: uint32(unsafe.Sizeof(abi.ReadArgs{})), Buffer: int32(b), Rows: int32(rows),
		Program: p.handle, Data: address(&pin, out),
	}
	if status := abi.Call(p.b.fn.Read, unsafe.Pointer(args)); status != abi.OK {
		return nil, p.b.failure(status)
	}
	return out, nil
}

// Kernels names the kernel of each weight.
func (p *program) Kernels() []string {
	names := make([]string, len(p.plan.Weights))
	args := &abi.KernelArgs{Size: uint32(unsafe.Sizeof(abi.KernelArgs{})), Program: p.handle}
	for i := range names {
		args.Weight = int32(i)
		if p.handle != 0 && abi.Call(p.b.fn.Kernel, unsafe.Pointer(args)) == abi.OK {
			names[i] = abi.Text(args.Name[:])
		}
	}
	return names
}

// Close frees the program's memory, the results of its last step included.
func (p *program) Close() error {
	if p.handle == 0 {
		return nil
	}
	args := &abi.ProgramArgs{Size: uint32(unsafe.Sizeof(abi.ProgramArgs{})), Program: p.handle}
	p.handle = 0
	p.pin.Unpin()
	if status := abi.Call(p.b.fn.ProgramFree, unsafe.Pointer(args)); status != abi.OK {
		return p.b.failure(status)
	}
	return nil
}
