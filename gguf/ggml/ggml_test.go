package ggml

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"aquifer/gguf"
)

var update = flag.Bool("update", false, "rewrite testdata with the answers of gguf-py")

const fixture = "testdata/blocks.txt"

const ggufPy = `
import sys, numpy as np, gguf
from gguf.quants import dequantize
t = gguf.GGMLQuantizationType[sys.argv[1]]
size = gguf.GGML_QUANT_SIZES[t][1]
np.seterr(all="ignore")
blocks = np.frombuffer(sys.stdin.buffer.read(), dtype=np.uint8).reshape(-1, size)
sys.stdout.buffer.write(dequantize(blocks, t).astype("<f4").tobytes())`

const python = "python3"

// needGGUFPy skips the test where python3 has no package gguf.
func needGGUFPy(t *testing.T) {
	t.Helper()
	if out, err := exec.Command(python, "-c", "import gguf").CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Skipf("python3 cannot import gguf: %v: %s", err, lines[len(lines)-1])
	}
}

// reference asks gguf-py for the numbers of blocks, as little-endian float32.
func reference(t *testing.T, typ gguf.Type, src []byte) []byte {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := exec.Command(python, "-c", ggufPy, typ.String())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(src), &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("gguf-py: %v: %s", err, &stderr)
	}
	return out.Bytes()
}

// dequantized returns the numbers of blocks.
func dequantized(t *testing.T, typ gguf.Type, src []byte) []float32 {
	t.Helper()
	elements, size := block(typ)
	dst := make([]float32, len(src)/size*elements)
	if err := Dequantize(dst, typ, src); err != nil {
		t.Fatal(err)
	}
	return dst
}

// same compares numbers with little-endian float32, bit by bit; which NaN a NaN is does not count, as processors
// differ in that. It returns how many differ.
func same(t *testing.T, name string, got []float32, want []byte) (differ int) {
	t.Helper()
	if len(want) != 4*len(got) {
		t.Fatalf("%s: %d numbers, want %d", name, len(got), len(want)/4)
	}
	for i, x := range got {
		w := math.Float32frombits(binary.LittleEndian.Uint32(want[4*i:]))
		if math.Float32bits(x) == math.Float32bits(w) || x != x && w != w {
			continue
		}
		if differ++; differ <= 3 {
			t.Errorf("%s: number %d is %v, want %v", name, i, x, w)
		}
	}
	return differ
}

// TestReference compares with gguf-py while it is there.
func TestReference(t *testing.T) {
	needGGUFPy(t)
	for _, f := range formats() {
		t.Run(f.t.String(), func(t *testing.T) {
			src := blocks(f, 4000)
			if n := same(t, f.t.String(), dequantized(t, f.t, src), reference(t, f.t, src)); n > 0 {
				t.Errorf("%d numbers differ", n)
			}
		})
	}
}

// TestFixture compares with what gguf-py gave once.
func TestFixture(t *testing.T) {
	if *update {
		writeFixture(t)
	}
	text, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]gguf.Type{}
	for _, f := range formats() {
		types[f.t.String()] = f.t
	}
	seen := map[string]bool{}
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		words := strings.Fields(line)
		if len(words) != 3 {
			t.Fatalf("line %d has %d words", i+1, len(words))
		}
		src, err1 := hex.DecodeString(words[1])
		want, err2 := hex.DecodeString(words[2])
		if err1 != nil || err2 != nil {
			t.Fatalf("line %d: %v, %v", i+1, err1, err2)
		}
		same(t, fmt.Sprintf("line %d, %s", i+1, words[0]), dequantized(t, types[words[0]], src), want)
		seen[words[0]] = true
	}
	if len(seen) != len(types) {
		t.Errorf("the fixture has %d types of %d", len(seen), len(types))
	}
}

func writeFixture(t *testing.T) {
	t.Helper()
	needGGUFPy(t)
	var text strings.Builder
	for _, f := range formats() {
		_, size := block(f.t)
		all := blocks(f, 400)
		src := append(bytes.Clone(all[6*size:7*size]), all[len(all)-size:]...) // a scale of one or zero, a random one
		want := reference(t, f.t, src)
		for i := range 2 {
			fmt.Fprintf(&text, "%v %x %x\n", f.t, src[i*size:][:size], want[i*len(want)/2:][:len(want)/2])
		}
	}
	if err := os.WriteFile(fixture, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestToQ8 wants the same bits from a block and from its form in Q8_0.
func TestToQ8(t *testing.T) {
	for _, f := range formats() {
		if IsQ8_0(f.t) != (f.t == gguf.Q4_0 || f.t == gguf.Q5_0) {
			t.Errorf("%v: IsQ8_0 is %v", f.t, IsQ8_0(f.t))
		}
		if !IsQ8_0(f.t) {
			continue
		}
		src := blocks(f, 500)
		dst := make([]byte, 500*34)
		if err := ToQ8_0(dst, f.t, src); err != nil {
			t.Fatal(err)
		}
		want := dequantized(t, f.t, src)
		for i, x := range dequantized(t, gguf.Q8_0, dst) {
			if math.Float32bits(x) != math.Float32bits(want[i]) && x == x {
				t.Fatalf("%v: number %d is %v, want %v", f.t, i, x, want[i])
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, typ := range []gguf.Type{gguf.F32, gguf.I8, 9, 15, 16, 39, 1000} {
		if Known(typ) {
			t.Errorf("%v is known", typ)
		}
		if err := Dequantize(nil, typ, nil); err == nil || !strings.Contains(err.Error(), typ.String()) {
			t.Errorf("%v: %v", typ, err)
		}
	}
	dst := []float32{7, 7}
	for _, test := range []struct{ elements, bytes int }{{0, 144}, {256, 0}, {256, 143}, {255, 144}, {512, 144}, {256, 288}} {
		if err := Dequantize(make([]float32, test.elements), gguf.Q4_K, make([]byte, test.bytes)); err == nil {
			t.Errorf("%d bytes for %d numbers: accepted", test.bytes, test.elements)
		}
	}
	if err := Dequantize(dst, gguf.Q4_0, make([]byte, 18)); err == nil || dst[0] != 7 {
		t.Errorf("%v, %v", err, dst)
	}
	for _, err := range []error{
		ToQ8_0(make([]byte, 34), gguf.Q4_1, make([]byte, 20)), ToQ8_0(make([]byte, 33), gguf.Q4_0, make([]byte, 18)),
		ToQ8_0(make([]byte, 34), gguf.Q5_0, make([]byte, 18)), ToQ8_0(nil, gguf.Q5_0, make([]byte, 22)),
	} {
		if err == nil {
			t.Error("accepted")
		}
	}
}

// FuzzBlocks wants no panic and no write beyond a block, whatever the bytes.
func FuzzBlocks(f *testing.F) {
	for i, x := range formats() {
		f.Add(uint8(i), blocks(x, 2))
	}
	f.Fuzz(func(t *testing.T, which uint8, src []byte) {
		list := formats()
		typ := list[int(which)%len(list)].t
		elements, size := block(typ)
		n := len(src) / size
		dst := make([]float32, n*elements+1)
		dst[n*elements] = 42
		if err := Dequantize(dst[:n*elements], typ, src[:n*size]); err != nil {
			t.Fatal(err)
		}
		if dst[n*elements] != 42 {
			t.Fatal("wrote too much")
		}
		if len(src)%size != 0 && Dequantize(dst[:n*elements], typ, src) == nil {
			t.Fatal("accepted part of a block")
		}
		if IsQ8_0(typ) {
			q8 := make([]byte, n*34)
			if err := ToQ8_0(q8, typ, src[:n*size]); err != nil {
				t.Fatal(err)
			}
			for i, x := range dequantized(t, gguf.Q8_0, q8) {
				if x != dst[i] && x == x {
					t.Fatalf("number %d is %v in Q8_0, %v in %v", i, x, dst[i], typ)
				}
			}
		}
	})
}

// BenchmarkDequantize counts bytes of float32.
func BenchmarkDequantize(b *testing.B) {
	for _, f := range formats() {
		b.Run(f.t.String(), func(b *testing.B) {
			elements, size := block(f.t)
			n := 8192 / elements
			src, dst := make([]byte, n*size), make([]float32, n*elements)
			r := rand.New(rand.NewPCG(1, 2))
			for i := range src {
				src[i] = byte(r.Uint32())
			}
			b.SetBytes(int64(4 * len(dst)))
			for b.Loop() {
				if err := Dequantize(dst, f.t, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
