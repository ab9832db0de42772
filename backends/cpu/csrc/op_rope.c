// Rotary positions. Angles are position x frequency in float32, as the implementations that models were trained with
// compute them; sine and cosine of that float32 are then taken in double. They depend on the token's position only,
// so they are computed once a step for each table of frequencies, not once a layer.
#include <math.h>

#include "aq.h"

enum { UNIT_TOKENS = 8 };

static void angles_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const rope_slot *s = &p->slots[c->slot];
	const float *short_freq = p->weights[s->weight].values;
	const float *long_freq = s->limit ? p->weights[s->long_weight].values : short_freq;
	const int32_t half = s->rotated / 2;
	for (int32_t t = unit * UNIT_TOKENS; t < min_i32((unit + 1) * UNIT_TOKENS, p->run.n_tokens); t++) {
		float *cos_sin = s->cos_sin + (int64_t)t * s->rotated;
		const float *freq = p->seqs[p->token_seq[t]].length > s->limit ? long_freq : short_freq;
		for (int32_t i = 0; i < half; i++) {
			const double angle = (float)p->token_pos[t] * freq[i];
			cos_sin[i] = (float)cos(angle) * s->factor;
			cos_sin[half + i] = (float)sin(angle) * s->factor;
		}
	}
}

static void rope_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const rope_slot *s = &p->slots[c->slot];
	for (int32_t t = unit * UNIT_TOKENS; t < min_i32((unit + 1) * UNIT_TOKENS, p->run.n_tokens); t++) {
		p->k->rope(ref_data(p, c->op.in[0]) + t * ref_stride(p, c->op.in[0]), s->cos_sin + (int64_t)t * s->rotated,
			c->op.i[0], c->op.i[1], c->op.i[2], c->op.i[3]);
	}
}

bool rope_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	rope_slot *s = &p->slots[c->slot];
	out->units = (p->run.n_tokens + UNIT_TOKENS - 1) / UNIT_TOKENS;
	if (phase == 0) {
		out->run = angles_run;
		out->small = p->run.n_tokens * s->rotated <= 512;
		if (s->step == p->step) {
			out->units = 0;
		}
		s->step = p->step;
		return true;
	}
	out->run = rope_run;
	out->small = (int64_t)p->run.n_tokens * c->op.i[0] * c->op.i[1] <= AQ_SMALL;
	return phase == 1;
}
