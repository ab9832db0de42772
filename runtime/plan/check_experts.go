package plan

import (
	"fmt"
	"slices"
)

// maxExperts bounds the experts of a layer; their numbers are exact in float32 up to 2^24.
const maxExperts = 1 << 12

// choice is what a Route op writes and Experts and Mix read.
type choice struct {
	at             Ref
	experts, slots int32
}

func (c *opCheck) small(i int, name string, most int64) int64 {
	n := c.count(i, name)
	if n > most {
		c.fail("%s is %d, must be 1..%d", name, n, most)
	}
	return min(n, most)
}

// flag notes I[i] as 0 or 1.
func (c *opCheck) flag(i int, name string) bool {
	c.enum(i, name, 1)
	return c.op.I[i] == 1
}

func (c *opCheck) route() {
	experts := c.small(0, "experts", maxExperts)
	slots := c.small(1, "slots", experts)
	c.flag(2, "softmax")
	c.read(0, experts)
	c.write(0, 2*slots)
	c.choice = &choice{c.op.Out[0], int32(experts), int32(slots)}
}

func (c *opCheck) experts() {
	n := c.small(0, "outputs", int64(len(c.op.Out)))
	experts := c.small(1, "experts", maxExperts)
	slots := c.small(2, "slots", experts)
	inputs := int64(1)
	if c.flag(3, "apart") {
		inputs = slots
	}
	for i := range int(n) {
		first := c.weight(i, fmt.Sprintf("experts %d", i))
		if first == nil {
			return
		}
		if shared := &c.p.Weights[c.op.W[0]]; first.Cols != shared.Cols {
			c.fail("weights %q and %q have %d and %d columns", shared.Name, first.Name, shared.Cols, first.Cols)
			return
		}
		if int64(c.op.W[i])+experts > int64(len(c.p.Weights)) {
			c.fail("experts %d are weights from %d on, there are %d", i, c.op.W[i], len(c.p.Weights))
			return
		}
		for e := 1; e < int(experts); e++ {
			w := &c.p.Weights[int(c.op.W[i])+e]
			if w.Rows != first.Rows || w.Cols != first.Cols {
				c.fail("weights %q and %q of one set of experts differ in shape", first.Name, w.Name)
				return
			}
			c.weights = append(c.weights, weightUse{"", c.op.W[i] + Weight(e)})
		}
		c.write(i, slots*int64(first.Rows))
		if i == 0 {
			c.read(0, inputs*int64(first.Cols))
		}
	}
	c.routed(experts, slots)
}

func (c *opCheck) mix() {
	width := c.count(0, "width")
	slots := c.small(1, "slots", maxExperts)
	c.read(0, slots*width)
	c.write(0, width)
	c.routed(0, slots)
}

// routed notes In[1] as the result of a Route; experts 0 stands for any number of them.
func (c *opCheck) routed(experts, slots int64) {
	c.read(1, 2*slots)
	c.choice = &choice{c.op.In[1], int32(experts), int32(slots)}
}

// choices keeps account of the results of Route ops that no later op has written over, so that the numbers of experts
// that a backend reads out of a buffer are known to be some.
type choices []choice

// follow takes the next op. It fails if the op reads a choice that nothing made.
func (l *choices) follow(c *opCheck) error {
	if c.op.Kind == Experts || c.op.Kind == Mix {
		found := slices.ContainsFunc(*l, func(made choice) bool {
			return made.at == c.choice.at && made.slots == c.choice.slots &&
				(c.choice.experts == 0 || made.experts == c.choice.experts)
		})
		if !found {
			return fmt.Errorf("in1 is not the result of a route over as many experts and slots")
		}
	}
	*l = slices.DeleteFunc(*l, func(made choice) bool {
		at := span{ref: made.at, width: 2 * int(made.slots)}
		return slices.ContainsFunc(c.writes, at.overlaps)
	})
	if c.op.Kind == Route {
		*l = append(*l, *c.choice)
	}
	return nil
}
