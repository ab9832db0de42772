package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"aquifer/gguf"
	"aquifer/gguf/ggml"
	"aquifer/runtime/half"
	"aquifer/runtime/plan"
)

// blockTypes are the converted types, each with the places of the F16 scales in a block.
func blockTypes() map[gguf.Type][]int {
	return map[gguf.Type][]int{
		gguf.Q4_0: {0}, gguf.Q4_1: {0, 2}, gguf.Q5_0: {0}, gguf.Q5_1: {0, 2},
		gguf.Q2_K: {80, 82}, gguf.Q3_K: {108}, gguf.Q4_K: {0, 2}, gguf.Q5_K: {0, 2}, gguf.Q6_K: {208},
	}
}

// randomBlocks returns blocks with scales below 2^-8, so that every number fits F16.
func randomBlocks(typ gguf.Type, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(typ), uint64(n)))
	_, size := typ.Block()
	p := make([]byte, int64(n)*size)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	for i := range n {
		for _, off := range blockTypes()[typ] {
			binary.LittleEndian.PutUint16(p[int64(i)*size+int64(off):], uint16(r.Uint32())&0x9fff)
		}
	}
	return p
}

// converted is what a tensor of these blocks has to read as.
func converted(t *testing.T, typ gguf.Type, src []byte) []byte {
	t.Helper()
	elements, size := typ.Block()
	n := int64(len(src)) / size
	if ggml.IsQ8_0(typ) {
		p := make([]byte, n*34)
		if err := ggml.ToQ8_0(p, typ, src); err != nil {
			t.Fatal(err)
		}
		return p
	}
	x := make([]float32, n*elements)
	if err := ggml.Dequantize(x, typ, src); err != nil {
		t.Fatal(err)
	}
	var p []byte
	for _, v := range x {
		p = binary.LittleEndian.AppendUint16(p, half.Bits(v))
	}
	return p
}

func data(name string, typ gguf.Type, p []byte, dims ...int64) gguf.Source {
	return gguf.Source{Name: name, Type: typ, Dims: dims, Open: func() (io.Reader, error) { return bytes.NewReader(p), nil }}
}

// TestBlocks reads a tensor of each format: whole, at odd places, at once from several goroutines, and from a file that
// has shrunk.
func TestBlocks(t *testing.T) {
	for typ := range blockTypes() {
		t.Run(typ.String(), func(t *testing.T) {
			const rows, cols = 301, 256 // more than is converted at a time
			elements, size := typ.Block()
			src := randomBlocks(typ, rows*cols/int(elements))
			want := converted(t, typ, src)
			file := pack(t, llamaMeta(), []gguf.Source{data("x", gguf.F32, make([]byte, 4), 1), data("blk.0.ffn_up.weight", typ, src, cols, rows)})
			c, err := openBytes(file)
			if err != nil {
				t.Fatal(err)
			}
			x, ok := c.Tensor("model.layers.0.mlp.up_proj.weight")
			dtype := plan.F16
			if ggml.IsQ8_0(typ) {
				dtype = plan.Q8_0
			}
			if !ok || x.DType != dtype || x.TypeName != typ.String() || !slices.Equal(x.Shape, []int{rows, cols}) {
				t.Fatalf("%+v", x)
			}
			if x.Bytes != int64(len(want)) || x.Stored != int64(len(src)) || c.Size != x.Stored+4 {
				t.Fatalf("%d bytes, %d stored, checkpoint %d", x.Bytes, x.Stored, c.Size)
			}
			read := func(off, n int64) {
				p := make([]byte, n)
				got, err := x.ReadAt(p, off)
				end := min(off+n, x.Bytes)
				var wantErr error
				if end < off+n {
					wantErr = io.EOF
				}
				if int64(got) != end-off || !bytes.Equal(p[:got], want[off:end]) || err != wantErr {
					t.Errorf("%d bytes at %d: %d, %v", n, off, got, err)
				}
			}
			read(0, x.Bytes)
			var wg sync.WaitGroup
			for seed := range uint64(4) {
				r := rand.New(rand.NewPCG(uint64(typ), seed))
				wg.Go(func() {
					for range 40 {
						read(r.Int64N(x.Bytes+1), r.Int64N(2000))
						off := r.Int64N(x.Bytes)
						read(off, r.Int64N(x.Bytes-off))
					}
				})
			}
			wg.Wait()
			for off := x.Bytes - 600; off <= x.Bytes; off++ {
				read(off, 3)
			}
			// The same file, cut inside the tensor after it was opened, and before.
			cut := len(file) - len(src) + 3*len(src)/4
			if c, err = OpenGGUF("dir/file.gguf", cutReader{bytes.NewReader(file), int64(cut)}, int64(len(file))); err != nil {
				t.Fatal(err)
			}
			x, _ = c.Tensor("model.layers.0.mlp.up_proj.weight")
			n, err := x.ReadAt(make([]byte, x.Bytes), 0)
			wantError(t, err, "dir/file.gguf", `"model.layers.0.mlp.up_proj.weight"`)
			if !errors.Is(err, io.ErrUnexpectedEOF) || n == 0 || int64(n) > int64(3*len(src)/4)/size*(x.Bytes*size/x.Stored) {
				t.Errorf("read %d bytes: %v", n, err)
			}
			_, err = openBytes(file[:cut])
			wantError(t, err, "blk.0.ffn_up.weight", "end of the file")
		})
	}
}

// cutReader is a file that has shrunk to size.
type cutReader struct {
	r    io.ReaderAt
	size int64
}

func (c cutReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	n, err := c.r.ReadAt(p[:min(int64(len(p)), c.size-off)], off)
	if n < len(p) && err == nil {
		err = io.EOF
	}
	return n, err
}

// TestTooLargeForF16 has finite numbers beyond F16 in one block of many: reading that block is an error, others are not
// concerned, and neither are infinities, which the file itself may have.
func TestTooLargeForF16(t *testing.T) {
	src := randomBlocks(gguf.Q6_K, 200)
	const bad = 150
	block := src[bad*210:][:210]
	for i := range block {
		block[i] = 0x7f
	}
	binary.LittleEndian.PutUint16(block[208:], 0x7bff) // 65504 * 127 * 31
	inf := randomBlocks(gguf.Q4_1, 8)
	binary.LittleEndian.PutUint16(inf[2:], 0x7c00)
	c, err := openBytes(pack(t, llamaMeta(), []gguf.Source{data("token_embd.weight", gguf.Q6_K, src, 256, 200), data("output.weight", gguf.Q4_1, inf, 256)}))
	if err != nil {
		t.Fatal(err)
	}
	x, _ := c.Tensor("model.embed_tokens.weight")
	n, err := x.ReadAt(make([]byte, x.Bytes), 0)
	wantError(t, err, "dir/file.gguf", `"model.embed_tokens.weight"`, "element 384", "too large for F16", "Q6_K")
	if n > bad*512 {
		t.Errorf("read %d bytes", n)
	}
	for _, off := range []int64{0, (bad + 1) * 512} {
		if n, err := x.ReadAt(make([]byte, 512), off); n != 512 || err != nil {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
	}
	y, _ := c.Tensor("lm_head.weight")
	p := make([]byte, y.Bytes)
	if _, err := y.ReadAt(p, 0); err != nil {
		t.Error(err)
	}
	if v := half.Float(binary.LittleEndian.Uint16(p)); !math.IsInf(float64(v), 1) {
		t.Errorf("%v, want +Inf", v)
	}
}

// TestForeignTypes opens files with types that nothing here converts; whether they matter is for who needs them.
func TestForeignTypes(t *testing.T) {
	for typ, word := range map[gguf.Type]string{9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 20: "IQ4_NL", 23: "IQ4_XS", 28: "F64", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"} {
		c, err := openBytes(pack(t, llamaMeta(), []gguf.Source{zeros("output.weight", typ, 256, 2)}))
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		if x, ok := c.Tensor("lm_head.weight"); !ok || x.DType != Unsupported || x.TypeName != word || x.Bytes != x.Stored {
			t.Errorf("%s: %+v", word, x)
		}
	}
}

// BenchmarkBlocks counts bytes of the converted form, read as the engine reads them.
func BenchmarkBlocks(b *testing.B) {
	for typ := range blockTypes() {
		b.Run(typ.String(), func(b *testing.B) {
			const rows, cols = 256, 4096
			elements, _ := typ.Block()
			c, err := openBytes(pack(b, llamaMeta(), []gguf.Source{data("output.weight", typ, randomBlocks(typ, rows*cols/int(elements)), cols, rows)}))
			if err != nil {
				b.Fatal(err)
			}
			x, _ := c.Tensor("lm_head.weight")
			p := make([]byte, x.Bytes)
			b.SetBytes(x.Bytes)
			for b.Loop() {
				if _, err := x.ReadAt(p, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
