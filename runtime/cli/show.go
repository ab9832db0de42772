package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [MODEL]",
		Short: "Describe a model",
		Long: "show reads a model's files and prints what they hold and what memory the model takes, without loading its\n" +
			"weights. Without MODEL it describes the embedded model.",
		Example: "  aquifer show ./Llama-3.2-1B-Instruct-AQLM",
	}
	a.completeModels(cmd, 1, stored)
	addKnobs(cmd, []string{"json"})
	return command(cmd, 0, 1, func(s settings, args []string) error {
		ck, err := a.openCheckpoint(argument(args))
		if err != nil {
			return err
		}
		defer ck.Close()
		m, err := buildModel(ck)
		if err != nil {
			return err
		}
		d, err := describe(ck, m)
		if err != nil {
			return err
		}
		if s.boolean("json") {
			enc := json.NewEncoder(a.out)
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false) // tokens are full of angle brackets
			return enc.Encode(d)
		}
		return d.print(a.out)
	})
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
	row("scheme", "%s, %.2f bits a weight, %.2f over the whole file", d.Scheme, d.BitsPerWeight, d.BitsOverall)
	row("bytes", "%s", d.Kinds)
	row("attention", "%s", d.Attention)
	row("rope", "%s", d.Rope)
	row("context", "%d tokens, KV cache of %s each (f16)", d.Context, size(d.KVBytes))
	row("tokenizer", "%s", d.Tokenizer)
	row("ends with", "%s", d.ends())
	row("chat template", "%s", d.Template)
	if d.License != "" {
		row("licence", "%s", d.License)
	}
	fmt.Fprintf(&b, "\nmemory on %s, KV in f16:\n%10s %10s %10s %10s %10s\n", d.MemoryBackend, "context", "weights", "KV cache", "scratch", "total")
	for _, m := range d.Memory {
		fmt.Fprintf(&b, "%10d %10s %10s %10s %10s\n", m.Context, size(m.Weights), size(m.KV), size(m.Scratch), size(m.Total))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ends lists the tokens that end an answer, as far as their texts are known.
func (d description) ends() string {
	if len(d.EOS) == 0 {
		return "no token; answers go on to their limit"
	}
	parts := make([]string, len(d.EOS))
	for i, id := range d.EOS {
		parts[i] = fmt.Sprint(id)
		if i < len(d.EOSTexts) {
			parts[i] = fmt.Sprintf("%s (%d)", d.EOSTexts[i], id)
		}
	}
	return strings.Join(parts, ", ")
}

func (k bytesByKind) String() string {
	var parts []string
	for _, p := range []struct {
		name string
		n    int64
	}{
		{"codes", k.Codes}, {"codebooks and scales", k.Codebooks}, {"dense matrices", k.Dense}, {"embedding and head", k.Embedding}, {"other", k.Other},
	} {
		if p.n > 0 {
			parts = append(parts, p.name+" "+size(p.n))
		}
	}
	return strings.Join(parts, ", ")
}

func (t attentionFacts) String() string {
	text := fmt.Sprintf("%s of %d", plural(t.Heads, "head"), t.HeadDim)
	if t.KVHeads != t.Heads {
		text += fmt.Sprintf(", %d for keys and values", t.KVHeads)
	}
	if t.Window > 0 {
		text += fmt.Sprintf(", window of %d", t.Window)
	}
	return text
}

func (r ropeFacts) String() string {
	text := fmt.Sprintf("theta %s", number(r.Theta))
	if r.Scaling != "" && r.Scaling != "default" {
		text += ", " + r.Scaling + " scaling"
		if r.Factor > 0 {
			text += fmt.Sprintf(" by %s", number(r.Factor))
		}
	}
	return text
}

func (t tokenizerFacts) String() string {
	if t.Kind == "" {
		return "none that can be used: " + t.Why
	}
	text := fmt.Sprintf("%s, %s, %d of them special", t.Kind, plural(t.Tokens, "token"), t.Special)
	if t.AddsBOS {
		text += fmt.Sprintf("; texts begin with %q", t.BOS)
	}
	return text
}

func (t templateFacts) String() string {
	if t.Bytes == 0 {
		return "none: text is continued as it is"
	}
	tools := "without tools"
	if t.Tools {
		tools = "takes tools"
	}
	return fmt.Sprintf("%s, %d bytes, %s", t.Name, t.Bytes, tools)
}
