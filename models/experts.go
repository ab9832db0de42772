package models

import (
	"fmt"

	"aquifer/runtime/plan"
)

// experts is a mixture in place of a gated block. Slots are the experts that each row uses.
type experts struct {
	*decoder
	plan.RouteParams
	scores rows // (experts) logits of the router
	routes rows // (2*slots) chosen experts and their weights
	gates  rows // (slots*inner)
	ups    rows // (slots*inner)
	downs  rows // (slots*hidden)
}

func newExperts(m *decoder, p plan.RouteParams) *experts {
	return &experts{
		decoder: m, RouteParams: p, scores: m.rows("scores", p.Experts), routes: m.rows("routes", 2*p.Slots),
		gates: m.rows("gates", p.Slots*m.inner), ups: m.rows("ups", p.Slots*m.inner), downs: m.rows("downs", p.Slots*m.hidden),
	}
}

// mix runs the experts on h and writes to d.
func (x *experts) mix(prefix string) {
	h, routes := x.now(x.h, 0), x.now(x.routes, 0)
	gates, ups, downs := x.now(x.gates, 0), x.now(x.ups, 0), x.now(x.downs, 0)
	x.Linear(h, plan.Output{To: x.now(x.scores, 0), W: x.matrix(prefix+"gate", x.Experts, x.hidden), Bias: plan.None})
	x.Route(routes, x.now(x.scores, 0), x.RouteParams)
	x.Builder.Experts(
		h, routes, false, x.RouteParams,
		plan.ExpertOutput{To: gates, First: x.set(prefix, "w1", x.inner, x.hidden)},
		plan.ExpertOutput{To: ups, First: x.set(prefix, "w3", x.inner, x.hidden)},
	)
	x.Glu(gates, gates, ups, plan.SiLU, x.Slots*x.inner)
	x.Builder.Experts(gates, routes, true, x.RouteParams, plan.ExpertOutput{To: downs, First: x.set(prefix, "w2", x.hidden, x.inner)})
	x.Mix(x.now(x.d, 0), downs, routes, x.Slots, x.hidden)
}

// set binds one matrix of every expert, which get consecutive numbers, and returns the first.
func (x *experts) set(prefix, name string, rows, cols int) plan.Weight {
	first := plan.Weight(plan.None)
	for e := range x.Experts {
		w := x.linear(fmt.Sprintf("%sexperts.%d.%s", prefix, e, name), rows, cols)
		if e == 0 {
			first = w
		}
	}
	return first
}
