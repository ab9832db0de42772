package tokenizer

import (
	"slices"

	"golang.org/x/text/unicode/norm"
)

// A preset is a byte-level pipeline that GGUF knows by name.
type preset struct {
	names        []string // the first one is written
	splits       []splitter
	nfc          bool
	ignoreMerges bool
}

// presets returns the pipelines FromMetadata builds and Metadata recognises. The patterns are those of the models'
// tokenizer.json; where llama.cpp's differ, for letters beyond ASCII or because it does not normalize, the model's count.
// Names of llama.cpp that are not here belong to models that do not run here, or hide more than one pipeline.
func presets() []preset {
	gpt2, llama3, digits := scanSplit{patternGPT2}, scanSplit{patternLlama3}, digitSplit{individual: true}
	return []preset{
		{names: []string{"gpt-2", "gpt2", "phi-2", "olmo", "mpt"}, splits: []splitter{gpt2}},
		{names: []string{"smollm", "starcoder", "refact"}, splits: []splitter{digits, gpt2}},
		{names: []string{"command-r"}, splits: []splitter{digits, gpt2}, nfc: true},
		{names: []string{"llama-bpe", "llama3", "llama-v3"}, splits: []splitter{llama3}, ignoreMerges: true},
		{names: []string{"dbrx", "smaug-bpe"}, splits: []splitter{llama3}}, // Phi-4 has dbrx's
		{names: []string{"qwen2", "deepseek-r1-qwen"}, splits: []splitter{scanSplit{patternQwen2}}, nfc: true},
		{names: []string{"tekken"}, splits: []splitter{scanSplit{patternTekken}}, ignoreMerges: true},
		{names: []string{"gpt-4o"}, splits: []splitter{scanSplit{patternGPT4o}}},
		// What llama.cpp does where a file names no other pipeline.
		{names: []string{preDefault}, splits: []splitter{punctuationSplit{}, gpt2, digitSplit{}, tripleSplit{}}},
	}
}

// byteLevel sets up the pipeline that m.Pre names.
func (b *builder) byteLevel(m *Metadata) error {
	t := b.t
	known := presets()
	i := slices.IndexFunc(known, func(p preset) bool { return slices.Contains(p.names, m.Pre) })
	switch {
	case m.Pre == "":
		return errUnsupported("pre", "it is missing, so that the file does not say how texts are cut into words; convert the model again with a converter of 2024-05 or later")
	case i < 0:
		return errUnsupported("pre", "%q for model \"gpt2\", only %s", m.Pre, presetNames(known))
	}
	p := known[i]
	t.pre.splits, t.pre.byteLevel = p.splits, true
	t.bpe.ignoreMerges = p.ignoreMerges
	if p.nfc {
		t.normalizers = []normalizer{{kind: normUnicode, form: norm.NFC}}
	}
	t.decode.kind = decodeBytes
	return b.readMergeStrings(m.Merges)
}

// presetNames lists what each preset is called first.
func presetNames(known []preset) string {
	list := ""
	for i, p := range known {
		if i > 0 {
			list += ", "
		}
		list += p.names[0]
	}
	return list
}

// exportPreset finds the name of the pipeline.
func (t *Tokenizer) exportPreset(nfc bool) (string, error) {
	known := presets()
	i := slices.IndexFunc(known, func(p preset) bool {
		return slices.Equal(p.splits, t.pre.splits) && p.nfc == nfc && p.ignoreMerges == t.bpe.ignoreMerges
	})
	if i < 0 {
		return "", errUnsupported("pre_tokenizer", "no GGUF name for it, with normalizer NFC: %v, ignore_merges: %v", nfc, t.bpe.ignoreMerges)
	}
	return known[i].names[0], nil
}
