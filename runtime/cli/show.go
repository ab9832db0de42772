package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"aquifer/models"
	"aquifer/models/checkpoint"
)

// description is what show prints about a model.
type description struct {
	Name          string  `json:"name"`
	Format        string  `json:"format"`
	Architecture  string  `json:"architecture"`
	Scheme        string  `json:"scheme"`
	Parameters    int64   `json:"parameters"`
	BitsPerWeight float64 `json:"bits_per_weight"` // of the quantized body
	Bytes         int64   `json:"bytes"`           // of all tensors
	Tensors       int     `json:"tensors"`
	Context       int     `json:"context"`
	Vocab         int     `json:"vocabulary"`
	Layers        int     `json:"layers"`
	EOS           []int32 `json:"eos_token_ids"`
	ChatTemplate  string  `json:"chat_template,omitempty"` // its name
	License       string  `json:"license,omitempty"`
	KVBytes       int64   `json:"kv_bytes_per_token_f16"`
}

func (a *app) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show [MODEL]",
		Short:   "Describe a model",
		Long:    "show reads a model's files and prints what they hold, without loading its weights. Without MODEL it describes\nthe embedded model.",
		Example: "  aquifer show ./Llama-3.2-1B-Instruct-AQLM",
	}
	addKnobs(cmd, []string{"json"})
	return command(cmd, 0, 1, func(s settings, args []string) error {
		path := strings.Join(args, "")
		ck, err := openCheckpoint(path)
		if err != nil {
			return err
		}
		defer ck.Close()
		m, err := buildModel(ck)
		if err != nil {
			return err
		}
		d := describe(ck, m)
		if s.boolean("json") {
			enc := json.NewEncoder(a.out)
			enc.SetIndent("", "  ")
			return enc.Encode(d)
		}
		return d.print(a.out)
	})
}

func describe(ck *checkpoint.Checkpoint, m *models.Model) description {
	d := description{
		Name: ck.Name, Format: ck.Format.String(), Architecture: m.Arch, Scheme: m.Scheme, Parameters: m.Params,
		BitsPerWeight: m.BitsPerWeight, Bytes: ck.Size, Tensors: len(ck.Names()), Context: m.Context, Vocab: m.Vocab,
		Layers: len(m.Plan.Layers), EOS: ck.Special().EOSIDs, License: licenseName(ck.License()),
	}
	d.ChatTemplate, _, _ = ck.Template()
	for _, l := range m.Plan.Layers {
		d.KVBytes += 2 * 2 * int64(l.Heads) * int64(l.Dim) // keys and values of two bytes
	}
	return d
}

func (d description) print(w io.Writer) error {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, oneLine(fmt.Sprintf(format, args...)))
	}
	row("name", "%s", d.Name)
	row("format", "%s, %s, %s", d.Format, plural(d.Tensors, "tensor"), size(d.Bytes))
	row("architecture", "%s, %s", d.Architecture, plural(d.Layers, "layer"))
	row("parameters", "%.1f M", float64(d.Parameters)/1e6)
	row("scheme", "%s, %.2f bits a weight", d.Scheme, d.BitsPerWeight)
	row("vocabulary", "%d, ends with %v", d.Vocab, d.EOS)
	row("context", "%d tokens, KV cache of %s each (f16)", d.Context, size(d.KVBytes))
	template := "none: text is continued as it is"
	if d.ChatTemplate != "" {
		template = d.ChatTemplate
	}
	row("chat template", "%s", template)
	if d.License != "" {
		row("licence", "%s", d.License)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func licenseName(l checkpoint.License) string {
	if l.Name != "" {
		return l.Name
	}
	return l.ID
}
