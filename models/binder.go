package models

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// binder adds weights to a plan, each checked against the checkpoint's tensors. It keeps its first error and turns
// every later call into a no-op, so that an architecture reads like its formula; loops over layers check failed.
type binder struct {
	*plan.Builder
	ck       *checkpoint.Checkpoint
	fields   fields
	scheme   plan.Scheme // that the config announces
	hasAQLM  bool        // whether it announces one
	bindings []Binding
	err      error

	params int64
	body   []plan.Weight // matrices of the layers
	head   plan.Weight
}

func newBinder(c *checkpoint.Checkpoint) (*binder, error) {
	b := &binder{ck: c, fields: fields{config: c.Config}}
	names := c.Names()
	if i := slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, ".codes_120") }); i >= 0 {
		t, _ := c.Tensor(names[i])
		b.fail(t, t.Name, "has the layout of AQLM.rs, which is not supported; get the checkpoint it was made from")
		return nil, b.err
	}
	var err error
	b.scheme, b.hasAQLM, err = c.Config.AQLM()
	return b, err
}

// start begins the plan, once the config is read. It reports whether the config was good.
func (b *binder) start(vocab, context int) bool {
	b.Builder = plan.NewBuilder(b.ck.Name, vocab, context)
	return !b.failed()
}

func (b *binder) failed() bool { return b.err != nil || b.fields.err != nil }

// fail keeps an error about a tensor, whose file is named if it has one.
func (b *binder) fail(t checkpoint.Tensor, name, format string, args ...any) {
	if !b.failed() {
		b.err = fmt.Errorf("models: %s: tensor %q: %s", cmp.Or(t.File, b.ck.Path), name, fmt.Sprintf(format, args...))
	}
}

// tensor returns a tensor that has to exist with the given shape; a shape longer than want may go on in ones.
func (b *binder) tensor(name string, want ...int) (checkpoint.Tensor, bool) {
	if b.failed() {
		return checkpoint.Tensor{}, false
	}
	t, ok := b.ck.Tensor(name)
	if !ok {
		b.fail(t, name, "is missing")
		return t, false
	}
	if len(want) > 0 && !sameShape(t.Shape, want) {
		b.fail(t, name, "shape is %v, must be %v", t.Shape, want)
		return t, false
	}
	return t, true
}

func sameShape(got, want []int) bool {
	if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		return false
	}
	return !slices.ContainsFunc(got[len(want):], func(n int) bool { return n != 1 })
}

// typed requires one of the types.
func (b *binder) typed(t checkpoint.Tensor, types ...plan.DType) {
	switch {
	case slices.Contains(types, t.DType):
	case t.DType == checkpoint.Unsupported && b.ck.Format == checkpoint.GGUF:
		b.fail(t, t.Name, "type %s cannot be run; get the model as Q8_0, Q6_K, Q5_K, Q4_K, Q3_K, Q2_K, Q5_1, Q5_0, Q4_1, Q4_0 or F16", t.TypeName)
	default:
		var names []string
		for _, want := range types {
			names = append(names, want.String())
		}
		b.fail(t, t.Name, "type %s is not supported here, only %s", t.TypeName, strings.Join(names, ", "))
	}
}

// dense adds a weight whose elements are one tensor.
func (b *binder) dense(name, tensor string, types []plan.DType, shape ...int) plan.Weight {
	t, ok := b.tensor(tensor, shape...)
	if !ok {
		return plan.None
	}
	b.typed(t, types...)
	info := plan.WeightInfo{Name: name, Rows: 1, Cols: shape[len(shape)-1], Type: t.DType}
	if len(shape) > 1 {
		info.Rows = shape[0]
	}
	if len(t.Shape) != len(shape) {
		b.fail(t, tensor, "shape is %v, must be %v", t.Shape, shape)
	}
	return b.add(info, Binding{Part: plan.Elements, Tensor: tensor})
}

// add enters a weight and the tensors of its parts.
func (b *binder) add(info plan.WeightInfo, parts ...Binding) plan.Weight {
	if b.failed() {
		return plan.None
	}
	if err := info.Validate(); err != nil {
		t, _ := b.ck.Tensor(parts[0].Tensor)
		b.err = fmt.Errorf("models: %s: %w", cmp.Or(t.File, b.ck.Path), err)
		return plan.None
	}
	w := b.Weight(info)
	for _, p := range parts {
		p.Weight = w
		b.bindings = append(b.bindings, p)
	}
	b.params += int64(info.Rows) * int64(info.Cols)
	return w
}

func matrixTypes() []plan.DType { return []plan.DType{plan.F32, plan.F16, plan.BF16, plan.Q8_0} }

func vectorTypes() []plan.DType { return []plan.DType{plan.F32, plan.F16, plan.BF16} }

// embedding binds the token table prefix.weight, which is never quantized by AQLM.
func (b *binder) embedding(prefix string, vocab, hidden int) plan.Weight {
	return b.dense(prefix, prefix+".weight", matrixTypes(), vocab, hidden)
}

// gain binds the gain of a norm, prefix.weight.
func (b *binder) gain(prefix string, n int) plan.Weight {
	return b.dense(prefix, prefix+".weight", vectorTypes(), n)
}

// headGains binds the gains of a norm that has one for each head, prefix.weight (heads, dim).
func (b *binder) headGains(prefix string, heads, dim int) plan.Weight {
	name := prefix + ".weight"
	t, ok := b.tensor(name, heads, dim)
	if !ok {
		return plan.None
	}
	b.typed(t, vectorTypes()...)
	info := plan.WeightInfo{Name: prefix, Rows: 1, Cols: heads * dim, Type: t.DType}
	return b.add(info, Binding{Part: plan.Elements, Tensor: name})
}

// bias binds prefix.bias. Where the config has a switch for it, the switch and the tensor have to agree; a switch
// that is absent leaves it to the tensor.
func (b *binder) bias(prefix, key string, rows int) plan.Weight {
	if b.failed() {
		return plan.None
	}
	name := prefix + ".bias"
	t, exists := b.ck.Tensor(name)
	wanted := b.fields.bool(key, exists)
	switch {
	case b.failed():
		return plan.None
	case exists && !wanted:
		b.fail(t, name, "exists, but %s is false", key)
		return plan.None
	case wanted && !exists:
		b.fail(t, name, "is missing, but %s is true", key)
		return plan.None
	case !wanted:
		return plan.None
	}
	return b.dense(name, name, vectorTypes(), rows)
}

// linear binds a matrix of a layer: quantized if prefix.codes exists, else prefix.weight.
func (b *binder) linear(prefix string, rows, cols int) plan.Weight {
	w := b.matrix(prefix, rows, cols)
	if w != plan.None {
		b.body = append(b.body, w)
	}
	return w
}

// matrix binds a matrix that does not count as one of the layers': the head, a router.
func (b *binder) matrix(prefix string, rows, cols int) plan.Weight {
	if b.failed() {
		return plan.None
	}
	codes, quantized := b.ck.Tensor(prefix + ".codes")
	weight, plain := b.ck.Tensor(prefix + ".weight")
	switch {
	case quantized && plain:
		b.fail(weight, prefix, "both %s and %s exist", codes.Name, weight.Name)
		return plan.None
	case quantized:
		return b.quantized(prefix, rows, cols)
	case !plain:
		b.fail(weight, prefix, "is missing: neither .codes nor .weight exists")
		return plan.None
	}
	return b.dense(prefix, prefix+".weight", matrixTypes(), rows, cols)
}

// quantized binds an AQLM matrix. Its scheme follows from the shape of its codebooks (K, 2^B, og, g); what the config
// announces has to agree.
func (b *binder) quantized(prefix string, rows, cols int) plan.Weight {
	books, ok := b.tensor(prefix + ".codebooks")
	if !ok {
		return plan.None
	}
	b.typed(books, plan.F16, plan.BF16, plan.F32)
	scheme := b.schemeOf(books)
	if b.failed() {
		return plan.None
	}
	if cols%scheme.InGroup != 0 || rows%scheme.OutGroup != 0 {
		b.fail(books, books.Name, "groups of %d rows and %d columns do not divide a (%d, %d) matrix", scheme.OutGroup, scheme.InGroup, rows, cols)
		return plan.None
	}
	codes, ok := b.tensor(prefix + ".codes")
	if !ok {
		return plan.None
	}
	b.typed(codes, scheme.CodeType())
	want := []int{rows / scheme.OutGroup, cols / scheme.InGroup, scheme.Codebooks}
	switch {
	case slices.Equal(codes.Shape, want):
	case slices.Equal(codes.Shape, []int{want[1], want[0], want[2]}):
		b.fail(codes, codes.Name, "shape is %v, must be %v: the model was saved after it had run on a CPU, where the aqlm package turns codes around; get the published files",
			codes.Shape, want)
	default:
		b.fail(codes, codes.Name, "shape is %v, must be %v", codes.Shape, want)
	}
	scales, ok := b.tensor(prefix+".scales", rows/scheme.OutGroup)
	if !ok {
		return plan.None
	}
	b.typed(scales, plan.F16, plan.BF16, plan.F32)
	return b.add(
		plan.WeightInfo{
			Name: prefix, Rows: rows, Cols: cols, Encoding: plan.AQLM, Scheme: scheme,
			Codes: codes.DType, Codebooks: books.DType, Scales: scales.DType,
		},
		Binding{Part: plan.Codes, Tensor: codes.Name},
		Binding{Part: plan.Codebooks, Tensor: books.Name},
		Binding{Part: plan.Scales, Tensor: scales.Name},
	)
}

// schemeOf reads the scheme off codebooks and compares it with the config's.
func (b *binder) schemeOf(books checkpoint.Tensor) plan.Scheme {
	if len(books.Shape) != 4 || books.Shape[1] < 2 || books.Shape[1]&(books.Shape[1]-1) != 0 {
		b.fail(books, books.Name, "shape is %v, must be [codebooks, 2^bits, out group, in group]", books.Shape)
		return plan.Scheme{}
	}
	s := plan.Scheme{
		Codebooks: books.Shape[0], Bits: bits.TrailingZeros(uint(books.Shape[1])),
		OutGroup: books.Shape[2], InGroup: books.Shape[3],
	}
	if err := s.Validate(); err != nil {
		b.fail(books, books.Name, "shape is %v: scheme %s is not supported", books.Shape, s)
		return s
	}
	if !b.hasAQLM {
		return s
	}
	for _, f := range []struct {
		key               string
		tensor, announced int
	}{
		{"num_codebooks", s.Codebooks, b.scheme.Codebooks},
		{"nbits_per_codebook", s.Bits, b.scheme.Bits},
		{"in_group_size", s.InGroup, b.scheme.InGroup},
		{"out_group_size", s.OutGroup, b.scheme.OutGroup},
	} {
		if f.tensor != f.announced {
			b.fail(books, books.Name, "shape is %v, so %s would be %d, but the config has %d", books.Shape, f.key, f.tensor, f.announced)
		}
	}
	return s
}

// model completes the model behind the plan.
func (b *binder) model(arch string) (*Model, error) {
	if err := cmp.Or(b.fields.err, b.err); err != nil {
		return nil, err
	}
	m := &Model{
		Name: b.ck.Name, Arch: arch, Plan: &b.Plan, Bindings: b.bindings,
		Context: b.Plan.MaxPos, Vocab: b.Plan.Vocab, Params: b.params, head: b.head,
	}
	var schemes, types []string
	var stored float64 // bytes
	var weights int64
	for _, w := range b.body {
		info := &b.Plan.Weights[w]
		weights += int64(info.Rows) * int64(info.Cols)
		if info.Encoding == plan.AQLM {
			schemes = append(schemes, info.Scheme.String())
			stored += float64(info.Bytes())
		} else { // as the file has it, which may be smaller than what it is run as
			i := slices.IndexFunc(b.bindings, func(p Binding) bool { return p.Weight == w })
			t, _ := b.ck.Tensor(b.bindings[i].Tensor)
			types = append(types, strings.ToLower(t.TypeName))
			stored += float64(info.Bytes()) * float64(t.Stored) / float64(t.Bytes)
		}
	}
	slices.Sort(schemes)
	slices.Sort(types)
	schemes, types = slices.Compact(schemes), slices.Compact(types)
	switch {
	case len(schemes) == 0:
		m.Scheme = "dense " + strings.Join(types, "+")
	case len(types) > 0:
		schemes = append(schemes, "dense")
		fallthrough
	default:
		m.Scheme = strings.Join(schemes, " + ")
	}
	if weights > 0 {
		m.BitsPerWeight = 8 * stored / float64(weights)
	}
	return m, nil
}
