package plan

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Dump writes the plan as text, one weight, buffer, KV layer and op a line, so that a golden file shows what an
// architecture does and a diff shows what changed. The text is stable for equal plans; nothing parses it.
func (p *Plan) Dump(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "plan %s: vocab %d, positions %d\n", p.Name, p.Vocab, p.MaxPos)
	for i := range p.Weights {
		fmt.Fprintf(out, "weight %d %s\n", i, p.weightText(Weight(i)))
	}
	for i := range p.Buffers {
		b := &p.Buffers[i]
		fmt.Fprintf(out, "buffer %d %s (%s, %d)\n", i, b.Name, b.Rows, b.Width)
	}
	for i, l := range p.Layers {
		fmt.Fprintf(out, "kv %d (%d, %d)\n", i, l.Heads, l.Dim)
	}
	for i := range p.Ops {
		fmt.Fprintf(out, "op %d %s\n", i, p.opText(&p.Ops[i]))
	}
	for _, r := range []struct {
		name string
		buf  Buf
	}{{"logits", p.Logits}, {"features", p.Features}} {
		if r.buf >= 0 && int(r.buf) < len(p.Buffers) {
			fmt.Fprintf(out, "%s %s\n", r.name, p.Buffers[r.buf].Name)
		}
	}
	return out.Flush()
}

// String names the rows as Dump shows them.
func (r Rows) String() string {
	if r == PerToken {
		return "tokens"
	}
	return "outputs"
}

// String returns the lower-case name of the encoding.
func (e Encoding) String() string {
	switch e {
	case Dense:
		return "dense"
	case AQLM:
		return "aqlm"
	}
	return fmt.Sprintf("encoding(%d)", uint8(e))
}

func (p *Plan) weightText(w Weight) string {
	info := &p.Weights[w]
	text := fmt.Sprintf("%s (%d, %d) ", info.Name, info.Rows, info.Cols)
	if info.Encoding == AQLM {
		return text + fmt.Sprintf("%s codes %s codebooks %s scales %s", info.Scheme, info.Codes, info.Codebooks, info.Scales)
	}
	text += info.Type.String()
	if values, ok := p.Consts[w]; ok && len(values) > 0 {
		text += fmt.Sprintf(" const %.6g .. %.6g", values[0], values[len(values)-1])
	}
	return text
}

// opText writes "kind out, out <- in, in; role weight; parameters". An op that Validate would refuse is shown with
// the reason.
func (p *Plan) opText(op *Op) string {
	c := checkOp(p, op)
	var s strings.Builder
	s.WriteString(op.Kind.String())
	for i, w := range c.writes {
		s.WriteString([]string{" ", ", "}[min(i, 1)])
		s.WriteString(p.spanText(w))
	}
	for i, r := range c.reads {
		s.WriteString([]string{" <- ", ", "}[min(i, 1)])
		s.WriteString(p.spanText(r))
	}
	for _, w := range c.weights {
		if w.role == "" {
			continue // one of a numbered set, whose first is shown
		}
		fmt.Fprintf(&s, "; %s %s", w.role, p.Weights[w.w].Name)
	}
	if text := op.paramText(); text != "" {
		s.WriteString("; " + text)
	}
	if c.err != nil {
		fmt.Fprintf(&s, "; INVALID: %v", c.err)
	}
	return s.String()
}

func (p *Plan) spanText(s span) string {
	b := &p.Buffers[s.ref.Buf]
	if s.ref.Off == 0 && s.width == b.Width {
		return b.Name
	}
	return fmt.Sprintf("%s[%d:%d]", b.Name, s.ref.Off, int(s.ref.Off)+s.width)
}

// paramText names the parameters that say something; absent ones (no cap, no window, scale one) are left out.
func (op *Op) paramText() string {
	var parts []string
	add := func(show bool, format string, args ...any) {
		if show {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	switch op.Kind {
	case Embed, Add:
		add(op.F[0] != 1, "scale %g", op.F[0])
	case Norm:
		add(true, "%s eps %g", nameOf(op.I[2], "rms", "layer"), op.F[0])
		add(op.I[0] > 1, "parts %d", op.I[0])
		add(op.F[1] != 0, "gain+%g", op.F[1])
	case Rope:
		add(true, "%d heads of %d", op.I[0], op.I[1])
		add(op.I[2] != op.I[1], "rotated %d", op.I[2])
		add(true, "%s", nameOf(op.I[3], "half", "neighbours"))
		add(op.F[0] != 1, "factor %g", op.F[0])
		add(op.I[4] > 0, "long behind %d", op.I[4])
	case Attention:
		add(true, "kv %d, %d heads, scale %.6g", op.I[0], op.I[1], op.F[0])
		add(op.F[1] != 0, "cap %g", op.F[1])
		add(op.I[2] != 0, "window %d", op.I[2])
	case Glu:
		add(true, "%s", nameOf(op.I[0], "silu", "gelu-tanh", "gelu-erf"))
	case Scale:
		add(true, "scale %g", op.F[0])
		add(op.F[1] != 0, "cap %g", op.F[1])
	case Route:
		add(true, "%d of %d experts, softmax over %s", op.I[1], op.I[0], nameOf(op.I[2], "all", "chosen"))
	case Experts:
		add(true, "%d of %d experts", op.I[2], op.I[1])
		add(op.I[3] == 1, "a row for each slot")
	case Mix:
		add(true, "%d slots", op.I[1])
	}
	return strings.Join(parts, ", ")
}

func nameOf(i int32, names ...string) string {
	if i < 0 || int(i) >= len(names) {
		return fmt.Sprint(i)
	}
	return names[i]
}
