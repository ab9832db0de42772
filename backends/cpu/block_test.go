package cpu_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"aquifer/backends"
	"aquifer/backends/cpu"
	"aquifer/runtime/half"
	"aquifer/runtime/plan"
)

// TestBlockLayout: a KV block holds what csrc/k_kv.h says where it says it, at every level. Blocks are kept in files, so
// whoever has to change this test has to raise AQ_KV_LAYOUT.
func TestBlockLayout(t *testing.T) {
	const heads, dim, block = 2, 40, 3
	const kv = heads * dim
	b := plan.NewBuilder("layout", plan.KVBlock, 2*plan.KVBlock)
	table := b.Weight(plan.WeightInfo{Name: "table", Rows: plan.KVBlock, Cols: 3 * kv, Type: plan.F32})
	x := b.Buffer("x", plan.PerToken, 3*kv)
	b.Embed(plan.All(x), table, 1)
	out := b.Buffer("out", plan.PerToken, 2*kv)
	for layer, keys := range []int{kv, 2 * kv} { // the second layer's keys are the first one's values
		b.Attention(plan.At(out, layer*kv), plan.All(x), plan.At(x, keys), plan.At(x, 3*kv-keys), plan.AttentionParams{
			Layer: b.KV(heads, dim), Heads: heads, Scale: 1,
		})
	}
	b.Plan.Features = b.Buffer("features", plan.PerOutput, 2*kv)
	b.Select(plan.All(b.Plan.Features), plan.All(out))
	// value is that of a column of the table: small numbers, the largest of each group of 32 columns of a head being 127, so
	// that every type holds them as they are.
	value := func(token, column int) int {
		if column%dim%32 == 0 {
			return 127
		}
		return (token*31+column*7)%201 - 100
	}
	var rows []byte
	for token := range plan.KVBlock {
		for column := range 3 * kv {
			rows = binary.LittleEndian.AppendUint32(rows, math.Float32bits(float32(value(token, column))))
		}
	}
	key := func(slot, head, d int) int { return value(slot, kv+head*dim+d) }
	val := func(slot, head, d int) int { return value(slot, 2*kv+head*dim+d) }
	levels(t, func(t *testing.T, level string) {
		for _, typ := range []plan.DType{plan.F32, plan.F16, plan.Q8_0} {
			pr, err := open(t, cpu.Config{Threads: 2, Level: level}).Compile(&b.Plan, backends.Options{
				KV: typ, KVBlocks: 4, MaxTokens: plan.KVBlock, MaxSeqs: 1, MaxOutputs: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer pr.Close()
			if err := pr.Load(table, plan.Elements, 0, plan.KVBlock, rows); err != nil {
				t.Fatal(err)
			}
			s := tokenStep(0, plan.KVBlock)
			s.Runs[0].Blocks = []int32{block}
			if err := pr.Run(s); err != nil {
				t.Fatal(err)
			}
			var want []byte
			for _, part := range []struct {
				of         func(slot, head, d int) int
				transposed bool
			}{{key, true}, {val, false}, {val, true}, {key, false}} {
				for head := range heads {
					want = append(want, headBytes(typ, dim, part.transposed, func(slot, d int) int { return part.of(slot, head, d) })...)
				}
			}
			got := make([]byte, pr.BlockLayout().Bytes)
			if err := pr.ReadBlock(block, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				at := 0
				for at < min(len(got), len(want)) && got[at] == want[at] {
					at++
				}
				t.Errorf("%s: a block of %d bytes, want %d; they differ from byte %d on", typ, len(got), len(want), at)
			}
		}
	})
}

// headBytes writes down the keys (transposed) or values of a head.
func headBytes(typ plan.DType, dim int, transposed bool, value func(slot, d int) int) []byte {
	pad, size := (dim+15)/16*16, map[plan.DType]int{plan.F32: 4, plan.F16: 2, plan.Q8_0: 1}[typ]
	if typ == plan.Q8_0 {
		pad = (dim + 31) / 32 * 32
	}
	out := make([]byte, plan.KVBlock*pad*size)
	for slot := range plan.KVBlock {
		for d := range dim {
			at := slot*pad + d
			if transposed {
				at = d*plan.KVBlock + slot
			}
			v := value(slot, d)
			switch typ {
			case plan.F32:
				binary.LittleEndian.PutUint32(out[4*at:], math.Float32bits(float32(v)))
			case plan.F16:
				binary.LittleEndian.PutUint16(out[2*at:], half.Bits(float32(v)))
			case plan.Q8_0:
				out[at] = byte(int8(v))
			}
		}
	}
	for range map[plan.DType]int{plan.Q8_0: pad / 32 * plan.KVBlock}[typ] {
		out = binary.LittleEndian.AppendUint16(out, half.Bits(1)) // the scale of a group
	}
	return out
}
