package catalogue

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9.-]+:[a-z0-9-]+$`)
	repo := regexp.MustCompile(`^[A-Za-z0-9-]+/[\w.-]+$`)
	scheme := regexp.MustCompile(`^([1-8])x(8|16)g(8|16|32)$`)
	names, repos := map[string]bool{}, map[string]bool{}
	for _, m := range All() {
		if names[m.Name] || repos[m.Repo] {
			t.Errorf("%s or %s stands in the table twice", m.Name, m.Repo)
		}
		names[m.Name], repos[m.Repo] = true, true
		if !name.MatchString(m.Name) || !repo.MatchString(m.Repo) || !scheme.MatchString(m.Scheme) || m.License == "" || m.Shape == "" {
			t.Errorf("%+v", m)
		}
		// The name on the hub says chat models, and so must we.
		if says := strings.Contains(strings.ToLower(m.Repo), "instruct") || m.Arch == "cohere"; says != m.Chat {
			t.Errorf("%s: chat %v", m.Repo, m.Chat)
		}
		if says := strings.Contains(m.Repo, "-PV-"); says && !m.Tuned {
			t.Errorf("%s: tuned %v", m.Repo, m.Tuned)
		}
		if strings.Contains(m.Name, "-base") && m.Chat {
			t.Errorf("%s is a chat model", m.Name)
		}
		if m.Size < 500e6 || m.Memory <= m.Size || m.Bits < 1 || m.Bits > 4.5 {
			t.Errorf("%s: size %d, memory %d, %.2f bits", m.Name, m.Size, m.Memory, m.Bits)
		}
		got, ok, err := Find(m.Name)
		if !ok || err != nil || got != m {
			t.Errorf("%s is found as %+v, %v", m.Name, got, err)
		}
		if got, ok := ByRepo(m.Repo); !ok || got != m {
			t.Errorf("%s is found as %+v", m.Repo, got)
		}
	}
	if len(names) < 50 {
		t.Errorf("only %d models", len(names))
	}
}

// TestPublishedSizes compares with sizes that people measured, in GB.
func TestPublishedSizes(t *testing.T) {
	for name, want := range map[string]float64{
		"llama2:7b-1x16g8": 2.38, "llama2:7b-1x16g16": 1.81, "llama2:7b-1x8g8": 1.34, "llama3.1:8b": 3.85, "llama3.1:8b-1x16g8": 4.08,
		"mistral:7b-base": 2.51, "mixtral:8x7b": 13.10, "phi3:mini": 1.44, "phi3:medium": 4.24, "qwen2:72b": 23.13, "qwen2:72b-1x16g16": 14.95,
		"llama2:70b": 18.8, "llama3:70b": 21.9, "llama3.2:1b": 0.77, "llama3.2:3b": 1.5, "gemma:2b": 1.55,
	} {
		m, ok, err := Find(name)
		if got := float64(m.Size) / 1e9; !ok || err != nil || got < 0.99*want || got > 1.01*want {
			t.Errorf("%s: %.2f GB, people measured %.2f", name, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	for name, want := range map[string]string{
		"llama3.1:8b": "llama3.1:8b", "LLAMA3.1:8B": "llama3.1:8b", "mistral": "mistral:7b", "mixtral": "mixtral:8x7b", "gemma": "gemma:2b",
		"qwen2": "qwen2:72b", "command-r": "command-r:35b", "command-r-plus": "command-r-plus:104b", "mistral-nemo": "mistral-nemo:12b",
		"phi3:mini": "phi3:mini", "": "", "llama": "", "8b": "", "llama3.1:": "", "llama3.1:8": "", ":8b": "",
	} {
		m, ok, err := Find(name)
		if ok != (want != "") || m.Name != want || err != nil {
			t.Errorf("%q: %s, %v, %v", name, m.Name, ok, err)
		}
	}
	for name, want := range map[string][]string{
		"llama3.1": {"llama3.1:8b", "llama3.1:70b"}, "llama3.2": {"llama3.2:1b", "llama3.2:3b"}, "phi3": {"phi3:mini", "phi3:medium"},
		"llama2": {"llama2:7b", "llama2:13b", "llama2:70b"},
	} {
		var ambiguous *AmbiguousError
		if _, ok, err := Find(name); !ok || !errors.As(err, &ambiguous) || !slices.Equal(ambiguous.Options, want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, option := range want { // what is offered can be taken
			if m, _, err := Find(option); err != nil || m.Name != option {
				t.Errorf("%s: %v", option, err)
			}
		}
	}
}

func TestNear(t *testing.T) {
	for name, want := range map[string]string{
		"lama3.1:8b": "llama3.1:8b", "llama-3.1-8b": "llama3.1:8b", "llama3.1": "llama3.1:8b", "mistal:7b": "mistral:7b", "mixtral8x7b": "mixtral:8x7b",
		"phi-3-mini": "phi3:mini", "my-modl": "my-model", "commandr35b": "command-r:35b",
	} {
		if near := Near(name, "my-model"); len(near) == 0 || near[0] != want || len(near) > 3 {
			t.Errorf("%s: %q, want %s first", name, near, want)
		}
	}
	for _, name := range []string{"", "x", "zebra", "Why is the sky blue?", "---"} {
		if near := Near(name); len(near) > 0 {
			t.Errorf("%q is near %q", name, near)
		}
	}
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"abc", "abc", 0}} {
		if distance(test.a, test.b) != test.want || distance(test.b, test.a) != test.want {
			t.Errorf("%q, %q: %d", test.a, test.b, distance(test.a, test.b))
		}
	}
}
