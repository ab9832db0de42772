// Compilation: check the tables, lay out memory, allocate. The caller has validated the plan; what is checked again
// here is what memory safety depends on, because the tables come through a pointer.
#include <stdlib.h>
#include <string.h>

#include "aq.h"

// ---- checks -------------------------------------------------------------------------------------------------------

static bool ref_ok(const program *p, aq_ref r, int64_t width) {
	return r.buffer >= 0 && r.buffer < p->args.n_buffers && r.offset >= 0 && width >= 1 &&
		r.offset + width <= p->buffers[r.buffer].width;
}

static bool weight_ok(const program *p, int32_t w) { return w >= 0 && w < p->args.n_weights; }

// vector_ok accepts a vector of n values, and -1 if it is optional. It notes the use.
static bool vector_ok(program *p, int32_t w, int64_t n, bool optional) {
	if (w == -1) {
		return optional;
	}
	if (!weight_ok(p, w) || p->weights[w].info.encoding != AQ_ENCODING_DENSE || p->weights[w].info.rows != 1 ||
		p->weights[w].info.cols != n) {
		return false;
	}
	p->weights[w].vector = true;
	return true;
}

static bool rows_equal(const program *p, aq_ref a, aq_ref b) {
	return p->buffers[a.buffer].rows == p->buffers[b.buffer].rows;
}

static bool token_rows(const program *p, aq_ref r) { return p->buffers[r.buffer].rows == AQ_ROWS_TOKEN; }

static bool linear_ok(program *p, const aq_op *op) {
	if (op->i[0] < 1 || op->i[0] > 4) {
		return false;
	}
	for (int32_t i = 0; i < op->i[0]; i++) {
		if (!weight_ok(p, op->w[i])) {
			return false;
		}
		weight *w = &p->weights[op->w[i]];
		if (!ref_ok(p, op->in[0], w->info.cols) || !ref_ok(p, op->out[i], w->info.rows) ||
			!rows_equal(p, op->in[0], op->out[i]) || !vector_ok(p, op->w[4 + i], w->info.rows, true)) {
			return false;
		}
		w->matrix = true;
	}
	return true;
}

static bool experts_ok(program *p, const aq_op *op) {
	const int64_t experts = op->i[1], slots = op->i[2];
	if (op->i[0] < 1 || op->i[0] > 4 || experts < 1 || slots < 1 || slots > experts || !weight_ok(p, op->w[0]) ||
		!ref_ok(p, op->in[1], 2 * slots) || !rows_equal(p, op->in[0], op->in[1])) {
		return false;
	}
	const int64_t cols = p->weights[op->w[0]].info.cols;
	for (int32_t i = 0; i < op->i[0]; i++) {
		if (!weight_ok(p, op->w[i]) || op->w[i] + experts > p->args.n_weights) {
			return false;
		}
		weight *w = &p->weights[op->w[i]];
		for (int64_t e = 0; e < experts; e++) {
			if (w[e].info.rows != w->info.rows || w[e].info.cols != cols) {
				return false;
			}
			w[e].matrix = true;
		}
		if (!ref_ok(p, op->out[i], slots * w->info.rows) || !rows_equal(p, op->in[0], op->out[i])) {
			return false;
		}
	}
	return ref_ok(p, op->in[0], (op->i[3] ? slots : 1) * cols);
}

static bool attention_ok(const program *p, const aq_op *op) {
	if (op->i[0] < 0 || op->i[0] >= p->args.n_layers) {
		return false;
	}
	const aq_kv_layer *l = &p->layers[op->i[0]];
	const int64_t q = (int64_t)op->i[1] * l->dim, kv = (int64_t)l->heads * l->dim;
	return op->i[1] >= 1 && op->i[1] % l->heads == 0 && op->i[2] >= 0 && ref_ok(p, op->in[0], q) &&
		ref_ok(p, op->in[1], kv) && ref_ok(p, op->in[2], kv) && ref_ok(p, op->out[0], q) &&
		token_rows(p, op->in[0]) && token_rows(p, op->in[1]) && token_rows(p, op->in[2]) && token_rows(p, op->out[0]);
}

static bool op_ok(program *p, const aq_op *op) {
	const int64_t width = op->kind == AQ_OP_GLU ? op->i[1] : op->i[0];
	switch (op->kind) {
	case AQ_OP_EMBED:
		if (!weight_ok(p, op->w[0]) || p->weights[op->w[0]].info.encoding != AQ_ENCODING_DENSE ||
			p->weights[op->w[0]].info.rows != p->args.vocab) {
			return false;
		}
		p->weights[op->w[0]].matrix = true;
		return ref_ok(p, op->out[0], p->weights[op->w[0]].info.cols) && token_rows(p, op->out[0]);
	case AQ_OP_NORM: {
		const int64_t n = (int64_t)op->i[0] * op->i[1];
		return op->i[0] >= 1 && ref_ok(p, op->in[0], n) && ref_ok(p, op->out[0], n) &&
			rows_equal(p, op->in[0], op->out[0]) &&
			(vector_ok(p, op->w[0], n, false) || vector_ok(p, op->w[0], op->i[1], false)) &&
			(vector_ok(p, op->w[1], n, true) || vector_ok(p, op->w[1], op->i[1], true));
	}
	case AQ_OP_LINEAR:
		return linear_ok(p, op);
	case AQ_OP_ROPE:
		return op->i[0] >= 1 && op->i[2] >= 2 && op->i[2] % 2 == 0 && op->i[2] <= op->i[1] &&
			ref_ok(p, op->in[0], (int64_t)op->i[0] * op->i[1]) && token_rows(p, op->in[0]) &&
			vector_ok(p, op->w[0], op->i[2] / 2, false) && op->i[4] >= 0 &&
			(op->i[4] == 0 || vector_ok(p, op->w[1], op->i[2] / 2, false));
	case AQ_OP_ATTENTION:
		return attention_ok(p, op);
	case AQ_OP_GLU:
	case AQ_OP_ADD:
		return ref_ok(p, op->in[0], width) && ref_ok(p, op->in[1], width) && ref_ok(p, op->out[0], width) &&
			rows_equal(p, op->in[0], op->out[0]) && rows_equal(p, op->in[1], op->out[0]);
	case AQ_OP_SCALE:
		return ref_ok(p, op->in[0], width) && ref_ok(p, op->out[0], width) && rows_equal(p, op->in[0], op->out[0]);
	case AQ_OP_SELECT:
		return ref_ok(p, op->in[0], 1) && ref_ok(p, op->out[0], 1) && op->in[0].offset == 0 &&
			op->out[0].offset == 0 && p->buffers[op->in[0].buffer].width == p->buffers[op->out[0].buffer].width &&
			token_rows(p, op->in[0]) && !token_rows(p, op->out[0]);
	case AQ_OP_ROUTE:
		return op->i[0] >= 1 && op->i[1] >= 1 && op->i[1] <= op->i[0] && ref_ok(p, op->in[0], op->i[0]) &&
			ref_ok(p, op->out[0], 2 * (int64_t)op->i[1]) && rows_equal(p, op->in[0], op->out[0]);
	case AQ_OP_EXPERTS:
		return experts_ok(p, op);
	case AQ_OP_MIX:
		return op->i[1] >= 1 && ref_ok(p, op->in[0], width * op->i[1]) && ref_ok(p, op->out[0], width) &&
			ref_ok(p, op->in[1], 2 * (int64_t)op->i[1]) && rows_equal(p, op->in[0], op->out[0]) &&
			rows_equal(p, op->in[1], op->out[0]);
	default:
		return false;
	}
}

static bool float_type(uint8_t t) { return t == AQ_DTYPE_F32 || t == AQ_DTYPE_F16 || t == AQ_DTYPE_BF16; }

static bool weight_info_ok(const aq_weight *w) {
	if (w->rows < 1 || w->cols < 1) {
		return false;
	}
	if (w->encoding == AQ_ENCODING_DENSE) {
		return float_type(w->type) || (w->type == AQ_DTYPE_Q8_0 && w->cols % 32 == 0);
	}
	return w->encoding == AQ_ENCODING_AQLM && w->books >= 1 && w->books <= AQ_MAX_BOOKS && w->bits >= 1 &&
		w->bits <= 16 && w->in_group >= 1 && w->in_group <= 256 && w->out_group >= 1 && w->out_group <= 16 &&
		w->rows % w->out_group == 0 && w->cols % w->in_group == 0 &&
		w->codes == (w->bits <= 8 ? AQ_DTYPE_I8 : AQ_DTYPE_I16) && float_type(w->codebooks) && float_type(w->scales);
}

static int32_t check_sizes(device *d, const aq_compile_args *a) {
	if (a->kv_type != AQ_DTYPE_F32 && a->kv_type != AQ_DTYPE_F16 && a->kv_type != AQ_DTYPE_Q8_0) {
		return fail(d, AQ_STATUS_UNSUPPORTED, 0, "KV cache of element type %d", a->kv_type);
	}
	if (a->n_ops < 1 || a->n_buffers < 1 || a->n_weights < 0 || a->n_layers < 0 || a->kv_blocks < 1 ||
		a->max_tokens < 1 || a->max_seqs < 1 || a->max_outputs < 1 || a->vocab < 1 || a->max_pos < 1 ||
		a->logits >= a->n_buffers || a->features >= a->n_buffers) {
		return fail(d, AQ_STATUS_INVALID, 0, "a size of the compilation is out of range");
	}
	return AQ_STATUS_OK;
}

static int32_t check_tables(program *p) {
	for (int32_t i = 0; i < p->args.n_buffers; i++) {
		if (p->buffers[i].width < 1 || p->buffers[i].rows < AQ_ROWS_TOKEN || p->buffers[i].rows > AQ_ROWS_OUTPUT) {
			return fail(p->d, AQ_STATUS_INVALID, 0, "buffer %d", i);
		}
	}
	for (int32_t i = 0; i < p->args.n_weights; i++) {
		if (!weight_info_ok(&p->weights[i].info)) {
			return fail(p->d, AQ_STATUS_UNSUPPORTED, 0, "weight %d: this encoding, scheme or type", i);
		}
	}
	for (int32_t i = 0; i < p->args.n_layers; i++) {
		if (p->layers[i].heads < 1 || p->layers[i].dim < 1 || (int64_t)p->layers[i].heads * p->layers[i].dim > 1 << 28) {
			return fail(p->d, AQ_STATUS_INVALID, 0, "KV layer %d", i);
		}
	}
	for (int32_t i = 0; i < p->args.n_ops; i++) {
		if (p->ops[i].op.kind >= AQ_OP_COUNT) {
			return fail(p->d, AQ_STATUS_UNSUPPORTED, 0, "op kind %d", p->ops[i].op.kind);
		}
		if (!op_ok(p, &p->ops[i].op)) {
			return fail(p->d, AQ_STATUS_INVALID, 0, "op %d", i);
		}
	}
	return AQ_STATUS_OK;
}

// ---- layout ---------------------------------------------------------------------------------------------------------

// Each of these runs twice, first over an empty arena: it must take the same memory both times.

static void layout_tables(program *p, arena *a) {
	p->ops = arena_take(a, p->args.n_ops, sizeof *p->ops);
	p->buffers = arena_take(a, p->args.n_buffers, sizeof *p->buffers);
	p->buffer_data = arena_take(a, p->args.n_buffers, sizeof *p->buffer_data);
	p->weights = arena_take(a, max_i32(p->args.n_weights, 1), sizeof *p->weights);
	p->layers = arena_take(a, max_i32(p->args.n_layers, 1), sizeof *p->layers);
	p->slots = arena_take(a, p->args.n_ops, sizeof *p->slots);
}

static void fill_tables(program *p) {
	const aq_op *ops = (const aq_op *)(uintptr_t)p->args.ops;
	const aq_weight *weights = (const aq_weight *)(uintptr_t)p->args.weights;
	for (int32_t i = 0; i < p->args.n_ops; i++) {
		p->ops[i].op = ops[i];
	}
	for (int32_t i = 0; i < p->args.n_weights; i++) {
		p->weights[i].info = weights[i];
	}
	memcpy(p->buffers, (const void *)(uintptr_t)p->args.buffers, (size_t)p->args.n_buffers * sizeof *p->buffers);
	if (p->args.n_layers) {
		memcpy(p->layers, (const void *)(uintptr_t)p->args.layers, (size_t)p->args.n_layers * sizeof *p->layers);
	}
}

// A KV block holds, for every layer, the keys of its heads and then their values, as k_kv.h describes them; dim is padded
// so that kernels load whole vectors, and whole groups of Q8_0.
static void layout_kv(program *p, arena *a) {
	const bool q8 = p->args.kv_type == AQ_DTYPE_Q8_0;
	const int64_t elem = q8 ? 1 : p->args.kv_type == AQ_DTYPE_F16 ? 2 : 4;
	int64_t offset = 0;
	for (int32_t l = 0; l < p->args.n_layers; l++) {
		const int64_t pad = round_up(p->layers[l].dim, q8 ? AQ_KV_GROUP : AQ_LANES);
		const int64_t scales = q8 ? pad / AQ_KV_GROUP * 2 : 0; // bytes of a position
		const int64_t head = AQ_KV_BLOCK * (pad * elem + scales), part = head * p->layers[l].heads;
		for (int32_t i = 0; i < p->args.n_ops; i++) {
			compiled_op *op = &p->ops[i];
			if (op->op.kind == AQ_OP_ATTENTION && op->op.i[0] == l) {
				op->dim_pad = (int32_t)pad;
				op->kv_head = head;
				op->kv_k = offset;
				op->kv_v = offset + part;
			}
		}
		offset += 2 * part;
	}
	p->kv_block_bytes = offset;
	p->kv = arena_take(a, p->args.kv_blocks, offset);
}

static void assign_rope_slots(program *p) {
	p->n_slots = 0;
	for (int32_t i = 0; i < p->args.n_ops; i++) {
		compiled_op *op = &p->ops[i];
		if (op->op.kind != AQ_OP_ROPE) {
			continue;
		}
		op->slot = 0;
		while (op->slot < p->n_slots &&
			(p->slots[op->slot].weight != op->op.w[0] || p->slots[op->slot].long_weight != op->op.w[1] ||
				p->slots[op->slot].limit != op->op.i[4] || p->slots[op->slot].factor != op->op.f[0])) {
			op->slot++;
		}
		if (op->slot == p->n_slots) {
			p->slots[p->n_slots++] = (rope_slot){.weight = op->op.w[0], .long_weight = op->op.w[1],
				.limit = op->op.i[4], .factor = op->op.f[0], .rotated = op->op.i[2]};
		}
	}
}

static void layout_scratch(program *p, arena *a) {
	const int32_t tokens = p->args.max_tokens, outputs = p->args.max_outputs;
	for (int32_t i = 0; i < p->args.n_buffers; i++) {
		const int32_t rows = p->buffers[i].rows == AQ_ROWS_TOKEN ? tokens : outputs;
		p->buffer_data[i] = arena_take(a, rows, (int64_t)p->buffers[i].width * 4);
	}
	int64_t work = AQ_ALIGN, panel_cols = 0, partials = 0, attn = 0, inputs = 0, results = 0;
	int32_t products = 4, uses = 0, experts = 0;
	p->xpad_ld = 0;
	int64_t x8_cols = 0, x8_rows = 0;
	for (int32_t i = 0; i < p->args.n_ops; i++) {
		const aq_op *op = &p->ops[i].op;
		if (op->kind == AQ_OP_LINEAR) {
			for (int32_t o = 0; o < op->i[0]; o++) {
				const weight *w = &p->weights[op->w[o]];
				panel_cols = max_i64(panel_cols, product_panel_cols(w));
				work = max_i64(work, product_workspace(p, w));
				if (bytes_weight(p, w) || words_weight(p, w)) {
					x8_cols = max_i64(x8_cols, w->info.cols);
					x8_rows = max_i64(x8_rows, max_i32(tokens, outputs));
				}
			}
			const int32_t cols = p->weights[op->w[0]].info.cols;
			if (cols % AQ_LANES) {
				p->xpad_ld = max_i64(p->xpad_ld, round_up(cols, AQ_LANES));
			}
			partials = max_i64(partials, linear_partials(p, op));
		} else if (op->kind == AQ_OP_EXPERTS) {
			for (int32_t o = 0; o < op->i[0] * op->i[1]; o++) {
				const weight *w = &p->weights[op->w[o / op->i[1]] + o % op->i[1]];
				panel_cols = max_i64(panel_cols, product_panel_cols(w));
				work = max_i64(work, product_workspace(p, w));
				if (bytes_weight(p, w) || words_weight(p, w)) {
					x8_cols = max_i64(x8_cols, w->info.cols);
					x8_rows = max_i64(x8_rows, experts_uses(p, op));
				}
			}
			products = max_i32(products, op->i[0] * op->i[1]);
			partials = max_i64(partials, experts_partials(p, op));
			experts = max_i32(experts, op->i[1]);
			uses = max_i32(uses, experts_uses(p, op));
			inputs = max_i64(inputs, experts_uses(p, op) * round_up(p->weights[op->w[0]].info.cols, AQ_LANES));
			results = max_i64(results, experts_results(p, op));
		} else if (op->kind == AQ_OP_ATTENTION) {
			work = max_i64(work, attention_workspace(p->ops[i].dim_pad) * 4);
			attn = max_i64(attn, attention_partials(p, op));
		}
	}
	// 16 floats more than the columns, so that rows of a panel do not all fall on the same cache sets.
	p->panel_ld = round_up(panel_cols, AQ_LANES) + AQ_LANES;
	work = max_i64(work, AQ_TILE * p->panel_ld * 4);
	work = max_i64(work, p->k->table_bytes);
	p->x8_ld = x8_cols ? round_up(x8_cols * (p->args.precision == AQ_PRECISION_AUTO ? 2 : p->k->x8_bytes), AQ_ALIGN) + AQ_ALIGN : 0; // not all on the same cache sets
	p->x8_blocks = (int32_t)((x8_cols + AQ_BYTES_COLS - 1) / AQ_BYTES_COLS);
	p->x8 = arena_take(a, x8_rows, p->x8_ld);
	p->x8_unit = arena_take(a, x8_rows, (int64_t)p->x8_blocks * 4);
	p->x8_bias = arena_take(a, x8_rows, (int64_t)p->x8_blocks * 4);
	p->workspace_bytes = round_up(work, 4096);
	p->workspaces = arena_take(a, pool_threads(p->d->pool), p->workspace_bytes);
	p->xpad = arena_take(a, max_i32(tokens, outputs), p->xpad_ld * 4);
	p->products.items = arena_take(a, products, sizeof *p->products.items);
	p->expert_inputs = arena_take(a, inputs, 4);
	p->expert_results = arena_take(a, results, 4);
	p->uses = arena_take(a, uses, 4);
	p->use_starts = arena_take(a, experts ? experts + 2 : 0, 4);
	p->partials_floats = partials;
	p->partials = arena_take(a, partials, 4);
	p->attn_partials_floats = attn;
	p->attn_partials = arena_take(a, attn, 4);
	p->seq_tiles = arena_take(a, p->args.max_seqs + 1, 4);
	p->token_pos = arena_take(a, tokens, 4);
	p->token_seq = arena_take(a, tokens, 4);
	for (int32_t i = 0; i < p->n_slots; i++) {
		p->slots[i].cos_sin = arena_take(a, tokens, (int64_t)p->slots[i].rotated * 4);
	}
}

static void layout_weights(program *p, arena *a) {
	for (int32_t i = 0; i < p->args.n_weights; i++) {
		weight_layout(p, &p->weights[i], a);
	}
}

static int32_t map_or_fail(program *p, arena *a, const char *what) {
	const int64_t bytes = a->used;
	if (a->overflow || !arena_map(a, true)) {
		return fail(p->d, AQ_STATUS_MEMORY, bytes, "%s", what);
	}
	return AQ_STATUS_OK;
}

static int32_t compile_into(program *p, aq_compile_args *args) {
	layout_tables(p, &p->tables_mem);
	int32_t status = map_or_fail(p, &p->tables_mem, "tables");
	if (status) {
		return status;
	}
	layout_tables(p, &p->tables_mem);
	fill_tables(p);
	status = check_tables(p);
	if (status) {
		return status;
	}
	assign_rope_slots(p);
	layout_weights(p, &p->weight_mem);
	layout_kv(p, &p->kv_mem);
	layout_scratch(p, &p->scratch_mem);
	args->weight_bytes = p->weight_mem.used;
	args->kv_bytes = p->kv_mem.used;
	args->kv_block_bytes = p->kv_block_bytes;
	args->scratch_bytes = p->scratch_mem.used + p->tables_mem.used;
	if (args->flags & AQ_COMPILE_MEASURE) {
		return p->weight_mem.overflow || p->kv_mem.overflow || p->scratch_mem.overflow
			? fail(p->d, AQ_STATUS_MEMORY, INT64_MAX, "program")
			: AQ_STATUS_OK;
	}
	if ((status = map_or_fail(p, &p->weight_mem, "weights")) || (status = map_or_fail(p, &p->kv_mem, "KV cache")) ||
		(status = map_or_fail(p, &p->scratch_mem, "scratch"))) {
		return status;
	}
	layout_weights(p, &p->weight_mem);
	layout_kv(p, &p->kv_mem);
	layout_scratch(p, &p->scratch_mem);
	return AQ_STATUS_OK;
}

int32_t program_compile(device *d, aq_compile_args *args) {
	int32_t status = check_sizes(d, args);
	if (status) {
		return status;
	}
	program *p = calloc(1, sizeof *p);
	if (!p) {
		return fail(d, AQ_STATUS_MEMORY, sizeof *p, "program");
	}
	p->d = d;
	p->k = d->k;
	p->args = *args;
	status = compile_into(p, args);
	if (status || args->flags & AQ_COMPILE_MEASURE) {
		program_free(p);
		return status;
	}
	args->program = (uint64_t)(uintptr_t)p;
	return AQ_STATUS_OK;
}

void program_free(program *p) {
	arena_free(&p->weight_mem);
	arena_free(&p->kv_mem);
	arena_free(&p->scratch_mem);
	arena_free(&p->tables_mem);
	free(p);
}
