package cli

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"aquifer/backends"
	"aquifer/backends/cpu"
	"aquifer/backends/ref"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/runtime/engine"
	"aquifer/runtime/plan"
)

// description is what show prints about a model.
type description struct {
	Name          string         `json:"name"`
	Format        string         `json:"format"`
	Architecture  string         `json:"architecture"`
	Scheme        string         `json:"scheme"`
	Parameters    int64          `json:"parameters"`
	BitsPerWeight float64        `json:"bits_per_weight"`         // of the layers' matrices
	BitsOverall   float64        `json:"bits_per_weight_overall"` // all tensors over all parameters
	Bytes         int64          `json:"bytes"`                   // of all tensors
	Kinds         bytesByKind    `json:"bytes_by_kind"`
	Tensors       int            `json:"tensors"`
	Context       int            `json:"context"`
	Vocab         int            `json:"vocabulary"`
	Layers        int            `json:"layers"`
	Attention     attentionFacts `json:"attention"`
	Rope          ropeFacts      `json:"rope"`
	Tokenizer     tokenizerFacts `json:"tokenizer"`
	EOS           []int32        `json:"eos_token_ids"`
	EOSTexts      []string       `json:"eos_tokens"`
	Template      templateFacts  `json:"chat_template"`
	License       string         `json:"license,omitempty"`
	KVBytes       int64          `json:"kv_bytes_per_token_f16"`
	Memory        []memoryNeed   `json:"memory"`
	MemoryBackend string         `json:"memory_backend"`
}

// bytesByKind says what the bytes of a checkpoint are for.
type bytesByKind struct {
	Codes     int64 `json:"codes"`
	Codebooks int64 `json:"codebooks_and_scales"`
	Dense     int64 `json:"dense_matrices"`
	Embedding int64 `json:"embedding_and_head"`
	Other     int64 `json:"other"` // norms, biases, and tensors that are not used
}

type attentionFacts struct {
	Heads   int `json:"heads"`
	KVHeads int `json:"kv_heads"`
	HeadDim int `json:"head_dim"`
	Window  int `json:"window,omitempty"` // positions that a layer looks back on, the fewest of all layers; 0 for all
}

type ropeFacts struct {
	Theta   float64 `json:"theta"`
	Scaling string  `json:"scaling,omitempty"`
	Factor  float64 `json:"factor,omitempty"`
}

type tokenizerFacts struct {
	Kind    string `json:"kind,omitempty"`
	Tokens  int    `json:"tokens,omitempty"`
	Special int    `json:"special_tokens,omitempty"`
	BOS     string `json:"bos,omitempty"`
	AddsBOS bool   `json:"adds_bos,omitempty"`
	Why     string `json:"error,omitempty"` // there is none
}

type templateFacts struct {
	Name  string `json:"name,omitempty"`
	Bytes int    `json:"bytes"` // 0 for no template
	Tools bool   `json:"tools"`
}

// memoryNeed is what one sequence with a context of this length takes.
type memoryNeed struct {
	Context int   `json:"context"`
	Weights int64 `json:"weights_bytes"`
	KV      int64 `json:"kv_bytes"`
	Scratch int64 `json:"scratch_bytes"`
	Total   int64 `json:"total_bytes"`
}

func describe(ck *checkpoint.Checkpoint, m *models.Model) (description, error) {
	d := description{
		Name: ck.Name, Format: ck.Format.String(), Architecture: m.Arch, Scheme: m.Scheme, Parameters: m.Params,
		BitsPerWeight: m.BitsPerWeight, BitsOverall: 8 * float64(ck.Size) / float64(max(m.Params, 1)), Bytes: ck.Size,
		Kinds: kinds(ck, m), Tensors: len(ck.Names()), Context: m.Context, Vocab: m.Vocab, Layers: len(m.Plan.Layers),
		Attention: attentionOf(m.Plan), Rope: ropeOf(ck.Config), EOS: ck.Special().EOSIDs, License: licenseName(ck.License()),
	}
	for _, l := range m.Plan.Layers {
		d.KVBytes += 2 * 2 * int64(l.Heads) * int64(l.Dim) // keys and values of two bytes
	}
	d.Tokenizer, d.EOSTexts = tokenizerOf(ck, d.EOS)
	if name, source, ok := ck.Template(); ok {
		d.Template = templateFacts{name, len(source), takesTools(source)}
	}
	var err error
	d.MemoryBackend, d.Memory, err = memoryOf(ck, m)
	return d, err
}

// kinds adds up the tensors by what the plan uses them for.
func kinds(ck *checkpoint.Checkpoint, m *models.Model) bytesByKind {
	var k bytesByKind
	outer := map[plan.Weight]bool{} // the embedding and the head
	for i := range m.Plan.Ops {
		switch op := &m.Plan.Ops[i]; {
		case op.Kind == plan.Embed:
			outer[op.W[0]] = true
		case op.Kind == plan.Linear && m.Plan.Buffers[op.Out[0].Buf].Width == m.Plan.Vocab:
			outer[op.W[0]] = true
		}
	}
	rest := ck.Size
	for _, b := range m.Bindings {
		t, _ := ck.Tensor(b.Tensor)
		to := &k.Dense
		switch {
		case b.Part == plan.Codes:
			to = &k.Codes
		case b.Part != plan.Elements:
			to = &k.Codebooks
		case outer[b.Weight]:
			to = &k.Embedding
		case m.Plan.Weights[b.Weight].Rows == 1:
			continue
		}
		*to += t.Bytes
		rest -= t.Bytes
	}
	k.Other = rest
	return k
}

func attentionOf(p *plan.Plan) attentionFacts {
	var f attentionFacts
	for i := range p.Ops {
		op := &p.Ops[i]
		if op.Kind != plan.Attention {
			continue
		}
		layer := p.Layers[op.I[0]]
		f.Heads, f.KVHeads, f.HeadDim = int(op.I[1]), layer.Heads, layer.Dim
		if w := int(op.I[2]); w > 0 && (f.Window == 0 || w < f.Window) {
			f.Window = w
		}
	}
	return f
}

// ropeOf reads the rope fields, in either spelling, of a config that has been checked.
func ropeOf(c checkpoint.Config) ropeFacts {
	f := ropeFacts{Theta: 10000}
	theta := func(c checkpoint.Config) {
		if v, ok, err := c.Float("rope_theta"); ok && err == nil {
			f.Theta = v
		}
	}
	theta(c)
	for _, key := range []string{"rope_scaling", "rope_parameters"} {
		scaling, ok, err := c.Object(key)
		if !ok || err != nil {
			continue
		}
		theta(scaling)
		for _, name := range []string{"type", "rope_type"} {
			if v, ok, err := scaling.String(name); ok && err == nil {
				f.Scaling = v
			}
		}
		if v, ok, err := scaling.Float("factor"); ok && err == nil {
			f.Factor = v
		}
	}
	return f
}

func tokenizerOf(ck *checkpoint.Checkpoint, eos []int32) (tokenizerFacts, []string) {
	tok, err := ck.Tokenizer()
	if err != nil {
		return tokenizerFacts{Why: err.Error()}, nil
	}
	f := tokenizerFacts{Kind: tok.Kind(), Tokens: tok.Size(), BOS: ck.Special().BOS, AddsBOS: ck.Special().AddBOS}
	for id := range int32(tok.Size()) {
		if tok.IsSpecial(id) {
			f.Special++
		}
	}
	var texts []string
	for _, id := range eos {
		texts = append(texts, tok.Piece(id))
	}
	return f, texts
}

var toolsWord = regexp.MustCompile(`\btools\b`)

// takesTools reports whether a chat template looks at the variable that transformers passes the tools in.
func takesTools(template string) bool { return toolsWord.MatchString(template) }

// memoryOf measures what the model takes for some lengths of context, on the backend that would run it here.
func memoryOf(ck *checkpoint.Checkpoint, m *models.Model) (backend string, needs []memoryNeed, err error) {
	list := []backends.Backend{ref.New(1)}
	if c, err := cpu.Open(cpu.Config{}); err == nil {
		list = slices.Insert(list, 0, backends.Backend(c))
	}
	defer func() {
		for _, b := range list {
			err = errors.Join(err, b.Close())
		}
	}()
	var contexts []int
	for _, n := range []int{2 << 10, 8 << 10, 32 << 10} {
		if n < m.Context {
			contexts = append(contexts, n)
		}
	}
	contexts = append(contexts, m.Context)
	for _, b := range list {
		needs = nil
		for _, n := range contexts {
			var e engine.Estimate
			e, err = engine.Measure(engine.Config{Model: m, Checkpoint: ck, Backend: b, KV: plan.F16, Context: n, MaxSeqs: 1})
			if err != nil {
				break
			}
			needs = append(needs, memoryNeed{n, e.Memory.Weights, e.Memory.KV, e.Memory.Scratch, e.Memory.Total()})
		}
		if unsupported := (*backends.UnsupportedError)(nil); !errors.As(err, &unsupported) {
			i := b.Info()
			return strings.TrimSpace(i.Name + " " + i.Level), needs, err
		}
	}
	return "", nil, err
}

// licenseName is the shortest that says which licence it is.
func licenseName(l checkpoint.License) string {
	for _, s := range []string{l.Name, l.ID} {
		if s != "" {
			return s
		}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(l.Text), "\n")
	return strings.TrimSpace(first)
}
