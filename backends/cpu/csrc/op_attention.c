// Attention over the KV cache, in blocks of 32 positions.
//
// Phase 0 stores the step's keys and values. Phase 1 computes, phase 2 merges. A unit of phase 1 is a tile of query
// rows that share a KV head: some tokens of one sequence times some of the KV head's query heads, at most
// AQ_ATTN_ROWS rows, so that every block of keys and values comes from memory once for all of them. Positions are summed in chunks of AQ_ATTN_CHUNK, each with its own softmax maximum, and the chunks of a row
// are merged in order. When there are few tiles, chunks are units of their own and phase 2 merges them; otherwise a
// unit walks through its chunks itself. Both do the same arithmetic, so a row's result does not depend on what else
// the step holds.
#include <math.h>
#include <string.h>

#include "aq.h"

enum { STORE_TOKENS = 16, SPLIT_UNITS = 32 };

// attention_workspace returns the floats a unit works with: scores, queries, and two sets of sums.
int64_t attention_workspace(int32_t dim_pad) {
	return AQ_ATTN_ROWS * AQ_KV_BLOCK + 3 * AQ_ATTN_ROWS * (int64_t)dim_pad + 4 * AQ_ATTN_ROWS;
}

static int32_t most_chunks(const program *p) {
	const int64_t positions = (int64_t)p->args.kv_blocks * AQ_KV_BLOCK;
	const int64_t n = positions < p->args.max_pos ? positions : p->args.max_pos;
	return (int32_t)((n + AQ_ATTN_CHUNK - 1) / AQ_ATTN_CHUNK);
}

// A partial result of a row: maximum, sum, and dim values behind 16 floats, which keeps the values aligned.
static int64_t partial_size(int32_t dim_pad) { return dim_pad + AQ_LANES; }

int64_t attention_partials(const program *p, const aq_op *op) {
	const int32_t pad = (int32_t)round_up(p->layers[op->i[0]].dim, AQ_KV_GROUP); // at least
	return (int64_t)min_i32(p->args.max_seqs, 4) * op->i[1] * most_chunks(p) * partial_size(pad);
}

// ---- storing --------------------------------------------------------------------------------------------------------

// store_run stores a head of all its tokens before the next: a head's keys of neighbouring positions share cache lines.
static void store_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const aq_kv_layer *l = &p->layers[c->op.i[0]];
	const aq_ref key = c->op.in[1], value = c->op.in[2];
	for (int32_t h = 0; h < l->heads; h++) {
		for (int32_t t = unit * STORE_TOKENS; t < min_i32((unit + 1) * STORE_TOKENS, p->run.n_tokens); t++) {
			const int32_t pos = p->token_pos[t], block = p->blocks[p->seqs[p->token_seq[t]].block + pos / AQ_KV_BLOCK];
			uint8_t *to = p->kv + block * p->kv_block_bytes + h * c->kv_head;
			p->k->kv_store(to + c->kv_k, to + c->kv_v, ref_data(p, key) + t * ref_stride(p, key) + (int64_t)h * l->dim,
				ref_data(p, value) + t * ref_stride(p, value) + (int64_t)h * l->dim, pos % AQ_KV_BLOCK, l->dim,
				c->dim_pad, p->args.kv_type);
		}
	}
}

// ---- tiles ----------------------------------------------------------------------------------------------------------

// tile is what a unit works on: tokens [token, token + tokens) times query heads [head, head + heads).
typedef struct tile {
	int32_t token, tokens, head, heads, kv_head, chunk, chunks;
	const aq_seq *seq;
} tile;

static tile find_tile(const program *p, const compiled_op *c, int32_t unit) {
	const attn_state *s = &p->attn;
	const aq_kv_layer *l = &p->layers[c->op.i[0]];
	const int32_t group = c->op.i[1] / l->heads; // query heads of a KV head
	tile t = {0};
	if (s->split) {
		t.chunk = unit % s->chunks;
		unit /= s->chunks;
	}
	const int32_t part = unit % s->head_split;
	unit /= s->head_split;
	t.kv_head = unit % l->heads;
	unit /= l->heads;
	const int32_t from = group * part / s->head_split, to = group * (part + 1) / s->head_split;
	t.head = t.kv_head * group + from;
	t.heads = to - from;
	int32_t seq = 0;
	while (p->seq_tiles[seq + 1] <= unit) {
		seq++;
		t.token += p->seqs[seq - 1].n;
	}
	t.seq = &p->seqs[seq];
	const int32_t first = (unit - p->seq_tiles[seq]) * s->tile_tokens;
	t.token += first;
	t.tokens = min_i32(s->tile_tokens, t.seq->n - first);
	t.chunks = (t.seq->pos + first + t.tokens - 1) / AQ_ATTN_CHUNK + 1;
	return t;
}

static float *partial_of(const program *p, const compiled_op *c, int32_t token, int32_t head, int32_t chunk) {
	return p->attn_partials +
		(((int64_t)token * c->op.i[1] + head) * p->attn.chunks + chunk) * partial_size(c->dim_pad);
}

static void attention_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	const tile t = find_tile(p, c, unit);
	const aq_kv_layer *l = &p->layers[c->op.i[0]];
	const int32_t rows = t.tokens * t.heads, pad = c->dim_pad, window = c->op.i[2];
	if (t.chunk >= t.chunks) {
		return; // a unit of a longer sequence's chunk
	}
	float *scores = (float *)(void *)worker->workspace, *q = scores + AQ_ATTN_ROWS * AQ_KV_BLOCK;
	float *acc = q + AQ_ATTN_ROWS * pad, *total = acc + AQ_ATTN_ROWS * pad, *max = total + AQ_ATTN_ROWS * pad;
	float *sum = max + AQ_ATTN_ROWS, *total_max = sum + AQ_ATTN_ROWS, *total_sum = total_max + AQ_ATTN_ROWS;
	int32_t pos[AQ_ATTN_ROWS];
	for (int32_t r = 0; r < rows; r++) {
		const int32_t token = t.token + r / t.heads, head = t.head + r % t.heads;
		const float *src = ref_data(p, c->op.in[0]) + token * ref_stride(p, c->op.in[0]) + (int64_t)head * l->dim;
		memcpy(q + r * pad, src, (size_t)l->dim * sizeof(float));
		pos[r] = p->token_pos[token];
		total_max[r] = -INFINITY;
		total_sum[r] = 0;
		memset(total + r * pad, 0, (size_t)pad * sizeof(float));
	}
	attn_args a = {.q = q, .pos = pos, .blocks = p->blocks + t.seq->block, .kv = p->kv,
		.block_bytes = p->kv_block_bytes, .k = c->kv_k + t.kv_head * c->kv_head, .v = c->kv_v + t.kv_head * c->kv_head,
		.max = max, .sum = sum, .acc = acc, .workspace = scores, .scale = c->op.f[0], .cap = c->op.f[1], .rows = rows,
		.dim = l->dim, .pad = pad, .window = window, .type = p->args.kv_type};
	const int32_t end = pos[rows - 1] + 1, first_chunk = p->attn.split ? t.chunk : 0;
	const int32_t seen = window > 0 ? max_i32(0, pos[0] - window + 1) : 0; // first position that any row sees
	for (int32_t chunk = first_chunk; chunk < (p->attn.split ? t.chunk + 1 : t.chunks); chunk++) {
		a.from = max_i32(chunk * AQ_ATTN_CHUNK, seen / AQ_KV_BLOCK * AQ_KV_BLOCK);
		a.to = min_i32((chunk + 1) * AQ_ATTN_CHUNK, end);
		p->k->attention(&a); // an empty range gives empty sums
		for (int32_t r = 0; r < rows; r++) {
			if (p->attn.split) {
				float *out = partial_of(p, c, t.token + r / t.heads, t.head + r % t.heads, chunk);
				out[0] = max[r];
				out[1] = sum[r];
				memcpy(out + AQ_LANES, acc + r * pad, (size_t)pad * sizeof(float));
			} else {
				p->k->merge(&total_max[r], &total_sum[r], total + r * pad, max[r], sum[r], acc + r * pad, pad);
			}
		}
	}
	for (int32_t r = 0; r < rows && !p->attn.split; r++) {
		const int32_t token = t.token + r / t.heads, head = t.head + r % t.heads;
		float *out = ref_data(p, c->op.out[0]) + token * ref_stride(p, c->op.out[0]) + (int64_t)head * l->dim;
		for (int32_t i = 0; i < l->dim; i++) {
			out[i] = total[r * pad + i] / total_sum[r];
		}
	}
}

// merge_run merges the chunks of one token and head.
static void merge_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)worker;
	const int32_t token = unit / c->op.i[1], head = unit % c->op.i[1], dim = p->layers[c->op.i[0]].dim;
	float max = -INFINITY, sum = 0;
	float *total = (float *)(void *)worker->workspace;
	memset(total, 0, (size_t)c->dim_pad * sizeof(float));
	for (int32_t chunk = 0; chunk <= p->token_pos[token] / AQ_ATTN_CHUNK; chunk++) {
		const float *from = partial_of(p, c, token, head, chunk);
		p->k->merge(&max, &sum, total, from[0], from[1], from + AQ_LANES, c->dim_pad);
	}
	float *out = ref_data(p, c->op.out[0]) + token * ref_stride(p, c->op.out[0]) + (int64_t)head * dim;
	for (int32_t i = 0; i < dim; i++) {
		out[i] = total[i] / sum;
	}
}

// begin cuts the step into tiles.
static int32_t begin(program *p, const compiled_op *c) {
	attn_state *s = &p->attn;
	const aq_kv_layer *l = &p->layers[c->op.i[0]];
	const int32_t group = c->op.i[1] / l->heads;
	s->head_split = (group + AQ_ATTN_ROWS - 1) / AQ_ATTN_ROWS;
	s->tile_tokens = max_i32(1, AQ_ATTN_ROWS / ((group + s->head_split - 1) / s->head_split));
	s->tiles = 0;
	s->chunks = 1;
	for (int32_t i = 0; i < p->run.n_seqs; i++) {
		p->seq_tiles[i] = s->tiles;
		s->tiles += (p->seqs[i].n + s->tile_tokens - 1) / s->tile_tokens;
		s->chunks = max_i32(s->chunks, (p->seqs[i].pos + p->seqs[i].n - 1) / AQ_ATTN_CHUNK + 1);
	}
	p->seq_tiles[p->run.n_seqs] = s->tiles;
	const int32_t units = s->tiles * l->heads * s->head_split;
	s->split = units <= SPLIT_UNITS && s->chunks > 1 &&
		(int64_t)p->run.n_tokens * c->op.i[1] * s->chunks * partial_size(c->dim_pad) <= p->attn_partials_floats;
	return s->split ? units * s->chunks : units;
}

bool attention_plan(program *p, const compiled_op *c, int32_t phase, job *out) {
	const aq_kv_layer *l = &p->layers[c->op.i[0]];
	switch (phase) {
	case 0:
		out->run = store_run;
		out->units = (p->run.n_tokens + STORE_TOKENS - 1) / STORE_TOKENS;
		out->small = (int64_t)p->run.n_tokens * l->heads * l->dim <= AQ_SMALL;
		return true;
	case 1: {
		out->run = attention_run;
		out->units = begin(p, c);
		int64_t seen = 0;
		for (int32_t i = 0; i < p->run.n_seqs; i++) {
			seen += (int64_t)p->seqs[i].n * (p->seqs[i].pos + p->seqs[i].n);
		}
		out->small = seen * c->op.i[1] * l->dim <= 2 * AQ_SMALL;
		return true;
	}
	case 2:
		out->run = merge_run;
		out->units = p->attn.split ? p->run.n_tokens * c->op.i[1] : 0;
		out->small = true;
		return true;
	default:
		return false;
	}
}
