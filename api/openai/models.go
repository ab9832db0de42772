package openai

import "net/http"

// Models serves GET /v1/models.
func (h *Handler) Models(w http.ResponseWriter, _ *http.Request) {
	list := h.models.Load()
	if list == nil {
		WriteError(w, loading())
		return
	}
	data := make([]modelObject, len(*list))
	for i, m := range *list {
		data[i] = m.object()
	}
	writeJSON(w, http.StatusOK, modelList{Object: "list", Data: data}, h.cfg.WriteTimeout)
}

// Model serves GET /v1/models/{id}. An id may contain slashes.
func (h *Handler) Model(w http.ResponseWriter, _ *http.Request, id string) {
	m, e := h.find(id)
	if e != nil {
		WriteError(w, e)
		return
	}
	writeJSON(w, http.StatusOK, m.object(), h.cfg.WriteTimeout)
}

func (m served) object() modelObject {
	return modelObject{ID: m.ID, Object: "model", Created: m.Created.Unix(), OwnedBy: "aquifer"}
}
