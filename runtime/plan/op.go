package plan

import "math"

// Kind numbers an operation. The values are part of the C ABI (AQ_OP_*): append only.
type Kind uint16

// The op set. In each description T is tokens of the step, M rows selected for output.
const (
	// Embed: Out[0] (T, width) = F[0] * row token[t] of W[0] (vocab, width).
	Embed Kind = iota
	// Norm: Out[0] = normalised In[0], in I[0] independent parts of I[1] columns each. W[0] is the gain, W[1] the
	// bias or None; a gain of I[0]*I[1] columns is applied part by part, one of I[1] columns to every part.
	// F[0] is epsilon; F[1] is added to the gain (1 for Gemma). I[2] is a NormType.
	Norm
	// Linear: for i < I[0]: Out[i] = W[i] In[0] (+ bias W[4+i] unless None). All outputs share the input.
	Linear
	// Rope: rotates I[0] heads of I[1] columns at In[0] in place (Out[0] = In[0]); the first I[2] columns of a head
	// take part; I[3] is a RopePairing. W[0] holds I[2]/2 inverse frequencies; F[0] multiplies sin and cos. I[4] > 0
	// gives sequences of more than I[4] tokens, at all their positions, the frequencies W[1] instead (longrope).
	Rope
	// Attention: stores keys In[1] and values In[2] of the step's tokens in KV layer I[0], then Out[0] = causal
	// attention of I[1] query heads In[0] over them; head width and KV heads are the layer's. Query head h uses
	// KV head h / (I[1]/KV heads). F[0] scales scores, F[1] > 0 caps them: cap*tanh(s/cap). I[2] > 0 is a sliding
	// window: position p sees q with p-I[2] < q <= p.
	Attention
	// Glu: Out[0] = act(In[0]) * In[1] over I[1] columns; I[0] is an Activation.
	Glu
	// Add: Out[0] = In[0] + F[0]*In[1] over I[0] columns.
	Add
	// Select: Out[0] (M, width) = the rows of In[0] (T, width) that the step wants as output.
	Select
	// Scale: Out[0] = cap(F[0]*In[0]) over I[0] columns, where F[1] > 0 caps: F[1]*tanh(x/F[1]).
	Scale
	// Route: for each row, the I[1] largest of the I[0] router logits In[0], the lower number first where two are equal
	// and NaN last. Out[0] (2*I[1] columns) holds the numbers of these experts as float32, then their weights: the
	// softmax over all logits or, where I[2] is 1, over the chosen ones.
	Route
	// Experts: a Linear whose weights differ from row to row. In[1] is the result of a Route over I[1] experts that
	// chose I[2] of them. For i < I[0], slot s < I[2] and e the expert in slot s of the row: the columns of slot s of
	// Out[i] (I[2]*rows) = weight W[i]+e times In[0], which is one row for all slots (cols columns) or, where I[3] is 1,
	// a row for each (I[2]*cols). The I[1] weights from W[i] on have one shape.
	Experts
	// Mix: Out[0] (I[0] columns) = sum over slots s < I[1] of the weight of slot s in In[1] times the columns of slot s
	// of In[0] (I[1]*I[0]).
	Mix
	kindEnd
)

// NormType is the kind of a Norm op.
type NormType int32

// Norm types.
const (
	RMSNorm   NormType = iota // x / sqrt(mean(x^2) + eps)
	LayerNorm                 // (x - mean) / sqrt(var + eps)
)

// RopePairing says which columns of a head are rotated together.
type RopePairing int32

// Rope pairings, d = rotated columns.
const (
	RopeHalf       RopePairing = iota // (i, i + d/2): Hugging Face checkpoints
	RopeNeighbours                    // (2i, 2i+1): ggml's llama layout, Cohere
)

// Activation is the non-linearity of a Glu op.
type Activation int32

// Activations.
const (
	SiLU Activation = iota
	GeluTanh
	GeluErf
)

// Op is one record: operands by number, parameters by position. Its layout is mirrored in C (struct aq_op), so it
// has fixed-width fields only. Use the constructors in build.go; Validate checks what they can't.
type Op struct {
	Kind  Kind
	Flags uint16 // none defined yet
	In    [4]Ref
	Out   [4]Ref
	W     [8]Weight
	I     [8]int32
	F     [4]float32
}

// String returns the op's lower-case name.
func (k Kind) String() string {
	if k < kindEnd {
		return kindNames[k]
	}
	return "op?"
}

var kindNames = [kindEnd]string{
	"embed", "norm", "linear", "rope", "attention", "glu", "add", "select", "scale", "route", "experts", "mix",
}

// Kinds returns every op kind, for conformance suites.
func Kinds() []Kind {
	ks := make([]Kind, kindEnd)
	for i := range ks {
		ks[i] = Kind(i)
	}
	return ks
}

// DefaultScale returns the usual score scale of a head of d columns.
func DefaultScale(d int) float32 { return float32(1 / math.Sqrt(float64(d))) }
