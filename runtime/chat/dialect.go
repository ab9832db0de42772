package chat

import (
	"regexp"
	"strings"
)

// A dialect is a way to write calls of tools.
type dialect struct {
	name string
	form dialectForm
	// open are the marks that calls begin with, one of them; close, if not empty, is the mark they end with. A mark is as
	// it is spelled, or the byte that stands for its control token, see Format.mark.
	open  []string
	close string
	// Keys of an object that is a call.
	nameKey, argsKey string
	id               string // regular expression of a member with an identifier that may stand behind the arguments
	firstID          string // likewise in front of the name
	before           string // framed: what stands in front of a name
	args             string // named, framed: the mark between a name and its arguments
	after            string // named, framed: the mark behind the arguments
	tags             *tags  // tagged: the marks of names and arguments
	direct           string // name of the call that stands for an answer without calls

	start *regexp.Regexp // bare: the begin of a call
}

type dialectForm uint8

const (
	each       dialectForm = iota // open object close, for each call
	listed                        // open [object, object, ...] close
	bare                          // one object, which is the whole answer
	named                         // open name args arguments after, for each call
	framed                        // open (before name args arguments after)... close
	tagged                        // each, with arguments one by one in place of the object
	channelled                    // a message with the function as its recipient
)

// The dialects that are known, before their marks are looked up in a vocabulary.
var (
	hermes = dialect{name: "Hermes", form: each, open: []string{"<tool_call>"}, close: "</tool_call>", nameKey: "name", argsKey: "arguments"}
	llama  = dialect{name: "Llama 3", form: bare, open: []string{"<|python_tag|>"}, nameKey: "name", argsKey: "parameters"}

	mistral = dialect{
		name: "Mistral", form: listed, open: []string{"[TOOL_CALLS]"}, nameKey: "name", argsKey: "arguments",
		id: `"id": ?"[0-9A-Za-z]{1,64}"`,
	}

	commandR = dialect{
		name: "Command-R", form: listed, open: []string{"Action: ```json", "Action:\n```json"}, close: "```",
		nameKey: "tool_name", argsKey: "parameters", direct: "directly-answer",
	}
	commandR7B = dialect{
		name: "Command-R7B", form: listed, open: []string{"<|START_ACTION|>"}, close: "<|END_ACTION|>",
		nameKey: "tool_name", argsKey: "parameters", firstID: `"tool_call_id": ?"[0-9]{1,4}"`,
	}
	phi = dialect{
		name: "Phi-4", form: listed, open: []string{"<|tool_call|>"}, close: "<|/tool_call|>", nameKey: "name", argsKey: "arguments",
	}
	granite  = dialect{name: "Granite", form: listed, open: []string{"<|tool_call|>"}, nameKey: "name", argsKey: "arguments"}
	nemotron = dialect{name: "Nemotron", form: listed, open: []string{"<TOOLCALL>"}, close: "</TOOLCALL>", nameKey: "name", argsKey: "arguments"}
	apriel   = dialect{
		name: "Apriel", form: listed, open: []string{"<tool_calls>"}, close: "</tool_calls>", nameKey: "name", argsKey: "arguments",
		id: `"id": ?"[0-9A-Za-z_-]{1,64}"`,
	}
)

// Dialects whose whole call is looked for.
var spelled = []*dialect{
	{name: "Mistral with arguments apart", form: named, open: []string{"[TOOL_CALLS]"}, args: "[ARGS]"},
	{
		name: "DeepSeek", form: framed, open: []string{"<｜tool▁calls▁begin｜>"}, close: "<｜tool▁calls▁end｜>",
		before: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", args: "\n```json\n", after: "\n```<｜tool▁call▁end｜>",
	},
	{
		name: "DeepSeek V3.1", form: framed, open: []string{"<｜tool▁calls▁begin｜>"}, close: "<｜tool▁calls▁end｜>",
		before: "<｜tool▁call▁begin｜>", args: "<｜tool▁sep｜>", after: "<｜tool▁call▁end｜>",
	},
	{name: "Functionary 3.1", form: named, open: []string{"<function="}, args: ">", after: "</function>"},
	{name: "Qwen3-Coder", form: tagged, open: []string{"<tool_call>"}, close: "</tool_call>", tags: &tags{
		nameOpen: "<function=", nameClose: ">", keyOpen: "<parameter=", keyClose: ">", valueClose: "</parameter>", end: "</function>",
	}},
	{name: "Seed-OSS", form: tagged, open: []string{"<seed:tool_call>"}, close: "</seed:tool_call>", tags: &tags{
		nameOpen: "<function=", nameClose: ">", keyOpen: "<parameter=", keyClose: ">", valueClose: "</parameter>", end: "</function>",
	}},
	{name: "MiniMax-M2", form: tagged, open: []string{"<minimax:tool_call>"}, close: "</minimax:tool_call>", tags: &tags{
		nameOpen: `<invoke name="`, nameClose: `">`, keyOpen: `<parameter name="`, keyClose: `">`, valueClose: "</parameter>", end: "</invoke>", inside: true,
	}},
	dsml("tool_calls"), dsml("function_calls"),
	{name: "GLM-4.5", form: tagged, open: []string{"<tool_call>"}, close: "</tool_call>", tags: &tags{
		keyOpen: "<arg_key>", keyClose: "</arg_key>", valueOpen: "<arg_value>", valueClose: "</arg_value>",
	}},
}

// dsml is the form of DeepSeek's models from V3.2 on, with the name of the mark around the calls.
func dsml(mark string) *dialect {
	return &dialect{name: "DeepSeek V3.2", form: tagged, open: []string{"<｜DSML｜" + mark + ">"}, close: "</｜DSML｜" + mark + ">", tags: &tags{
		nameOpen: `<｜DSML｜invoke name="`, nameClose: `">`, keyOpen: `<｜DSML｜parameter name="`, keyClose: `">`,
		isRaw: `" string="true`, isJSON: `" string="false`, valueClose: "</｜DSML｜parameter>", end: "</｜DSML｜invoke>", inside: true,
	}}
}

// Needles, for probing a template.
const (
	needleTool  = "needle_tool"
	needleKey   = "needle_key"
	needleValue = "needle_value"
	needleArgs  = `{"` + needleKey + `": "` + needleValue + `"}`
	needleID    = "needle123"
	needleText  = "Needle text."
)

var (
	shownArgs = regexp.MustCompile(`\{\s*"needle_key":\s*"needle_value"\s*\}`)
	shownCall = regexp.MustCompile(`"(\w+)":\s*"needle_tool",\s*"(\w+)":\s*\{\s*"needle_key"`)
)

// recognise returns the dialect of a call of the needle; nil for one that is not known.
func recognise(text string) *dialect {
	if shownMessage.MatchString(text) {
		return &harmony
	}
	for _, d := range spelled {
		call := d.shown().FindString(text)
		if call == "" {
			continue
		}
		if d.tags == nil {
			return d
		}
		own, marks := *d, *d.tags
		marks.lines = strings.Contains(call, "\n"+needleValue)
		own.tags = &marks
		return &own
	}
	if !shownArgs.MatchString(text) {
		return nil
	}
	keys := shownCall.FindStringSubmatch(text)
	if keys == nil {
		return nil
	}
	for _, d := range []*dialect{&mistral, &hermes, &commandR, &commandR7B, &phi, &nemotron, &apriel} {
		for _, open := range d.open {
			// Only white space, brackets and identifiers stand between the mark and the call.
			i := strings.Index(text, open)
			if i < 0 || d.close != "" && !strings.Contains(text[i+len(open):], d.close) {
				continue
			}
			between := text[i+len(open) : strings.Index(text, keys[0])]
			if d.form == each && strings.Contains(between, "[") || d.form == listed && !strings.Contains(between, "[") {
				continue
			}
			return d.withKeys(keys)
		}
	}
	if i := strings.Index(text, keys[0]); keys[2] == "parameters" && strings.HasSuffix(strings.TrimSpace(text[:i]), "{") {
		return &llama
	}
	return nil
}

func (d *dialect) withKeys(keys []string) *dialect {
	own := *d
	own.nameKey, own.argsKey = keys[1], keys[2]
	return &own
}

// resolve returns the dialect with its marks as the vocabulary has them.
func (f *Format) resolve(d *dialect) *dialect {
	own := *d
	own.open = nil
	for _, open := range d.open {
		own.open = append(own.open, f.mark(open))
	}
	own.close, own.before, own.args, own.after = f.mark(d.close), f.mark(d.before), f.mark(d.args), f.mark(d.after)
	if d.tags != nil {
		g := *d.tags
		for _, mark := range []*string{&g.nameOpen, &g.nameClose, &g.keyOpen, &g.keyClose, &g.valueOpen, &g.valueClose, &g.end} {
			*mark = f.mark(*mark)
		}
		own.tags = &g
	}
	own.start = regexp.MustCompile(`^\{[ \t\r\n]*"` + regexp.QuoteMeta(d.nameKey) + `"[ \t\r\n]*:`)
	return &own
}

// controls are the marks that can be control tokens. In texts that are read here a control token is one byte, which no
// UTF-8 has: so what a model spells out is never taken for one, and nothing of one gets into a text.
var controls = []string{
	"<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "<|START_ACTION|>", "<|END_ACTION|>", "<|tool_call|>",
	"<|/tool_call|>", "<think>", "</think>", "[THINK]", "[/THINK]", "<|START_THINKING|>", "<|END_THINKING|>",
	"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>",
	"｜DSML｜", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>",
	"<|start|>", "<|end|>", "<|channel|>", "<|constrain|>", "<|message|>",
}

// FirstControl is the byte of the first control token of a format; UTF-8 has no byte from there on.
const FirstControl = 0xF8

// findControls gives each control token that a vocabulary has its byte.
func findControls(token func(string) (known, control bool)) map[string]byte {
	found := map[string]byte{}
	for _, text := range controls {
		if _, control := token(text); control && FirstControl+len(found) <= 0xFF {
			found[text] = byte(FirstControl + len(found))
		}
	}
	return found
}

// Controls returns the spellings of the control tokens that answers are taken apart at, and the byte that stands for each
// in what a Reader reads and a grammar accepts. The map must not be changed.
func (f *Format) Controls() map[string]byte { return f.controls }

// mark returns how a mark is found in an answer.
func (f *Format) mark(text string) string {
	for token, b := range f.controls {
		text = strings.ReplaceAll(text, token, string([]byte{b}))
	}
	return text
}

// isControl reports whether a mark begins with a control token's byte, so that it is in no text.
func isControl(mark string) bool { return mark != "" && mark[0] >= FirstControl }
