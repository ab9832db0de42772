// Linear ops: one to four products of one input (product.c).
#include <string.h>

#include "aq.h"

int64_t linear_partials(const program *p, const aq_op *op) {
	const int32_t tokens = max_i32(p->args.max_tokens, p->args.max_outputs);
	int64_t n = 0;
	for (int32_t i = 0; i < op->i[0]; i++) {
		n += product_partials(p, &p->weights[op->w[i]], tokens);
	}
	return n;
}

void pad_row(float *to, const float *from, int64_t cols) {
	memcpy(to, from, (size_t)cols * sizeof(float));
	memset(to + cols, 0, (size_t)(round_up(cols, AQ_LANES) - cols) * sizeof(float));
}

static void pad_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	pad_row(p->xpad + unit * p->xpad_ld, ref_data(p, c->op.in[0]) + unit * ref_stride(p, c->op.in[0]),
		p->weights[c->op.w[0]].info.cols);
}

// begin lists the products. It reports whether the input has to be padded first.
static bool begin(program *p, const compiled_op *c, int32_t tokens) {
	const bool padded = p->weights[c->op.w[0]].info.cols % AQ_LANES != 0;
	const float *x = padded ? p->xpad : ref_data(p, c->op.in[0]);
	const int64_t ldx = padded ? p->xpad_ld : ref_stride(p, c->op.in[0]);
	products_begin(p);
	for (int32_t i = 0; i < c->op.i[0]; i++) {
		product_add(p, (product){.w = &p->weights[c->op.w[i]], .x = x, .ldx = ldx, .tokens = tokens,
			.bias = c->op.w[4 + i] < 0 ? NULL : p->weights[c->op.w[4 + i]].values,
			.y = ref_data(p, c->op.out[i]), .ldy = ref_stride(p, c->op.out[i])});
	}
	return padded;
}

bool linear_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	const int32_t tokens = buffer_rows(p, c->op.in[0].buffer);
	switch (phase) {
	case 0:
		if (tokens == 0) {
			return false;
		}
		out->run = pad_run;
		out->units = begin(p, c, tokens) ? tokens : 0;
		out->small = tokens * p->xpad_ld <= AQ_SMALL;
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
	default:
		return false;
	}
}
