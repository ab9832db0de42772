// Ops that treat rows independently: embed, norm, glu, add, select, scale. A unit is a few rows.
#include <string.h>

#include "aq.h"

// row_units cuts rows of a given width into units of about AQ_SMALL / 2 floats.
static int32_t unit_rows(int64_t width) { return max_i32(1, (int32_t)(AQ_SMALL / 2 / max_i64(width, 1))); }

static bool rows_phase(const program *p, int32_t phase, int32_t buffer, int64_t width, job *out,
	void (*run)(program *, const compiled_op *, int32_t, worker *)) {
	const int32_t rows = buffer_rows(p, buffer), each = unit_rows(width);
	if (phase > 0 || rows == 0) {
		return false;
	}
	out->run = run;
	out->units = (rows + each - 1) / each;
	out->small = rows * width <= AQ_SMALL;
	return true;
}

static int32_t last_row(const program *p, int32_t buffer, int64_t width, int32_t unit) {
	return min_i32((unit + 1) * unit_rows(width), buffer_rows(p, buffer));
}

// ---- embed ----------------------------------------------------------------------------------------------------------

static void embed_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const weight *w = &p->weights[c->op.w[0]];
	const aq_ref to = c->op.out[0];
	const int64_t n = w->info.cols;
	for (int32_t t = unit * unit_rows(n); t < last_row(p, to.buffer, n, unit); t++) {
		float *out = ref_data(p, to) + t * ref_stride(p, to);
		p->k->to_f32(out, w->data + p->tokens[t] * w->row_bytes, w->info.type, n);
		if (c->op.f[0] != 1) {
			p->k->scale(out, out, c->op.f[0], 0, n);
		}
	}
}

bool embed_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	return rows_phase(p, phase, c->op.out[0].buffer, p->weights[c->op.w[0]].info.cols, out, embed_run);
}

// ---- norm -----------------------------------------------------------------------------------------------------------

static void norm_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const aq_ref to = c->op.out[0], from = c->op.in[0];
	const int32_t parts = c->op.i[0], width = c->op.i[1];
	const int64_t n = (int64_t)parts * width;
	const weight *gain = &p->weights[c->op.w[0]];
	const float *bias = c->op.w[1] < 0 ? NULL : p->weights[c->op.w[1]].values;
	for (int32_t t = unit * unit_rows(n); t < last_row(p, to.buffer, n, unit); t++) {
		float *o = ref_data(p, to) + t * ref_stride(p, to);
		const float *i = ref_data(p, from) + t * ref_stride(p, from);
		for (int32_t part = 0; part < parts; part++) {
			// Gain and bias each are either for one part or for all of them.
			const int64_t at = (int64_t)part * width;
			p->k->norm(o + at, i + at, gain->values + (gain->info.cols == width ? 0 : at),
				bias ? bias + (p->weights[c->op.w[1]].info.cols == width ? 0 : at) : NULL, width, c->op.i[2],
				c->op.f[0], c->op.f[1]);
		}
	}
}

bool norm_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	return rows_phase(p, phase, c->op.out[0].buffer, (int64_t)c->op.i[0] * c->op.i[1], out, norm_run);
}

// ---- glu ------------------------------------------------------------------------------------------------------------

static void glu_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const aq_ref to = c->op.out[0], gate = c->op.in[0], up = c->op.in[1];
	const int32_t n = c->op.i[1];
	for (int32_t t = unit * unit_rows(n); t < last_row(p, to.buffer, n, unit); t++) {
		p->k->glu(ref_data(p, to) + t * ref_stride(p, to), ref_data(p, gate) + t * ref_stride(p, gate),
			ref_data(p, up) + t * ref_stride(p, up), c->op.i[0], n);
	}
}

bool glu_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	return rows_phase(p, phase, c->op.out[0].buffer, c->op.i[1], out, glu_run);
}

// ---- add ------------------------------------------------------------------------------------------------------------

static void add_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const aq_ref to = c->op.out[0], x = c->op.in[0], y = c->op.in[1];
	const int32_t n = c->op.i[0];
	for (int32_t t = unit * unit_rows(n); t < last_row(p, to.buffer, n, unit); t++) {
		p->k->add(ref_data(p, to) + t * ref_stride(p, to), ref_data(p, x) + t * ref_stride(p, x),
			ref_data(p, y) + t * ref_stride(p, y), c->op.f[0], n);
	}
}

bool add_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	return rows_phase(p, phase, c->op.out[0].buffer, c->op.i[0], out, add_run);
}

// ---- select ---------------------------------------------------------------------------------------------------------

static void select_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const aq_ref to = c->op.out[0], from = c->op.in[0];
	const int64_t n = ref_stride(p, to);
	for (int32_t t = unit * unit_rows(n); t < last_row(p, to.buffer, n, unit); t++) {
		memcpy(ref_data(p, to) + t * n, ref_data(p, from) + p->outputs[t] * n, (size_t)n * sizeof(float));
	}
}

bool select_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	return rows_phase(p, phase, c->op.out[0].buffer, ref_stride(p, c->op.out[0]), out, select_run);
}

// ---- scale ----------------------------------------------------------------------------------------------------------

static void scale_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const aq_ref to = c->op.out[0], from = c->op.in[0];
	const int32_t n = c->op.i[0];
	for (int32_t t = unit * unit_rows(n); t < last_row(p, to.buffer, n, unit); t++) {
		p->k->scale(ref_data(p, to) + t * ref_stride(p, to), ref_data(p, from) + t * ref_stride(p, from), c->op.f[0],
			c->op.f[1], n);
	}
}

bool scale_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	return rows_phase(p, phase, c->op.out[0].buffer, c->op.i[0], out, scale_run);
}
