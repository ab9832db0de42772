package checkpoint

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"aquifer/runtime/plan"
)

func TestVirtual(t *testing.T) {
	config, err := ParseConfig("gen", []byte(`{"model_type": "llama", "eos_token_id": 2}`))
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.NewReader([]byte("0123456789abcdef"))
	c, err := Virtual("gen", config, []VirtualTensor{
		{"b", plan.F16, []int{2, 4}, data}, {"a", plan.I8, []int{3}, data}, {"q", plan.Q8_0, []int{1, 32}, data},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "gen" || c.Format != Generated || c.Format.String() != "generated" || c.Size != 16+3+34 ||
		!slices.Equal(c.Names(), []string{"a", "b", "q"}) || c.RopePairing() != plan.RopeHalf {
		t.Errorf("%+v", c)
	}
	b, ok := c.Tensor("b")
	p := make([]byte, 4)
	if n, err := b.ReadAt(p, 12); !ok || n != 4 || err != nil || string(p) != "cdef" {
		t.Errorf("%q, %d, %v", p, n, err)
	}
	if b.TypeName != "F16" || b.Bytes != 16 || !slices.Equal(b.Shape, []int{2, 4}) {
		t.Errorf("%+v", b)
	}
	// The reader ends before the tensor does.
	if q, _ := c.Tensor("q"); q.Bytes != 34 {
		t.Errorf("%+v", q)
	} else if _, err := q.ReadAt(make([]byte, 34), 0); err == nil || !strings.Contains(err.Error(), `gen: tensor "q"`) {
		t.Errorf("reading behind the end: %v", err)
	}
	if _, err := c.Tokenizer(); err == nil || c.HasTokenizer() {
		t.Errorf("tokenizer: %v", err)
	}
	if sp := c.Special(); sp.BOSID != -1 || len(sp.EOSIDs) != 0 || sp.AddBOS {
		t.Errorf("%+v", sp)
	}
	if _, _, ok := c.Template(); ok || c.Unchanged() != nil || c.Close() != nil {
		t.Error("there is a template, or files")
	}
}

func TestVirtualRefuses(t *testing.T) {
	one := VirtualTensor{"a", plan.F16, []int{2}, nil}
	for want, list := range map[string][]VirtualTensor{
		"exists twice":       {one, one},
		"out of range":       {{"a", plan.F16, []int{2, 0}, nil}},
		"is out of range":    {{"a", plan.F16, []int{1 << 30, 1 << 30}, nil}},
		"not a multiple":     {{"a", plan.Q8_0, []int{31}, nil}},
		"unknown element":    {{"a", Unsupported, []int{1}, nil}},
		"[-1] is out of ran": {{"a", plan.F16, []int{-1}, nil}},
	} {
		if c, err := Virtual("gen", Config{}, list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want an error with %q", c, err, want)
		}
	}
}
