// Linear ops. One to four weights share the input; each output is computed by the method that is cheapest for its
// shape and the number of tokens:
//
//   METHOD_DENSE   few tokens, dense rows: dot products straight from the stored rows. A unit is a run of rows.
//   METHOD_CODES   few tokens, AQLM codes of more than 8 bits: entries are decoded and multiplied at once. Likewise.
//   METHOD_TABLES  few tokens, AQLM tiles: tables of partial sums, looked up by code. A unit is a run of blocks for
//                  all rows and writes its own partial sums; a second phase adds them in a fixed order.
//   METHOD_PANEL   everything else: a tile of 64 rows is decoded to fp32 a column block at a time and multiplied with
//                  all tokens. A unit is a tile. Serves every encoding, and is the plain fallback of every other.
//
// Tables cost 256 x g multiply-adds for each group and codebook however few rows there are, so short weights (the
// key and value projections of small models) are better decoded: see choose_method.
#include "aq.h"

enum { DENSE_UNIT_BYTES = 64 << 10, REDUCE_ROWS = 1024, CHUNK_CYCLES = 20000 };

static int32_t gcd(int32_t a, int32_t b) {
	while (b) {
		const int32_t r = a % b;
		a = b;
		b = r;
	}
	return a;
}

// linear_panel_cols returns the columns of a panel: about AQ_PANEL_COLS, in equal parts, whole groups, whole vectors
// and whole Q8_0 blocks.
int32_t linear_panel_cols(const weight *w) {
	const int32_t cols = w->info.cols, parts = (cols + AQ_PANEL_COLS - 1) / AQ_PANEL_COLS;
	const int32_t group = w->info.encoding == AQ_ENCODING_AQLM ? w->info.in_group : 1;
	const int32_t step = group / gcd(group, 32) * 32;
	return (int32_t)round_up((cols + parts - 1) / parts, step);
}

// ---- choices ----------------------------------------------------------------------------------------------------------

static double table_cycles(const program *p, const weight *w) {
	const double lookups = (double)w->groups * w->info.books;
	return lookups * ((double)w->tiles * AQ_TILE * p->k->cost_lookup +
		(double)AQ_ENTRIES * w->info.in_group * p->k->cost_entry);
}

static double panel_cycles(const program *p, const weight *w, int32_t tokens) {
	const double weights = (double)w->info.rows * w->info.cols;
	return weights * (w->info.books / 8.0 * p->k->cost_decode + tokens * p->k->cost_fma);
}

// table_chunks cuts the blocks of a weight into units of some ten microseconds, by shape only.
static int32_t table_chunks(const program *p, const weight *w) {
	const double chunks = table_cycles(p, w) / CHUNK_CYCLES;
	const int32_t most = min_i32(w->blocks, AQ_MAX_UNITS);
	return chunks >= most ? most : max_i32(1, (int32_t)chunks);
}

static int32_t choose_method(const program *p, const weight *w, int32_t tokens) {
	if (w->info.encoding == AQ_ENCODING_DENSE) {
		return tokens <= AQ_DIRECT_TOKENS ? METHOD_DENSE : METHOD_PANEL;
	}
	if (p->k->codes && codes_direct(w) && tokens <= AQ_DIRECT_TOKENS) {
		return METHOD_CODES;
	}
	if (w->book_t && tokens <= AQ_TABLE_TOKENS && tokens * table_cycles(p, w) <= panel_cycles(p, w, tokens)) {
		return METHOD_TABLES;
	}
	return METHOD_PANEL;
}

static int64_t partial_floats(const program *p, const weight *w, int32_t tokens) {
	return (int64_t)table_chunks(p, w) * tokens * w->tiles * AQ_TILE;
}

int64_t linear_partials(const program *p, const aq_op *op) {
	const int32_t tokens = min_i32(max_i32(p->args.max_tokens, p->args.max_outputs), AQ_TABLE_TOKENS);
	int64_t n = 0;
	for (int32_t i = 0; i < op->i[0]; i++) {
		const weight *w = &p->weights[op->w[i]];
		n += w->layout == LAYOUT_TILES && p->k->tables ? partial_floats(p, w, tokens) : 0;
	}
	return n;
}

// direct_unit_rows returns the rows of a unit of METHOD_DENSE or METHOD_CODES.
static int32_t direct_unit_rows(const weight *w) {
	// A code costs several times its bytes in codebook traffic.
	const int64_t bytes = w->layout == LAYOUT_ROWS ? w->row_bytes : (int64_t)w->groups * w->info.books * 8;
	return (int32_t)round_up(max_i64(1, DENSE_UNIT_BYTES / bytes), 4);
}

// begin fills in the state that the phases of this op share.
static void begin(program *p, const compiled_op *c) {
	linear_state *s = &p->linear;
	const int32_t cols = p->weights[c->op.w[0]].info.cols;
	s->n = c->op.i[0];
	s->tokens = buffer_rows(p, c->op.in[0].buffer);
	s->x = ref_data(p, c->op.in[0]);
	s->ldx = ref_stride(p, c->op.in[0]);
	if (cols % AQ_LANES) {
		s->x = p->xpad;
		s->ldx = p->xpad_ld;
	}
	s->units = 0;
	s->any_tables = false;
	float *partial = p->partials;
	for (int32_t i = 0; i < s->n; i++) {
		linear_out *o = &s->out[i];
		const weight *w = &p->weights[c->op.w[i]];
		*o = (linear_out){.w = w, .y = ref_data(p, c->op.out[i]), .ldy = ref_stride(p, c->op.out[i]),
			.bias = c->op.w[4 + i] < 0 ? NULL : p->weights[c->op.w[4 + i]].values,
			.method = choose_method(p, w, s->tokens), .first_unit = s->units};
		if (o->method == METHOD_TABLES) {
			o->chunks = o->units = table_chunks(p, w);
			o->partial = partial;
			partial += partial_floats(p, w, s->tokens);
			s->any_tables = true;
		} else if (o->method != METHOD_PANEL) {
			o->units = (w->info.rows + direct_unit_rows(w) - 1) / direct_unit_rows(w);
		} else {
			o->units = (w->info.rows + AQ_TILE - 1) / AQ_TILE;
		}
		s->units += o->units;
	}
}

// ---- units --------------------------------------------------------------------------------------------------------

static void pad_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const float *x = ref_data(p, c->op.in[0]) + unit * ref_stride(p, c->op.in[0]);
	float *out = p->xpad + unit * p->xpad_ld;
	const int64_t cols = p->weights[c->op.w[0]].info.cols;
	for (int64_t i = 0; i < cols; i++) {
		out[i] = x[i];
	}
	for (int64_t i = cols; i < round_up(cols, AQ_LANES); i++) {
		out[i] = 0;
	}
}

static void dense_unit(program *p, const linear_out *o, int32_t unit) {
	const int32_t rows = direct_unit_rows(o->w), first = unit * rows;
	const linear_state *s = &p->linear;
	const dense_args a = {.w = o->w->data + first * o->w->row_bytes, .row_bytes = o->w->row_bytes,
		.type = o->w->info.type, .cols = o->w->info.cols, .rows = min_i32(rows, o->w->info.rows - first),
		.x = s->x, .ldx = s->ldx, .tokens = s->tokens, .y = o->y + first, .ldy = o->ldy,
		.bias = o->bias ? o->bias + first : NULL};
	p->k->dense(&a);
}

static void codes_unit(program *p, const linear_out *o, int32_t unit) {
	const int32_t rows = direct_unit_rows(o->w), first = unit * rows;
	const linear_state *s = &p->linear;
	const codes_args a = {.w = o->w, .row = first, .rows = min_i32(rows, o->w->info.rows - first), .x = s->x,
		.ldx = s->ldx, .tokens = s->tokens, .y = o->y + first, .ldy = o->ldy, .bias = o->bias ? o->bias + first : NULL};
	p->k->codes(&a);
}

static void table_unit(program *p, const linear_out *o, int32_t unit, worker *worker) {
	const linear_state *s = &p->linear;
	const int64_t blocks = o->w->blocks;
	const table_args a = {.w = o->w, .x = s->x, .ldx = s->ldx, .tokens = s->tokens,
		.y = o->partial + (int64_t)unit * s->tokens * o->w->tiles * AQ_TILE, .workspace = worker->workspace,
		.block = (int32_t)(blocks * unit / o->chunks), .block_end = (int32_t)(blocks * (unit + 1) / o->chunks)};
	if (p->args.precision == AQ_PRECISION_FAST && p->k->tables_fast) {
		p->k->tables_fast(&a);
	} else {
		p->k->tables(&a);
	}
}

static void panel_unit(program *p, const linear_out *o, int32_t unit, worker *worker) {
	const linear_state *s = &p->linear;
	const weight *w = o->w;
	const int32_t first = unit * AQ_TILE, rows = min_i32(AQ_TILE, w->info.rows - first);
	const int32_t cols = w->info.cols, step = linear_panel_cols(w);
	float *panel = (float *)(void *)worker->workspace;
	float row_scales[AQ_TILE];
	const float *scale = NULL;
	if (w->info.encoding == AQ_ENCODING_AQLM) {
		for (int32_t r = 0; r < rows; r++) {
			row_scales[r] = w->scales[(first + r) / w->info.out_group];
		}
		scale = row_scales;
	}
	for (int32_t col = 0; col < cols; col += step) {
		const int32_t n = min_i32(step, cols - col), padded = (int32_t)round_up(n, AQ_LANES);
		p->k->decode(w, first, rows, col, n, panel, p->panel_ld);
		for (int32_t r = 0; r < rows && n < padded; r++) {
			for (int32_t i = n; i < padded; i++) {
				panel[r * p->panel_ld + i] = 0;
			}
		}
		const gemm_args a = {.w = panel, .ldw = p->panel_ld, .x = s->x + col, .ldx = s->ldx, .y = o->y + first,
			.ldy = o->ldy, .scale = scale, .bias = o->bias ? o->bias + first : NULL, .cols = padded, .rows = rows,
			.tokens = s->tokens, .first = col == 0, .last = col + step >= cols};
		p->k->gemm(&a);
	}
}

static void product_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)c;
	const linear_state *s = &p->linear;
	int32_t i = s->n - 1;
	while (unit < s->out[i].first_unit) {
		i--;
	}
	const linear_out *o = &s->out[i];
	unit -= o->first_unit;
	switch (o->method) {
	case METHOD_DENSE:
		dense_unit(p, o, unit);
		break;
	case METHOD_CODES:
		codes_unit(p, o, unit);
		break;
	case METHOD_TABLES:
		table_unit(p, o, unit, worker);
		break;
	default:
		panel_unit(p, o, unit, worker);
	}
}

// reduce_run adds the partial sums of REDUCE_ROWS rows, for all outputs and tokens.
static void reduce_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)c;
	(void)worker;
	const linear_state *s = &p->linear;
	for (int32_t i = 0; i < s->n; i++) {
		const linear_out *o = &s->out[i];
		const int32_t from = unit * REDUCE_ROWS, to = min_i32(from + REDUCE_ROWS, o->w->info.rows);
		const int64_t padded = (int64_t)o->w->tiles * AQ_TILE;
		for (int32_t t = 0; o->method == METHOD_TABLES && t < s->tokens; t++) {
			float sum[AQ_LANES];
			for (int32_t r = from; r < to; r += AQ_LANES) {
				const float *q = o->partial + t * padded + r;
				for (int32_t l = 0; l < AQ_LANES; l++) {
					sum[l] = q[l];
				}
				for (int32_t chunk = 1; chunk < o->chunks; chunk++) {
					q += s->tokens * padded;
					for (int32_t l = 0; l < AQ_LANES; l++) {
						sum[l] += q[l];
					}
				}
				float *y = o->y + t * o->ldy + r;
				for (int32_t l = 0; l < min_i32(AQ_LANES, to - r); l++) {
					y[l] = sum[l] * o->w->scales[r + l] + (o->bias ? o->bias[r + l] : 0);
				}
			}
		}
	}
}

bool linear_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	linear_state *s = &p->linear;
	switch (phase) {
	case 0:
		begin(p, c);
		if (s->tokens == 0) {
			return false;
		}
		out->run = pad_run;
		out->units = s->x == p->xpad ? s->tokens : 0;
		out->small = (int64_t)s->tokens * s->ldx <= AQ_SMALL;
		return true;
	case 1:
		out->run = product_run;
		out->units = s->units;
		return true;
	case 2: {
		int32_t rows = 0, floats = 0;
		for (int32_t i = 0; i < s->n; i++) {
			if (s->out[i].method == METHOD_TABLES) {
				rows = max_i32(rows, s->out[i].w->info.rows);
				floats += s->out[i].w->info.rows * s->tokens * s->out[i].chunks / 4;
			}
		}
		out->run = reduce_run;
		out->units = (rows + REDUCE_ROWS - 1) / REDUCE_ROWS;
		out->small = floats <= AQ_SMALL;
		return true;
	}
	default:
		return false;
	}
}
