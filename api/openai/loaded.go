package openai

import (
	"net/http"
	"slices"
	"time"
)

// Loaded describes the models in memory.
func (h *Handler) Loaded() []Loaded { return h.cfg.Source.Loaded() }

// Find returns a model in memory by its name or an alias, the first one for "". It loads nothing: who looks does not
// want to change what there is. The error is an answer to the client.
func (h *Handler) Find(name string) (Model, *Error) {
	known := name == ""
	if models, err := h.cfg.Source.Models(); err == nil && !known {
		for _, m := range models {
			if m.ID == name || slices.Contains(m.Aliases, name) {
				known, name = true, m.ID
				break
			}
		}
	}
	if !known {
		return Model{}, h.noModel()
	}
	for _, l := range h.cfg.Source.Loaded() {
		if l.Engine != nil && (name == "" || l.ID == name) {
			return Model{ID: l.ID, Engine: l.Engine, Defaults: l.Defaults}, nil
		}
	}
	return Model{}, &Error{
		Status: http.StatusServiceUnavailable, Type: serverError, Code: "model_not_loaded",
		Message: "this model is not in memory; a request for an answer loads it", RetryAfter: 5 * time.Second,
	}
}
