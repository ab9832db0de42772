//go:build ((linux || darwin) && (amd64 || arm64)) || (windows && amd64)

package cpu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"aquifer/backends"
	"aquifer/backends/abi"
	"aquifer/backends/internal/dl"
	"aquifer/runtime/plan"
)

// backend is an opened device of the kernel library.
type backend struct {
	lib    *dl.Library
	fn     *abi.Functions
	device uint64
	info   backends.Info
}

// Open loads the kernel library and starts its threads.
func Open(c Config) (backends.Backend, error) {
	level, err := parseLevel(c.Level)
	if err != nil {
		return nil, err
	}
	if c.Threads < 0 || c.Threads > 1024 {
		return nil, fmt.Errorf("cpu: %d threads: must be 1 to 1024, or 0 for the default", c.Threads)
	}
	if c.Threads == 0 {
		c.Threads = DefaultThreads()
	}
	lib, fn, abiInfo, err := load()
	if err != nil {
		return nil, err
	}
	b := &backend{lib: lib, fn: fn}
	open := &abi.OpenArgs{Size: uint32(unsafe.Sizeof(abi.OpenArgs{})), Threads: int32(c.Threads), Level: int32(level)}
	if status := abi.Call(fn.Open, unsafe.Pointer(open)); status != abi.OK {
		return nil, errors.Join(b.failure(status), lib.Close())
	}
	b.device = open.Device
	b.info = backends.Info{Name: "cpu", Threads: c.Threads, BuildID: abi.Text(abiInfo.BuildID[:])}
	info := deviceInfo(fn, b.device)
	b.info.Device = strings.TrimSpace(abi.Text(info.Processor[:]))
	b.info.Level = abi.Level(info.Level).String()
	return b, nil
}

func parseLevel(name string) (abi.Level, error) {
	if name == "" {
		return abi.LevelBest, nil
	}
	var names []string
	for _, l := range platformLevels {
		if l.level.String() == name {
			return l.level, nil
		}
		names = append(names, l.level.String())
	}
	return 0, fmt.Errorf("cpu: unknown level %q: use one of %s", name, strings.Join(names, ", "))
}

// platformLevel is a level of this processor family.
type platformLevel struct {
	level abi.Level
	needs string // what a processor must have for it
}

// load opens the embedded library.
func load() (*dl.Library, *abi.Functions, abi.Info, error) {
	image, err := libraries.ReadFile(libraryFile)
	if err != nil {
		return nil, nil, abi.Info{}, ErrNotBuilt
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	lib, err := dl.Open(libraryName, image, filepath.Join(cache, "aquifer", "lib"))
	if err != nil {
		return nil, nil, abi.Info{}, fmt.Errorf("cpu: %w", err)
	}
	fn, info, err := abi.Load(lib.Symbol)
	if err != nil {
		return nil, nil, abi.Info{}, errors.Join(fmt.Errorf("cpu: %w", err), lib.Close())
	}
	return lib, fn, info, nil
}

func deviceInfo(fn *abi.Functions, device uint64) *abi.InfoArgs {
	info := &abi.InfoArgs{Size: uint32(unsafe.Sizeof(abi.InfoArgs{})), Device: device}
	abi.Call(fn.Info, unsafe.Pointer(info)) // fails only for a bad handle
	return info
}

// Levels tells which levels this machine can run, lowest first; nil if the kernel library cannot be loaded.
func Levels() []LevelStatus {
	lib, fn, _, err := load()
	if err != nil {
		return nil
	}
	defer lib.Close()
	bits := deviceInfo(fn, 0).Levels
	var all []LevelStatus
	for _, l := range platformLevels {
		s := LevelStatus{Name: l.level.String(), OK: bits>>l.level&1 == 1}
		if !s.OK {
			s.Why = "needs " + l.needs
		}
		all = append(all, s)
	}
	return all
}

// Info describes the device.
func (b *backend) Info() backends.Info { return b.info }

// Close stops the threads and unloads the library. All programs must be closed before.
func (b *backend) Close() error {
	if b.device == 0 {
		return nil
	}
	args := &abi.CloseArgs{Size: uint32(unsafe.Sizeof(abi.CloseArgs{})), Device: b.device}
	if status := abi.Call(b.fn.Close, unsafe.Pointer(args)); status != abi.OK {
		return b.failure(status)
	}
	b.device = 0
	return b.lib.Close()
}

// failure turns a status and the library's text into an error.
func (b *backend) failure(status abi.Status) error {
	e := &abi.Error{Size: uint32(unsafe.Sizeof(abi.Error{})), Device: b.device}
	abi.Call(b.fn.LastError, unsafe.Pointer(e))
	text := abi.Text(e.Text[:])
	switch status {
	case abi.Unsupported:
		return &backends.UnsupportedError{Backend: "cpu", What: text}
	case abi.Memory:
		return &backends.MemoryError{What: text, Bytes: e.Bytes}
	default:
		return fmt.Errorf("cpu: %s (status %d)", text, status)
	}
}

// Measure says what Compile would allocate.
func (b *backend) Measure(p *plan.Plan, o backends.Options) (backends.Memory, error) {
	args, err := b.compile(p, o, abi.CompileMeasure)
	if err != nil {
		return backends.Memory{}, err
	}
	return backends.Memory{Weights: args.WeightBytes, KV: args.KVBytes, Scratch: args.ScratchBytes}, nil
}

// Compile compiles a plan and loads its constants.
func (b *backend) Compile(p *plan.Plan, o backends.Options) (backends.Program, error) {
	args, err := b.compile(p, o, 0)
	if err != nil {
		return nil, err
	}
	prog := newProgram(b, p, o, args)
	if err := prog.loadConstants(); err != nil {
		return nil, errors.Join(err, prog.Close())
	}
	return prog, nil
}

func (b *backend) compile(p *plan.Plan, o backends.Options, flags uint32) (*abi.CompileArgs, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("cpu: %w", err)
	}
	for _, n := range []int{o.KVBlocks, o.MaxTokens, o.MaxSeqs, o.MaxOutputs} {
		if n < 1 || n > 1<<24 {
			return nil, fmt.Errorf("cpu: options %+v: sizes must be 1 to %d", o, 1<<24)
		}
	}
	buffers := make([]abi.Buffer, len(p.Buffers))
	for i, x := range p.Buffers {
		buffers[i] = abi.Buffer{Rows: int32(x.Rows), Width: int32(x.Width)}
	}
	weights := make([]abi.Weight, len(p.Weights))
	for i, w := range p.Weights {
		weights[i] = abi.Weight{
			Rows: int32(w.Rows), Cols: int32(w.Cols), Encoding: uint8(w.Encoding),
			Type: uint8(w.Type), Codes: uint8(w.Codes), Codebooks: uint8(w.Codebooks), Scales: uint8(w.Scales),
			Books: int32(w.Scheme.Codebooks), Bits: int32(w.Scheme.Bits),
			InGroup: int32(w.Scheme.InGroup), OutGroup: int32(w.Scheme.OutGroup),
		}
	}
	layers := make([]abi.KVLayer, len(p.Layers))
	for i, l := range p.Layers {
		layers[i] = abi.KVLayer{Heads: int32(l.Heads), Dim: int32(l.Dim)}
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	args := &abi.CompileArgs{
		Size: uint32(unsafe.Sizeof(abi.CompileArgs{})), Flags: flags, Device: b.device,
		Ops: address(&pin, p.Ops), Buffers: address(&pin, buffers),
		Weights: address(&pin, weights), Layers: address(&pin, layers),
		NOps: int32(len(p.Ops)), NBuffers: int32(len(buffers)), NWeights: int32(len(weights)), NLayers: int32(len(layers)),
		Logits: int32(p.Logits), Features: int32(p.Features), Vocab: int32(p.Vocab), MaxPos: int32(p.MaxPos),
		Precision: int32(o.Precision), KVType: int32(o.KV), KVBlocks: int32(o.KVBlocks),
		MaxTokens: int32(o.MaxTokens), MaxSeqs: int32(o.MaxSeqs), MaxOutputs: int32(o.MaxOutputs),
	}
	if status := abi.Call(b.fn.Compile, unsafe.Pointer(args)); status != abi.OK {
		return nil, b.failure(status)
	}
	return args, nil
}

// address pins s and returns where it is; 0 if it is empty.
func address[T any](pin *runtime.Pinner, s []T) uint64 {
	if len(s) == 0 {
		return 0
	}
	pin.Pin(unsafe.SliceData(s))
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s))))
}
