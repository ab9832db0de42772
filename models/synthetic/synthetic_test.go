package synthetic_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"aquifer/backends"
	"aquifer/backends/ref"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/synthetic"
	"aquifer/runtime/plan"
)

func open(t testing.TB, spec string) *checkpoint.Checkpoint {
	t.Helper()
	ck, err := synthetic.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	return ck
}

// TestPublishedSizes compares with the sizes of the published checkpoints' files, in GB, where they are known exactly
// (norms and headers are left out there).
func TestPublishedSizes(t *testing.T) {
	for spec, want := range map[string]float64{
		"llama-2-7b:1x16g8": 2.381, "llama-2-7b:2x8g8": 2.148, "llama-2-7b:1x16g16": 1.807, "llama-2-7b:1x8g8": 1.338,
		"llama-2-13b:1x16g8": 4.126, "llama-2-13b:2x8g8": 3.835, "llama-2-70b:1x16g8": 18.765, "llama-2-70b:2x8g8": 18.182,
		"llama-3.1-8b:1x16g8": 4.084, "llama-3.1-8b:2x8g8": 3.851, "llama-3-8b:1x16g16": 3.447, "llama-3-70b:1x16g8": 21.919,
		"llama-3.1-70b:1x16g16": 13.950, "llama-3.2-1b:2x8g8": 0.770, "llama-3.2-3b:2x8g8": 1.496, "mistral-7b:1x16g8": 2.507,
		"mixtral-8x7b:1x16g8": 13.094, "phi-3-mini:1x16g8": 1.437, "phi-3-medium:1x16g8": 4.237, "gemma-2b:1x16g8": 1.678,
		"gemma-2b:2x8g8": 1.547, "qwen2-72b:1x16g8": 23.140, "qwen2-72b:1x16g16": 14.950, "mistral-nemo-12b:1x16g8": 5.8,
		"command-r:1x16g8": 12.7, "command-r-plus:1x16g8": 31.9,
	} {
		digits := 3
		if want*10 == math.Round(want*10) {
			digits = 1
		}
		got := float64(open(t, spec).Size) / 1e9
		if unit := math.Pow10(-digits); math.Abs(got-want) > 1.5*unit+0.001*got {
			t.Errorf("%s has %.4f GB, published are %v", spec, got, want)
		}
	}
}

// TestParameters compares with the number of parameters that the makers state.
func TestParameters(t *testing.T) {
	want := map[string]int64{ // in millions
		"llama-2-7b": 6738, "llama-2-13b": 13016, "llama-2-70b": 68977, "llama-3-8b": 8030, "llama-3-70b": 70554,
		"llama-3.1-8b": 8030, "llama-3.1-70b": 70554, "llama-3.2-1b": 1236, "llama-3.2-3b": 3213, "smollm2-135m": 135,
		"mistral-7b": 7242, "mistral-nemo-12b": 12248, "mixtral-8x7b": 46703, "gemma-2b": 2506, "phi-3-mini": 3821,
		"phi-3-medium": 13960, "qwen2-72b": 72706, "command-r": 34981, "command-r-plus": 103811,
	}
	for _, shape := range synthetic.Shapes() {
		// Every F16 parameter takes two bytes.
		if got := (open(t, shape+":f16").Size/2 + 500_000) / 1_000_000; got != want[shape] {
			t.Errorf("%s has %d M parameters, its makers say %d M", shape, got, want[shape])
		}
	}
}

// TestBuild plans every shape whose architecture is known, in every kind of scheme.
func TestBuild(t *testing.T) {
	for _, shape := range synthetic.Shapes() {
		t.Run(shape, func(t *testing.T) {
			for _, scheme := range []string{"2x8g8", "1x16g8", "f16", "q8_0"} {
				ck := open(t, shape+":"+scheme)
				arch, err := ck.Config.ModelType()
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(models.Architectures(), arch) {
					t.Skipf("models of type %s cannot be planned yet", arch)
				}
				m, err := models.Build(ck)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(m.Scheme, scheme) || m.Arch != arch {
					t.Errorf("planned as %s %s", m.Arch, m.Scheme)
				}
				if used := len(m.Bindings); used != len(ck.Names()) {
					t.Errorf("%d of %d tensors are used", used, len(ck.Names()))
				}
				if _, err := ref.New(1).Measure(m.Plan, backends.Options{KV: plan.F16, KVBlocks: 8, MaxTokens: 16, MaxSeqs: 1, MaxOutputs: 1}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for spec, want := range map[string]string{
		"llama-2-7b": "as in llama-2-7b:2x8g8", "gpt-2:2x8g8": "llama-2-7b, ", "": "SHAPE:SCHEME",
		"llama-2-7b:": "KxBgG", "llama-2-7b:2x8": "KxBgG", "llama-2-7b:2x8g8og1": "KxBgG", "llama-2-7b:02x8g8": "KxBgG",
		"llama-2-7b:2x8g8 ": "KxBgG", "llama-2-7b:q4_0": "KxBgG", "llama-2-7b:0x8g8": "codebooks 0", "llama-2-7b:2x17g8": "bits 17",
		"llama-2-7b:2x99999999999999999999g8": "KxBgG", "smollm2-135m:1x8g128": "128 do not divide 576",
	} {
		if ck, err := synthetic.Open(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want an error with %q", spec, ck, err, want)
		}
	}
}

// TestFinite runs the smallest shape: its activations neither vanish nor grow out of bounds, so that a measurement sees
// ordinary numbers.
func TestFinite(t *testing.T) {
	for _, scheme := range []string{"2x8g8", "1x12g16og2", "f16", "q8_0"} {
		if testing.Short() && scheme != "2x8g8" {
			continue
		}
		t.Run(scheme, func(t *testing.T) {
			logits := run(t, open(t, "smollm2-135m:"+scheme))
			var squares float64
			for _, v := range logits {
				squares += float64(v) * float64(v)
			}
			// The final norm makes its output 1 in size, and the head keeps that: the deviation of a logit is about 1.
			if rms := math.Sqrt(squares / float64(len(logits))); !(rms > 0.5 && rms < 2) {
				t.Errorf("logits of size %v", rms)
			}
		})
	}
}

// run loads a checkpoint into the reference backend and returns the logits behind three tokens.
func run(t *testing.T, ck *checkpoint.Checkpoint) []float32 {
	t.Helper()
	m, err := models.Build(ck)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ref.New(2).Compile(m.Plan, backends.Options{KV: plan.F32, KVBlocks: 1, MaxTokens: 3, MaxSeqs: 1, MaxOutputs: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, b := range m.Bindings {
		tensor, _ := ck.Tensor(b.Tensor)
		rows, rowBytes := m.Plan.Weights[b.Weight].PartBytes(b.Part)
		data := make([]byte, int64(rows)*rowBytes)
		if _, err := tensor.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		if err := p.Load(b.Weight, b.Part, 0, rows, data); err != nil {
			t.Fatal(err)
		}
	}
	s := &backends.Step{Tokens: []int32{1, 2, 3}, Runs: []backends.Run{{N: 3, Blocks: []int32{0}}}, Out: []int32{2}}
	if err := p.Run(s); err != nil {
		t.Fatal(err)
	}
	return s.Logits
}
