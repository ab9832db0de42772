package models_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"aquifer/gguf"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/runtime/plan"
)

// quantizedGGUF is a one-layer Llama as llama.cpp quantizes them; change may give a tensor another type. The data is
// random but for the scales, which stand first or last in every format and are small everywhere.
func quantizedGGUF(t *testing.T, change map[string]gguf.Type) *checkpoint.Checkpoint {
	t.Helper()
	const hidden, inner, vocab = 256, 512, 300
	meta := []gguf.KV{
		{Key: "general.architecture", Value: "llama"},
		{Key: "llama.block_count", Value: uint32(1)},
		{Key: "llama.context_length", Value: uint32(64)},
		{Key: "llama.embedding_length", Value: uint32(hidden)},
		{Key: "llama.feed_forward_length", Value: uint32(inner)},
		{Key: "llama.attention.head_count", Value: uint32(4)},
		{Key: "llama.attention.head_count_kv", Value: uint32(2)},
		{Key: "llama.attention.layer_norm_rms_epsilon", Value: float32(1e-5)},
	}
	var tensors []gguf.Source
	add := func(name string, typ gguf.Type, dims ...int64) {
		if other, ok := change[name]; ok {
			typ = other
		}
		tensors = append(tensors, gguf.Source{Name: name, Type: typ, Dims: dims, Open: func() (io.Reader, error) {
			n, err := typ.Bytes(dims)
			r := rand.New(rand.NewPCG(uint64(typ), uint64(n)))
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(r.Uint32()) & 0x1f // as a part of any number: small
			}
			return bytes.NewReader(p), err
		}})
	}
	add("token_embd.weight", gguf.Q6_K, hidden, vocab)
	add("blk.0.attn_norm.weight", gguf.F32, hidden)
	add("blk.0.attn_q.weight", gguf.Q4_K, hidden, hidden)
	add("blk.0.attn_k.weight", gguf.Q4_0, hidden, hidden/2)
	add("blk.0.attn_v.weight", gguf.Q5_K, hidden, hidden/2)
	add("blk.0.attn_output.weight", gguf.Q3_K, hidden, hidden)
	add("blk.0.ffn_norm.weight", gguf.F32, hidden)
	add("blk.0.ffn_gate.weight", gguf.Q5_0, hidden, inner)
	add("blk.0.ffn_up.weight", gguf.Q4_1, hidden, inner)
	add("blk.0.ffn_down.weight", gguf.Q2_K, inner, hidden)
	add("output_norm.weight", gguf.F32, hidden)
	add("unheard_of.weight", 23, hidden) // IQ4_XS, which nothing needs
	var b bytes.Buffer
	if err := gguf.Write(&b, meta, tensors); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.OpenGGUF("quantized.gguf", bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestQuantizedGGUF builds a model of tensors in all block formats. Its plan is the one of a file that holds the
// converted tensors as such; what is told about it is what the file holds.
func TestQuantizedGGUF(t *testing.T) {
	c := quantizedGGUF(t, nil)
	m, err := models.Build(c)
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]gguf.Type{}
	for name, kind := range map[string]gguf.Type{
		"token_embd": gguf.F16, "blk.0.attn_q": gguf.F16, "blk.0.attn_k": gguf.Q8_0, "blk.0.attn_v": gguf.F16, "blk.0.attn_output": gguf.F16,
		"blk.0.ffn_gate": gguf.Q8_0, "blk.0.ffn_up": gguf.F16, "blk.0.ffn_down": gguf.F16,
	} {
		plain[name+".weight"] = kind
	}
	p, err := models.Build(quantizedGGUF(t, plain))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m.Plan, p.Plan) || !slices.Equal(m.Bindings, p.Bindings) || m.Params != p.Params {
		t.Errorf("plans differ:\n%+v\n%+v", m.Plan, p.Plan)
	}
	if want := "dense q2_k+q3_k+q4_0+q4_1+q4_k+q5_0+q5_k"; m.Scheme != want {
		t.Errorf("scheme %q, want %q", m.Scheme, want)
	}
	if want := "dense f16+q8_0"; p.Scheme != want {
		t.Errorf("scheme %q, want %q", p.Scheme, want)
	}
	blocks := 256*144 + 128*8*18 + 128*176 + 256*110 + 512*8*22 + 512*8*20 + 256*2*84 // bytes of the seven matrices
	if want := 8 * float64(blocks) / (256*256*3 + 512*256*3); m.BitsPerWeight != want {
		t.Errorf("%v bits a weight, want %v", m.BitsPerWeight, want)
	}
	for _, b := range m.Bindings {
		x, _ := c.Tensor(b.Tensor)
		rows, size := m.Plan.Weights[b.Weight].PartBytes(b.Part)
		if int64(rows)*size != x.Bytes {
			t.Errorf("%s: %d rows of %d bytes, the tensor has %d", b.Tensor, rows, size, x.Bytes)
		}
		data := make([]byte, x.Bytes)
		if _, err := x.ReadAt(data, 0); err != nil {
			t.Error(err)
		}
		if x.DType == plan.F16 && binary.LittleEndian.Uint64(data) == 0 {
			t.Errorf("%s: starts with zeros", b.Tensor)
		}
	}
}

func TestForeignTypes(t *testing.T) {
	for kind, word := range map[gguf.Type]string{23: "IQ4_XS", 20: "IQ4_NL", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"} {
		for _, name := range []string{"token_embd.weight", "blk.0.ffn_up.weight"} {
			_, err := models.Build(quantizedGGUF(t, map[string]gguf.Type{name: kind}))
			if err == nil || !strings.Contains(err.Error(), "type "+word+" cannot be run; get the model as Q8_0") || !strings.HasPrefix(err.Error(), "models: quantized.gguf: tensor") {
				t.Errorf("%s in %s: %v", name, word, err)
			}
		}
	}
	// A gain in blocks is something that llama.cpp never writes; the same types as elsewhere stand for vectors.
	_, err := models.Build(quantizedGGUF(t, map[string]gguf.Type{"output_norm.weight": gguf.Q4_0}))
	if err == nil || !strings.Contains(err.Error(), "type Q4_0 is not supported here, only f32, f16, bf16") {
		t.Errorf("norm: %v", err)
	}
}
