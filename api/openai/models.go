package openai

import (
	"net/http"
	"slices"
	"time"

	"aquifer/runtime/host"
)

// Models serves GET /v1/models.
func (h *Handler) Models(w http.ResponseWriter, r *http.Request) {
	data, e := h.list(w, r)
	if e != nil {
		WriteError(w, e)
		return
	}
	writeJSON(w, http.StatusOK, modelList{Object: "list", Data: data}, h.cfg.WriteTimeout)
}

// Model serves GET /v1/models/{id}. An id may contain slashes; an alias will do as well.
func (h *Handler) Model(w http.ResponseWriter, r *http.Request, id string) {
	data, e := h.list(w, r)
	if e != nil {
		WriteError(w, e)
		return
	}
	i := slices.IndexFunc(data, func(m modelObject) bool { return m.ID == id || slices.Contains(m.Aliases, id) })
	if i < 0 {
		WriteError(w, h.noModel())
		return
	}
	writeJSON(w, http.StatusOK, data[i], h.cfg.WriteTimeout)
}

func (h *Handler) list(w http.ResponseWriter, r *http.Request) ([]modelObject, *Error) {
	models, err := h.cfg.Source.Models()
	if err != nil {
		return nil, h.report(w, r, err)
	}
	status := map[string]string{}
	for _, l := range h.cfg.Source.Loaded() {
		status[l.ID] = statusOf(l.Phase)
	}
	data := make([]modelObject, len(models))
	for i, m := range models {
		data[i] = modelObject{ID: m.ID, Object: "model", Created: max(m.Created.Unix(), 0), OwnedBy: "aquifer", Aliases: m.Aliases}
		data[i].Status.Value = "unloaded"
		if s, ok := status[m.ID]; ok {
			data[i].Status.Value = s
		}
	}
	return data, nil
}

// statusOf is a phase in llama.cpp's words, where a phase has one.
func statusOf(p host.Phase) string {
	switch p {
	case host.Ready:
		return "loaded"
	case host.Loading:
		return "loading"
	}
	return "unloading"
}

// Running serves GET /ps: the models in memory.
func (h *Handler) Running(w http.ResponseWriter, _ *http.Request) {
	list := Running{Models: []RunningModel{}}
	for _, l := range h.cfg.Source.Loaded() {
		list.Models = append(list.Models, running(l))
	}
	writeJSON(w, http.StatusOK, list, h.cfg.WriteTimeout)
}

// Running is the answer to GET /ps.
type Running struct {
	Models []RunningModel `json:"models"`
}

// RunningModel is a model in memory, or on its way there.
type RunningModel struct {
	ID        string     `json:"id"`
	Status    string     `json:"status"`     // loading, loaded or unloading
	Progress  float64    `json:"progress"`   // 0 to 1
	Bytes     int64      `json:"bytes"`      // it takes; 0 while it loads
	Backend   string     `json:"backend"`    // with the level
	Scheme    string     `json:"scheme"`     // of the weights
	Context   int        `json:"context"`    // tokens of a conversation
	Requests  int        `json:"requests"`   // that use it now
	Pinned    bool       `json:"pinned"`     // it stays for good
	ExpiresAt *time.Time `json:"expires_at"` // null while it is used, and for one that stays
}

func running(l Loaded) RunningModel {
	m := RunningModel{ID: l.ID, Status: statusOf(l.Phase), Requests: l.Requests, Pinned: l.Pinned}
	if l.Total > 0 {
		m.Progress = float64(l.Done) / float64(l.Total)
	}
	if !l.Until.IsZero() {
		until := l.Until.UTC()
		m.ExpiresAt = &until
	}
	if l.Engine == nil {
		return m
	}
	info := l.Engine.Info()
	m.Progress, m.Bytes, m.Scheme, m.Context = 1, info.Memory.Total(), info.Scheme, info.Context
	m.Backend = info.Backend.Name
	if info.Backend.Level != "" {
		m.Backend += " " + info.Backend.Level
	}
	return m
}

// Health is what monitors are told. It names no models: everybody may ask.
type Health struct {
	Status   string   `json:"status"`             // ok, or loading until the models that stay are there
	Progress *float64 `json:"progress,omitempty"` // of what is being loaded, 0 to 1
}

// Health says how the handler is.
func (h *Handler) Health() Health {
	health := Health{Status: "ok"}
	var done, total int64
	for _, l := range h.cfg.Source.Loaded() {
		if l.Phase == host.Loading {
			done, total = done+l.Done, total+l.Total
		}
		if l.Pinned && l.Phase != host.Ready {
			health.Status = "loading"
		}
	}
	if total > 0 {
		part := float64(done) / float64(total)
		health.Progress = &part
	}
	return health
}
