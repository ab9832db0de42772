// Mixtures of experts: route, experts, mix.
//
// experts sorts the slots of all rows by the expert in them. Each expert that some row chose is a product over its rows
// (product.c), so an expert's weights are read once a step and experts that nobody chose not at all. Rows of an expert
// are gathered to lie one behind the other, and its results are scattered back; the row of an expert that has only
// one, as in decoding a single sequence, is read and written in place.
#include <math.h>
#include <string.h>

#include "aq.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

int32_t experts_uses(const program *p, const aq_op *op) {
	return max_i32(p->args.max_tokens, p->args.max_outputs) * op->i[2];
}

// experts_partials makes room for the tables of one full set of table tokens, whichever experts they choose: more of
// them are multiplied as panels.
int64_t experts_partials(const program *p, const aq_op *op) {
	const int32_t uses = min_i32(experts_uses(p, op), max_i32(AQ_TABLE_LANES, op->i[2]));
	int64_t n = 0;
	for (int32_t i = 0; i < op->i[0]; i++) {
		int64_t most = 0;
		for (int32_t e = 0; e < op->i[1]; e++) {
			most = max_i64(most, product_partials(p, &p->weights[op->w[i] + e], 1));
		}
		n += uses * most;
	}
	return n;
}

// experts_results returns the floats of all gathered results of the op.
int64_t experts_results(const program *p, const aq_op *op) {
	int64_t n = 0;
	for (int32_t i = 0; i < op->i[0]; i++) {
		n += (int64_t)experts_uses(p, op) * p->weights[op->w[i]].info.rows;
	}
	return n;
}

// ---- route ----------------------------------------------------------------------------------------------------------

// before says whether logit a comes before b: the larger first, NaN last.
static bool before(float a, float b) { return a > b || (isnan(b) && !isnan(a)); }

static void route_row(const aq_op *op, const float *logits, float *out) {
	const int32_t experts = op->i[0], slots = op->i[1];
	for (int32_t s = 0; s < slots; s++) {
		int32_t best = -1;
		for (int32_t e = 0; e < experts; e++) {
			bool taken = false;
			for (int32_t i = 0; i < s; i++) {
				taken |= (int32_t)out[i] == e;
			}
			if (!taken && (best < 0 || before(logits[e], logits[best]))) {
				best = e;
			}
		}
		out[s] = (float)best;
	}
	double top = -INFINITY, sum = 0;
	bool broken = false;
	const int32_t n = op->i[2] ? slots : experts;
	for (int32_t i = 0; i < n; i++) {
		const float v = logits[op->i[2] ? (int32_t)out[i] : i];
		broken |= isnan(v);
		top = v > top ? v : top;
	}
	for (int32_t i = 0; i < n; i++) {
		sum += exp(logits[op->i[2] ? (int32_t)out[i] : i] - top);
	}
	for (int32_t s = 0; s < slots; s++) {
		out[slots + s] = broken ? NAN : (float)(exp(logits[(int32_t)out[s]] - top) / sum);
	}
}

static void route_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const aq_ref to = c->op.out[0], from = c->op.in[0];
	route_row(&c->op, ref_data(p, from) + unit * ref_stride(p, from), ref_data(p, to) + unit * ref_stride(p, to));
}

bool route_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	out->run = route_run;
	out->units = buffer_rows(p, c->op.out[0].buffer);
	out->small = (int64_t)out->units * c->op.i[0] * c->op.i[1] <= AQ_SMALL;
	return phase == 0;
}

// ---- experts --------------------------------------------------------------------------------------------------------

// expert_of reads the expert in a slot. A step that starts in the middle of a plan may find anything in the buffer, so
// the number is bounded once more.
static int32_t expert_of(const program *p, const aq_op *op, int32_t row, int32_t slot) {
	const float e = (ref_data(p, op->in[1]) + row * ref_stride(p, op->in[1]))[slot];
	return e >= 0 && e < (float)op->i[1] ? (int32_t)e : 0;
}

static const float *use_input(const program *p, const aq_op *op, int32_t use) {
	const int32_t row = use / op->i[2], slot = op->i[3] ? use % op->i[2] : 0;
	return ref_data(p, op->in[0]) + row * ref_stride(p, op->in[0]) + (int64_t)slot * p->weights[op->w[0]].info.cols;
}

static float *use_output(const program *p, const aq_op *op, int32_t use, int32_t i) {
	return ref_data(p, op->out[i]) + use / op->i[2] * ref_stride(p, op->out[i]) +
		(int64_t)(use % op->i[2]) * p->weights[op->w[i]].info.rows;
}

// sort_uses fills p->uses with the slots of all rows (row * slots + slot), expert by expert, and p->use_starts with
// the first one of each expert.
static void sort_uses(program *p, const aq_op *op, int32_t rows) {
	const int32_t experts = op->i[1], slots = op->i[2];
	int32_t *start = p->use_starts;
	memset(start, 0, (size_t)(experts + 2) * sizeof *start);
	for (int32_t u = 0; u < rows * slots; u++) {
		start[expert_of(p, op, u / slots, u % slots) + 2]++;
	}
	for (int32_t e = 0; e < experts; e++) {
		start[e + 2] += start[e + 1];
	}
	for (int32_t u = 0; u < rows * slots; u++) {
		p->uses[start[expert_of(p, op, u / slots, u % slots) + 1]++] = u;
	}
}

// direct says whether the expert's rows are read and written where they are.
static bool direct(const program *p, const aq_op *op, int32_t uses) {
	return uses == 1 && p->weights[op->w[0]].info.cols % AQ_LANES == 0;
}

static void begin(program *p, const aq_op *op, int32_t rows) {
	sort_uses(p, op, rows);
	products_begin(p);
	const int64_t ldx = round_up(p->weights[op->w[0]].info.cols, AQ_LANES);
	float *results = p->expert_results;
	for (int32_t i = 0; i < op->i[0]; i++) {
		const int32_t width = p->weights[op->w[i]].info.rows;
		for (int32_t e = 0; e < op->i[1]; e++) {
			const int32_t first = p->use_starts[e], n = p->use_starts[e + 1] - first;
			if (n == 0) {
				continue;
			}
			product o = {.w = &p->weights[op->w[i] + e], .row = first, .tokens = n, .x = p->expert_inputs + first * ldx, .ldx = ldx,
				.y = results + (int64_t)first * width, .ldy = width};
			if (direct(p, op, n)) {
				o.x = use_input(p, op, p->uses[first]);
				o.y = use_output(p, op, p->uses[first], i);
			}
			product_add(p, o);
		}
		results += (int64_t)rows * op->i[2] * width;
	}
}

// copied says whether use number i, in the order of experts, passes through the gathered arrays.
static bool copied(const program *p, const aq_op *op, int32_t i) {
	const int32_t use = p->uses[i], e = expert_of(p, op, use / op->i[2], use % op->i[2]);
	return !direct(p, op, p->use_starts[e + 1] - p->use_starts[e]);
}

static void gather_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const int64_t cols = p->weights[c->op.w[0]].info.cols;
	if (copied(p, &c->op, unit)) {
		pad_row(p->expert_inputs + unit * round_up(cols, AQ_LANES), use_input(p, &c->op, p->uses[unit]), cols);
	}
}

static void scatter_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const aq_op *op = &c->op;
	const int64_t uses = (int64_t)buffer_rows(p, op->in[0].buffer) * op->i[2];
	const float *results = p->expert_results;
	for (int32_t i = 0; i < op->i[0] && copied(p, op, unit); i++) {
		const int64_t width = p->weights[op->w[i]].info.rows;
		memcpy(use_output(p, op, p->uses[unit], i), results + unit * width, (size_t)width * sizeof(float));
		results += uses * width;
	}
}

bool experts_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	const int32_t rows = buffer_rows(p, c->op.in[0].buffer), uses = rows * c->op.i[2];
	switch (phase) {
	case 0:
		if (rows == 0) {
			return false;
		}
		begin(p, &c->op, rows);
		out->run = gather_run;
		out->units = uses;
		out->small = (int64_t)uses * p->weights[c->op.w[0]].info.cols <= AQ_SMALL;
		return true;
	case 1:
		products_quantize(p, out);
		return true;
	case 2:
		products_multiply(p, out);
		return true;
	case 3:
		products_reduce(p, out);
		return true;
	case 4:
		out->run = scatter_run;
		out->units = uses;
		out->small = (int64_t)uses * p->weights[c->op.w[0]].info.rows <= AQ_SMALL;
		return true;
	default:
		return false;
	}
}

// ---- mix ------------------------------------------------------------------------------------------------------------

static void mix_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const int32_t width = c->op.i[0], slots = c->op.i[1];
	const float *in = ref_data(p, c->op.in[0]) + unit * ref_stride(p, c->op.in[0]);
	const float *weights = ref_data(p, c->op.in[1]) + unit * ref_stride(p, c->op.in[1]) + slots;
	float *to = ref_data(p, c->op.out[0]) + unit * ref_stride(p, c->op.out[0]);
	p->k->scale(to, in, weights[0], 0, width);
	for (int32_t s = 1; s < slots; s++) {
		p->k->add(to, to, in + (int64_t)s * width, weights[s], width);
	}
}

bool mix_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	out->run = mix_run;
	out->units = buffer_rows(p, c->op.out[0].buffer);
	out->small = (int64_t)out->units * c->op.i[0] * c->op.i[1] <= AQ_SMALL;
	return phase == 0;
}
