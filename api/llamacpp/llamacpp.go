// Package llamacpp serves what clients of llama.cpp's server read besides OpenAI's dialect: /props, which says what is
// served and with which defaults, and /slots, which shows what runs. Names and forms are those of llama.cpp's server; what
// has no meaning here is left out rather than made up. Neither shows a prompt, an answer or a path. It imports api/openai
// for the models and the errors, and runtime/engine for its types.
package llamacpp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"aquifer/api/openai"
	"aquifer/runtime/engine"
)

// Config of a Handler.
type Config struct {
	Find         func(id string) (openai.Model, *openai.Error) // "" is the model of requests that name none
	Build        string                                        // version of the program
	WriteTimeout time.Duration                                 // for an answer
}

// Handler serves the routes.
type Handler struct{ cfg Config }

// New returns a handler.
func New(cfg Config) *Handler { return &Handler{cfg} }

// props has the answer of /props.
type props struct {
	Defaults   generation `json:"default_generation_settings"`
	Slots      int        `json:"total_slots"`
	Alias      string     `json:"model_alias"`
	Path       string     `json:"model_path"` // a name; clients show its last part
	FType      string     `json:"model_ftype"`
	Modalities modalities `json:"modalities"`
	Slotted    bool       `json:"endpoint_slots"`
	Settable   bool       `json:"endpoint_props"`
	Metrics    bool       `json:"endpoint_metrics"`
	Template   string     `json:"chat_template"`
	BOS        string     `json:"bos_token"`
	EOS        string     `json:"eos_token"`
	Build      string     `json:"build_info"`
	Sleeping   bool       `json:"is_sleeping"`
}

type generation struct {
	Params  params `json:"params"`
	Context int    `json:"n_ctx"`
}

type modalities struct {
	Vision bool `json:"vision"`
	Audio  bool `json:"audio"`
	Video  bool `json:"video"`
}

// Props serves GET /props. The query may name a model.
func (h *Handler) Props(w http.ResponseWriter, r *http.Request) {
	m, e := h.cfg.Find(r.URL.Query().Get("model"))
	if e != nil {
		openai.WriteError(w, e)
		return
	}
	info := m.Engine.Info()
	_, slotted := m.Engine.(slotter)
	h.write(w, props{
		Defaults: generation{paramsOf(m.Defaults), info.Context}, Slots: info.MaxSeqs, Alias: m.ID, Path: info.Name, FType: info.Scheme,
		Slotted: slotted, Metrics: true, Template: info.Template, BOS: info.BOS, EOS: info.EOS, Build: h.cfg.Build,
	})
}

// slotter is an engine that says what it runs.
type slotter interface{ Slots() []engine.Slot }

type slot struct {
	ID          int         `json:"id"`
	Context     int         `json:"n_ctx"`
	Speculative bool        `json:"speculative"`
	Busy        bool        `json:"is_processing"`
	Task        int64       `json:"id_task"` // -1 for none
	Prompt      int         `json:"n_prompt_tokens"`
	Run         int         `json:"n_prompt_tokens_processed"`
	Cached      int         `json:"n_prompt_tokens_cache"`
	Params      *params     `json:"params,omitempty"`
	Next        []nextToken `json:"next_token"`
}

type nextToken struct {
	More    bool `json:"has_next_token"`
	Left    int  `json:"n_remain"`
	Decoded int  `json:"n_decoded"`
}

// Slots serves GET /slots. The query may name a model; with fail_on_no_slot the status is 503 when all are busy.
func (h *Handler) Slots(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	m, e := h.cfg.Find(query.Get("model"))
	if e != nil {
		openai.WriteError(w, e)
		return
	}
	source, ok := m.Engine.(slotter)
	if !ok {
		openai.WriteError(w, openai.Invalid(http.StatusNotImplemented, "not_supported", "", "this model's engine has no slots"))
		return
	}
	info, slots := m.Engine.Info(), source.Slots()
	list, free := make([]slot, len(slots)), 0
	for i, s := range slots {
		list[i] = slot{ID: i, Context: info.Context, Speculative: info.Speculate > 0, Task: -1, Next: []nextToken{}}
		if !s.Busy {
			free++
			continue
		}
		p := paramsOf(s.Sampling)
		list[i].Busy, list[i].Task, list[i].Prompt, list[i].Run, list[i].Cached = true, s.Sequence, s.Prompt, s.Run-s.Cached, s.Cached
		list[i].Params, list[i].Next = &p, []nextToken{{s.Left > 0, s.Left, s.Generated}}
	}
	if on, _ := strconv.ParseBool(query.Get("fail_on_no_slot")); on && free == 0 {
		openai.WriteError(w, openai.Unavailable("no_slot_available", "all slots are busy", time.Second))
		return
	}
	h.write(w, list)
}

func (h *Handler) write(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a float that JSON does not have, which the checks of requests keep out
		openai.WriteError(w, openai.Internal())
		return
	}
	// Writers without deadlines are those of tests.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.cfg.WriteTimeout))
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // the client may be gone
}
