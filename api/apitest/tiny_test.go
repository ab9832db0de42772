package apitest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"aquifer/api"
	"aquifer/api/openai"
	"aquifer/backends"
	"aquifer/backends/cpu"
	"aquifer/backends/ref"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/models/modeltest"
	"aquifer/runtime/chat"
	"aquifer/runtime/engine"
	"aquifer/runtime/host"
	"aquifer/runtime/plan"
)

// tinyTemplate frames messages, writes calls as the Hermes models do and takes out reasoning, which enable_thinking opens.
const tinyTemplate = `{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ (m.content or '').split('</think>')[-1] }}{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking %}<think>
{% endif %}{% endif %}`

// tinyEngine loads a model of a few thousand random weights. What it writes is noise; what it must do with requests is not.
func tinyEngine(t testing.TB, template string) *engine.Engine {
	t.Helper()
	config := modeltest.TinyConfig()
	config["max_position_embeddings"] = 4096
	c, err := checkpoint.Open(modeltest.TinyLlama(t, map[string][]byte{"config.json": modeltest.JSON(t, config)}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.Build(c)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := c.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	format, err := chat.New(chat.Source{Template: template})
	if err != nil {
		t.Fatal(err)
	}
	var backend backends.Backend = ref.New(2)
	if kernels, err := cpu.Open(cpu.Config{Threads: 1}); err == nil {
		backend = kernels
	}
	e, err := engine.Load(t.Context(), engine.Config{
		ID: "tiny", Model: m, Checkpoint: c, Tokenizer: tok, Chat: format, Backend: backend, KV: plan.F32, Context: 4096,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := backend.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// slowly is a source with two more names: slow is the same model, which takes a while to load, and broken one that then
// can't be loaded.
type slowly struct{ openai.Source }

func (s slowly) Acquire(ctx context.Context, name string, keep *time.Duration) (openai.Model, func(), error) {
	if name == "slow" || name == "broken" {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return openai.Model{}, nil, ctx.Err()
		}
	}
	switch name {
	case "slow":
		name = "tiny"
	case "broken":
		return openai.Model{}, nil, &host.LoadError{ID: name, Err: &openai.PublicError{Msg: "its weights are noise"}}
	}
	return s.Source.Acquire(ctx, name, keep)
}

// serveTiny serves that model. At the second address, which is no part of the API, clients find how many requests are open.
func serveTiny(t *testing.T) (base, open string) {
	t.Helper()
	return serveTinyAs(t, tinyTemplate)
}

// serveTinyAs serves it with another template.
func serveTinyAs(t *testing.T, template string) (base, open string) {
	t.Helper()
	e := tinyEngine(t, template)
	source, err := openai.Fixed(openai.Model{ID: "tiny", Engine: openai.Use(e), Defaults: openai.Defaults()})
	if err != nil {
		t.Fatal(err)
	}
	base = serveSource(t, slowly{source}, api.Limits{Heartbeat: 50 * time.Millisecond})
	stats := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		got := e.Stats()
		_ = json.NewEncoder(w).Encode(got.Running + got.Queued)
	}))
	t.Cleanup(stats.Close)
	return base, stats.URL
}
