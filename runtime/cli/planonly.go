package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"aquifer/runtime/engine"
)

// planned is what --plan-only prints.
type planned struct {
	Model     string `json:"model_filename"`
	Type      string `json:"model_type"`
	Params    int64  `json:"model_n_params"`
	Backend   string `json:"backend"`
	Level     string `json:"level"`
	KVType    string `json:"type_kv"`
	Context   int    `json:"context"`
	Weights   int64  `json:"weights_bytes"`
	KV        int64  `json:"kv_bytes"`
	Scratch   int64  `json:"scratch_bytes"`
	Total     int64  `json:"total_bytes"`
	Available int64  `json:"available_bytes,omitempty"` // absent where the system does not say
	Fits      bool   `json:"fits"`
}

// planOnly says what loading a model would take, and fails if the machine does not have that. It closes the session.
func (a *app) planOnly(s settings, sess *session, o loadOptions) error {
	cfg, fallback, err := a.configure(sess, s, o)
	var e engine.Estimate
	if err == nil {
		err = a.orRef(sess, s, &cfg, fallback, func() error {
			e, err = engine.Measure(cfg)
			return err
		})
	}
	if err != nil {
		return errors.Join(adviseLoad(err), sess.close())
	}
	lack, info, m := e.Check(), sess.backend.Info(), e.Memory
	p := planned{
		Model: sess.model.Name, Type: sess.model.Arch + " " + sess.model.Scheme, Params: sess.model.Params,
		Backend: info.Name, Level: info.Level, KVType: fmt.Sprint(cfg.KV), Context: e.Context,
		Weights: m.Weights, KV: m.KV, Scratch: m.Scratch, Total: m.Total(), Available: e.Available, Fits: lack == nil,
	}
	if s.str("output") == "json" {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		err = enc.Encode(p)
	} else {
		err = p.print(a.out)
	}
	return errors.Join(err, adviseLoad(lack), sess.close())
}

func (p planned) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %.1f M parameters, %s %s\n", oneLine(p.Model), p.Type, float64(p.Params)/1e6, p.Backend, p.Level)
	row := func(name string, n int64, note string) { fmt.Fprintf(&b, "%-10s %10s%s\n", name, size(n), note) }
	row("weights", p.Weights, "")
	row("KV cache", p.KV, fmt.Sprintf("  (%s, context %d)", p.KVType, p.Context))
	row("scratch", p.Scratch, "")
	row("total", p.Total, "")
	if p.Available > 0 {
		verdict := "  (it fits)"
		if !p.Fits {
			verdict = "  (it does not fit)"
		}
		row("available", p.Available, verdict)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
