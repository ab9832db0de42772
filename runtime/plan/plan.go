// Package plan describes a model as data: a list of fixed-size op records over numbered buffers and weights.
// A model package writes a plan, a backend compiles it once and then runs steps of it. The package owns the op
// set, the weight and buffer tables, their validation and the text dump; it imports nothing of ours.
//
// Conventions: matrices are row-major with the innermost dimension last; an activation buffer is
// (tokens, width) of float32, one row for each token of the step, or (outputs, width) for the rows that were
// selected for output; a linear weight is (rows = outputs, cols = inputs). What changes from step to step
// (tokens, positions, KV block tables, which rows are wanted) is never in the plan but in the step.
package plan

import "fmt"

// KVBlock is the number of positions in one KV block.
const KVBlock = 32

// Buf numbers an activation buffer of a plan; None where an op has no such operand.
type Buf int32

// Weight numbers an entry of Plan.Weights; None where an op has no such operand.
type Weight int32

// None marks an absent buffer or weight.
const None = -1

// Rows says what the rows of a buffer stand for.
type Rows uint8

// Row kinds.
const (
	PerToken  Rows = iota // one row for each token of the step
	PerOutput             // one row for each row the step selected for output
)

// Buffer is a float32 activation matrix whose number of rows is set by the step.
type Buffer struct {
	Name  string
	Rows  Rows
	Width int // columns
}

// Ref names columns [Off, Off+width) of a buffer, where width follows from the op. Fused projections write one
// buffer; the ops behind them read parts of it.
type Ref struct {
	Buf Buf
	Off int32
}

// NoRef is the absent operand.
var NoRef = Ref{Buf: None}

// Encoding says how a weight is stored.
type Encoding uint8

// Encodings.
const (
	Dense Encoding = iota // Rows x Cols elements of one DType
	AQLM                  // codes, codebooks and scales (arXiv 2401.06118)
)

// Scheme is the shape of an AQLM quantization.
type Scheme struct {
	Codebooks int // K: codes for each group
	Bits      int // B: a codebook has 2^B entries
	InGroup   int // g: inputs in a group
	OutGroup  int // rows in a group; 1 in every published model
}

// WeightInfo describes a weight: its logical shape and the element types it is delivered in.
//
// An AQLM weight is W[o*og+a, j*g+b] = scales[o] * sum_m codebooks[m, codes[o,j,m] mod 2^B, a, b].
// Its parts arrive as in the published files: codes (Rows/og, Cols/g, K) of Codes type, signed, low B bits used;
// codebooks (K, 2^B, og, g); scales (Rows/og).
type WeightInfo struct {
	Name     string
	Rows     int // outputs; 1 for vectors (norms, biases, tables)
	Cols     int // inputs
	Encoding Encoding
	Scheme   Scheme // AQLM only

	Type      DType // Dense: the elements
	Codes     DType // AQLM: I8 or I16
	Codebooks DType // AQLM: F16, BF16 or F32
	Scales    DType // AQLM: F16, BF16 or F32
}

// Part is one of the tensors that make up a weight.
type Part uint8

// Parts. A dense weight has Elements, an AQLM weight the other three.
const (
	Elements  Part = iota // (rows, cols)
	Codes                 // (rows/og, cols/g, K)
	Codebooks             // (K, 2^B, og, g)
	Scales                // (rows/og)
)

// String returns the suffix that the part's tensor has in AQLM checkpoints, or "elements".
func (p Part) String() string {
	if names := [...]string{"elements", "codes", "codebooks", "scales"}; int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("part(%d)", uint8(p))
}

// KVLayer describes what one attention layer keeps for each position.
type KVLayer struct {
	Heads int // key/value heads
	Dim   int // width of a head, the same for keys and values
}

// Plan is a model ready to be compiled by a backend.
type Plan struct {
	Name     string // architecture and size, for dumps and logs
	Vocab    int    // valid token ids are 0 <= id < Vocab
	MaxPos   int    // positions 0 <= p < MaxPos are meaningful (the model's context)
	Weights  []WeightInfo
	Consts   map[Weight][]float32 // weights computed by the model (rope frequencies): Dense F32, Rows 1
	Buffers  []Buffer
	Layers   []KVLayer // KV cache, by attention layer
	Ops      []Op
	Logits   Buf // (outputs, Vocab)
	Features Buf // (outputs, hidden): the last hidden state behind the final norm, for embeddings
}

// LongFrom returns the number of tokens beyond which a sequence counts as long: its Rope ops use other frequencies then,
// at all positions, so that keys cached before no longer count and its tokens have to be run again. 0 means that
// length makes no difference.
func (p *Plan) LongFrom() int {
	for i := range p.Ops {
		if op := &p.Ops[i]; op.Kind == Rope && op.I[4] > 0 {
			return int(op.I[4])
		}
	}
	return 0
}
