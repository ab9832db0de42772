package cli

import (
	"errors"
	"fmt"

	"aquifer/runtime/store"
)

// storeReport is the health of the store.
type storeReport struct {
	Path     string   `json:"path"`
	Models   int      `json:"models"`
	Bytes    int64    `json:"bytes"`
	Free     int64    `json:"free_bytes,omitempty"` // absent where it is not known, as for a store that does not exist yet
	Leftover int64    `json:"leftover_bytes"`       // what prune would remove
	Problems []string `json:"problems,omitempty"`   // models that are incomplete
	Why      string   `json:"why,omitempty"`        // why it can't be used
	Token    bool     `json:"token"`                // there is one for the hub
}

// diagnoseStore looks at the names and sizes in the store; contents are for verify.
func diagnoseStore() storeReport {
	var r storeReport
	if token, err := hubToken(); err == nil {
		r.Token = token != ""
	} else {
		r.Problems = append(r.Problems, err.Error())
	}
	st, err := openStore(false)
	if err != nil {
		r.Why = err.Error()
		return r
	}
	defer st.Close()
	r.Path = st.Dir()
	all, err := st.All()
	if err != nil {
		r.Why = err.Error()
		return r
	}
	for _, m := range all {
		if m.Broken != "" && m.Pulled {
			r.Problems = append(r.Problems, fmt.Sprintf("%s: %s; aquifer pull completes it", m.Repo, m.Broken))
			continue
		}
		if m.Broken == "" {
			r.Models++
			r.Bytes += m.Bytes
		}
	}
	if _, err := st.Aliases(); err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	if free, err := st.Free(); err == nil {
		r.Free = free
	}
	if p, err := st.Prune(true); err == nil {
		r.Leftover = p.Bytes
	} else if !errors.Is(err, store.ErrInUse) {
		r.Problems = append(r.Problems, err.Error())
	}
	return r
}

// lines are what doctor prints of it.
func (r storeReport) lines() []string {
	if r.Why != "" {
		return []string{"can't be used: " + r.Why}
	}
	text := fmt.Sprintf("%s: %s, %s", r.Path, plural(r.Models, "model"), size(r.Bytes))
	if r.Free > 0 {
		text += fmt.Sprintf(", %s free", size(r.Free))
	}
	lines := []string{text}
	if r.Leftover > 0 {
		lines = append(lines, fmt.Sprintf("%s are of use to no model; aquifer prune removes them", size(r.Leftover)))
	}
	if r.Token {
		lines = append(lines, "there is a token for the hub")
	}
	return append(lines, r.Problems...)
}
