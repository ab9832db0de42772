// Package abi is the Go side of backend.h, the C interface of kernel libraries: mirrors of its structs and constants,
// and the table of functions of an opened library. It knows nothing of plans beyond their tables and imports
// runtime/plan only.
//
// Addresses are uint64, as in C. Whoever stores the address of Go memory in one keeps that memory pinned for the call
// (runtime.Pinner); the library keeps no address after it.
package abi

import "aquifer/runtime/plan"

// Version is AQ_ABI_VERSION.
const Version = 3

// KVLayout is AQ_KV_LAYOUT.
const KVLayout = 1

// Sizes of fixed texts.
const (
	NameBytes  = 64
	ErrorBytes = 256
)

// Status is what every function returns.
type Status int32

// Statuses, AQ_STATUS_*.
const (
	OK Status = iota
	Invalid
	Unsupported
	Memory
	System
)

// Level is an instruction set, AQ_LEVEL_*.
type Level int32

// Levels of all architectures. Best stands for the highest one that the machine can run.
const (
	LevelBest Level = iota
	LevelBaseline
	LevelAVX2
	LevelAVX512
	LevelDotprod
	levelEnd
)

// String returns the level's name; Best has none.
func (l Level) String() string {
	if l < 0 || l >= levelEnd {
		return ""
	}
	return [levelEnd]string{"", "baseline", "avx2", "avx512", "dotprod"}[l]
}

// CompileMeasure in CompileArgs.Flags asks for the memory sizes only.
const CompileMeasure = 1

// Buffer is aq_buffer.
type Buffer struct {
	Rows  int32
	Width int32
}

// Weight is aq_weight.
type Weight struct {
	Rows, Cols                               int32
	Encoding, Type, Codes, Codebooks, Scales uint8
	Reserved                                 [3]uint8
	Books, Bits, InGroup, OutGroup           int32
}

// KVLayer is aq_kv_layer.
type KVLayer struct {
	Heads, Dim int32
}

// Seq is aq_seq.
type Seq struct {
	Pos, N        int32
	Block, Blocks int32
	Length        int32
}

// Info is aq_abi_info.
type Info struct {
	Size        uint32
	Version     uint32
	OpHash      uint64
	BuildID     [32]byte
	Structs     uint32
	StructSizes [19]uint32
}

// OpenArgs is aq_open_args.
type OpenArgs struct {
	Size     uint32
	Threads  int32
	Level    int32
	Reserved int32
	Device   uint64
}

// CloseArgs is aq_close_args.
type CloseArgs struct {
	Size     uint32
	Reserved int32
	Device   uint64
}

// InfoArgs is aq_info_args.
type InfoArgs struct {
	Size      uint32
	Threads   int32
	Level     int32
	Levels    uint32
	Device    uint64
	Processor [NameBytes]byte
}

// CompileArgs is aq_compile_args.
type CompileArgs struct {
	Size                               uint32
	Flags                              uint32
	Device                             uint64
	Ops, Buffers, Weights, Layers      uint64
	NOps, NBuffers, NWeights, NLayers  int32
	Logits, Features                   int32
	Vocab, MaxPos                      int32
	Precision, KVType, KVBlocks        int32
	MaxTokens, MaxSeqs, MaxOutputs     int32
	WeightBytes, KVBytes, ScratchBytes int64
	KVBlockBytes                       int64
	Program                            uint64
}

// ProgramArgs is aq_program_args.
type ProgramArgs struct {
	Size     uint32
	Reserved int32
	Program  uint64
}

// WriteArgs is aq_write_args.
type WriteArgs struct {
	Size     uint32
	Weight   int32
	Part     int32
	First    int32
	Rows     int32
	Reserved int32
	Program  uint64
	Data     uint64
	Bytes    int64
}

// RunArgs is aq_run_args.
type RunArgs struct {
	Size                          uint32
	NTokens, NSeqs, NOutputs      int32
	OpFrom, OpTo                  int32
	Program                       uint64
	Tokens, Seqs, Blocks, Outputs uint64
	Logits, Features              uint64
}

// ReadArgs is aq_read_args.
type ReadArgs struct {
	Size     uint32
	Buffer   int32
	Rows     int32
	Reserved int32
	Program  uint64
	Data     uint64
}

// CopyArgs is aq_copy_args.
type CopyArgs struct {
	Size     uint32
	Dst, Src int32
	Reserved int32
	Program  uint64
}

// BlockArgs is aq_block_args.
type BlockArgs struct {
	Size    uint32
	Block   int32
	Program uint64
	Data    uint64
	Bytes   int64
}

// KernelArgs is aq_kernel_args.
type KernelArgs struct {
	Size    uint32
	Weight  int32
	Program uint64
	Name    [NameBytes]byte
}

// Error is aq_error.
type Error struct {
	Size   uint32
	Status int32
	Device uint64
	Bytes  int64
	Text   [ErrorBytes]byte
}

// OpHash returns the FNV-1a hash of the op names, which a library built from the same op set reports.
func OpHash() uint64 {
	hash := uint64(0xcbf29ce484222325)
	for i, k := range plan.Kinds() {
		name := k.String()
		if i > 0 {
			name = " " + name
		}
		for _, c := range []byte(name) {
			hash = (hash ^ uint64(c)) * 0x100000001b3
		}
	}
	return hash
}

// Text returns the part of a fixed C text before its terminating zero.
func Text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
