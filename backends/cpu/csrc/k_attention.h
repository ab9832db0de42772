// Attention of a tile of query rows over blocks of 32 positions, see op_attention.c; k_kv.h describes a block.
//
// Rows are taken some at a time, as many as their sums fit registers: each vector of keys or values is loaded and
// converted once for all of them, and serves the query heads of a KV head, several tokens, or both. The softmax runs
// online: a row keeps its maximum so far and rescales its sums when a block raises it.
//
// A row takes exactly the positions it may see, so neither stale cache contents nor later tokens of the step can reach
// it, not even as NaN times zero. Scores are summed by groups of 32 columns, values position by position, in the same
// order whatever rows share a tile.
#if VREGS == 32
enum { ROWS_MOST = 8 };
#else
enum { ROWS_MOST = 6 };
#endif

// rows_step is how many of n rows are taken at once: one of the cases of BY_ROWS.
INL int32_t rows_step(int32_t n) { return n >= ROWS_MOST && n != 7 ? ROWS_MOST : n == 6 ? 6 : min_i32(n, 4); }

#define BY_ROWS(rows, call)                                                                                           \
	switch (rows) {                                                                                                   \
	case 1:                                                                                                           \
		call(1);                                                                                                      \
		break;                                                                                                        \
	case 2:                                                                                                           \
		call(2);                                                                                                      \
		break;                                                                                                        \
	case 3:                                                                                                           \
		call(3);                                                                                                      \
		break;                                                                                                        \
	case 4:                                                                                                           \
		call(4);                                                                                                      \
		break;                                                                                                        \
	case 6:                                                                                                           \
		call(6);                                                                                                      \
		break;                                                                                                        \
	default:                                                                                                          \
		call(ROWS_MOST);                                                                                              \
	}

// score sets scores of R rows with positions [at, at + NV vectors) of a block.
INL void score_tile(const attn_args *a, const uint8_t *keys, const float *q, float *scores, int32_t at, const int32_t R,
	const int32_t NV, const int32_t type) {
	const uint16_t *scales = (const uint16_t *)(const void *)(keys + AQ_KV_BLOCK * a->pad) + at;
	for (int32_t from = 0; from < a->dim; from += AQ_KV_GROUP) {
		const int32_t to = min_i32(from + AQ_KV_GROUP, a->dim);
		vf s[8][4];
#pragma GCC unroll 8
		for (int32_t r = 0; r < R; r++) {
#pragma GCC unroll 4
			for (int32_t v = 0; v < NV; v++) {
				s[r][v] = v_zero();
			}
		}
		for (int32_t d = from; d < to; d++) {
			vf k[4];
#pragma GCC unroll 4
			for (int32_t v = 0; v < NV; v++) {
				k[v] = kv_vector(keys, d * AQ_KV_BLOCK + at + v * VW, type);
			}
#pragma GCC unroll 8
			for (int32_t r = 0; r < R; r++) {
				const vf x = v_set1(q[r * a->pad + d]);
#pragma GCC unroll 4
				for (int32_t v = 0; v < NV; v++) {
					s[r][v] = v_fma(x, k[v], s[r][v]);
				}
			}
		}
#pragma GCC unroll 4
		for (int32_t v = 0; v < NV; v++) {
			const vf scale = type == AQ_DTYPE_Q8_0 ? v_f16(scales + from / AQ_KV_GROUP * AQ_KV_BLOCK + v * VW) : v_zero();
#pragma GCC unroll 8
			for (int32_t r = 0; r < R; r++) {
				float *to_scores = scores + r * AQ_KV_BLOCK + at + v * VW;
				const vf sum = type == AQ_DTYPE_Q8_0 ? v_mul(scale, s[r][v]) : s[r][v];
				v_store(to_scores, from ? v_add(v_load(to_scores), sum) : sum);
			}
		}
	}
}

// score_rows sets the scores of R rows with the first n positions of a block, and of some behind them.
INL void score_rows(const attn_args *a, const uint8_t *keys, const float *q, float *scores, int32_t n, const int32_t R,
	const int32_t type) {
	const int32_t NV = VW < 16 && R <= 2 ? 4 : 2; // enough sums in flight for the latency of an addition
	for (int32_t at = 0; at < n; at += NV * VW) {
		score_tile(a, keys, q, scores, at, R, NV, type);
	}
}

// weighted_tile adds sum_i p[r][i] v[i] over positions [lo, hi) to NV vectors of the sums of R rows.
INL void weighted_tile(const attn_args *a, const uint8_t *values, const float *p, float *acc, int32_t d, int32_t lo,
	int32_t hi, const int32_t R, const int32_t NV, const int32_t type) {
	vf s[8][4];
#pragma GCC unroll 8
	for (int32_t r = 0; r < R; r++) {
#pragma GCC unroll 4
		for (int32_t v = 0; v < NV; v++) {
			s[r][v] = v_load(acc + r * a->pad + d + v * VW);
		}
	}
	for (int32_t i = lo; i < hi; i++) {
		vf x[4];
#pragma GCC unroll 4
		for (int32_t v = 0; v < NV; v++) {
			x[v] = kv_vector(values, (int64_t)i * a->pad + d + v * VW, type);
		}
#pragma GCC unroll 8
		for (int32_t r = 0; r < R; r++) {
			const vf w = v_set1(p[r * AQ_KV_BLOCK + i]);
#pragma GCC unroll 4
			for (int32_t v = 0; v < NV; v++) {
				s[r][v] = v_fma(w, x[v], s[r][v]);
			}
		}
	}
#pragma GCC unroll 8
	for (int32_t r = 0; r < R; r++) {
#pragma GCC unroll 4
		for (int32_t v = 0; v < NV; v++) {
			v_store(acc + r * a->pad + d + v * VW, s[r][v]);
		}
	}
}

// weighted_q8 multiplies the weights with the scales of a group of columns, and the bytes with the results.
INL void weighted_q8(const attn_args *a, const uint8_t *values, const float *p, float *acc, int32_t lo, int32_t hi,
	const int32_t R) {
	enum { NV = VW == 16 ? 2 : 4 };
	const uint16_t *scales = (const uint16_t *)(const void *)(values + AQ_KV_BLOCK * a->pad);
	for (int32_t from = 0; from < a->pad; from += AQ_KV_GROUP, scales += AQ_KV_BLOCK) {
		float scaled[8 * AQ_KV_BLOCK];
		for (int32_t r = 0; r < R; r++) {
			for (int32_t i = r * AQ_KV_BLOCK; i < (r + 1) * AQ_KV_BLOCK; i += VW) {
				v_store(scaled + i, v_mul(v_load(p + i), v_f16(scales + i - r * AQ_KV_BLOCK)));
			}
		}
		for (int32_t d = from; R <= 3 && d < from + AQ_KV_GROUP; d += NV * VW) {
			weighted_tile(a, values, scaled, acc, d, lo, hi, R, NV, AQ_DTYPE_Q8_0);
		}
		for (int32_t d = from; R > 3 && d < from + AQ_KV_GROUP; d += 2 * VW) {
			weighted_tile(a, values, scaled, acc, d, lo, hi, R, 2, AQ_DTYPE_Q8_0);
		}
	}
}

INL void weighted_rows(const attn_args *a, const uint8_t *values, const float *p, float *acc, int32_t lo, int32_t hi,
	const int32_t R, const int32_t type) {
	if (type == AQ_DTYPE_Q8_0) {
		weighted_q8(a, values, p, acc, lo, hi, R);
		return;
	}
	int32_t d = 0;
	for (; R <= 3 && d + 4 * VW <= a->pad; d += 4 * VW) {
		weighted_tile(a, values, p, acc, d, lo, hi, R, 4, type);
	}
	for (; d + 2 * VW <= a->pad; d += 2 * VW) {
		weighted_tile(a, values, p, acc, d, lo, hi, R, 2, type);
	}
	for (; d < a->pad; d += VW) {
		weighted_tile(a, values, p, acc, d, lo, hi, R, 1, type);
	}
}

INL bool any_nan(const vf *v, int32_t n) {
	vf sum = v_zero();
	for (int32_t i = 0; i < n; i++) {
		sum = v_add(sum, v_max(v_zero(), v[i])); // neither infinity minus infinity
	}
	const float s = sum4(v_fold(sum));
	return s != s;
}

// softmax_block turns scores [lo, hi) of a row into weights relative to the new maximum, zero elsewhere.
static void softmax_block(const attn_args *a, float *p, int32_t r, int32_t lo, int32_t hi) {
	enum { N = AQ_KV_BLOCK / VW };
	const vf scale = v_set1(a->scale), cap = v_set1(a->cap);
	vf s[N], top = v_set1(-INFINITY), sum = v_zero();
	for (int32_t i = 0; i < N; i++) {
		s[i] = v_mul(v_load(p + i * VW), scale);
		s[i] = a->cap > 0 ? v_mul(cap, v_tanh(v_div(s[i], cap))) : s[i];
	}
	if (lo > 0 || hi < AQ_KV_BLOCK) {
		for (int32_t i = 0; i < N; i++) {
			v_store(p + i * VW, s[i]);
		}
		for (int32_t i = 0; i < AQ_KV_BLOCK; i++) {
			p[i] = i < lo || i >= hi ? -INFINITY : p[i];
		}
		for (int32_t i = 0; i < N; i++) {
			s[i] = v_load(p + i * VW);
		}
	}
	for (int32_t i = 0; i < N; i++) {
		top = v_max(top, s[i]);
	}
	const float before = a->max[r], high = v_hmax(top);
	const float now = high > before ? high : before; // NaN does not count, wherever it is
	if (now == -INFINITY && !any_nan(s, N)) {        // every score was -inf: no weight at all
		memset(p, 0, AQ_KV_BLOCK * sizeof *p);
		return;
	}
	for (int32_t i = 0; i < N; i++) {
		s[i] = v_exp(v_sub(s[i], v_set1(now)));
		v_store(p + i * VW, s[i]);
		sum = v_add(sum, s[i]);
	}
	if (now != before) {
		float f[VW];
		v_store(f, v_exp(v_set1(before - now)));
		const vf factor = v_set1(f[0]);
		for (int32_t d = 0; d < a->pad; d += VW) {
			float *acc = a->acc + (int64_t)r * a->pad + d;
			v_store(acc, v_mul(v_load(acc), factor));
		}
		a->sum[r] *= f[0];
		a->max[r] = now;
	}
	a->sum[r] += sum4(v_fold(sum));
}

// block_view is what the rows of a tile see of a block.
typedef struct block_view {
	const uint8_t *keys, *values;
	int32_t n;                                // positions that are cached
	int32_t lo[AQ_ATTN_ROWS], hi[AQ_ATTN_ROWS]; // row r sees [lo, hi)
} block_view;

INL void weighted_some(const attn_args *a, const block_view *b, int32_t r, int32_t rows, int32_t lo, int32_t hi,
	const int32_t type) {
	const float *p = a->workspace + r * AQ_KV_BLOCK;
	float *acc = a->acc + (int64_t)r * a->pad;
#define CALL(R) weighted_rows(a, b->values, p, acc, lo, hi, R, type)
	BY_ROWS(rows, CALL)
#undef CALL
}

// weighted_block adds the values of a block to rows [r, r + rows): first what single rows see before the positions that
// all of them see, then those, then the rest, which keeps every row's order.
INL void weighted_block(const attn_args *a, const block_view *b, int32_t r, int32_t rows, const int32_t type) {
	int32_t lo = 0, hi = AQ_KV_BLOCK;
	for (int32_t i = r; i < r + rows; i++) {
		lo = max_i32(lo, b->lo[i]);
		hi = min_i32(hi, b->hi[i]);
	}
	hi = max_i32(lo, hi);
	for (int32_t i = r; i < r + rows; i++) {
		if (b->lo[i] < min_i32(lo, b->hi[i])) {
			weighted_some(a, b, i, 1, b->lo[i], min_i32(lo, b->hi[i]), type);
		}
	}
	if (lo < hi) {
		weighted_some(a, b, r, rows, lo, hi, type);
	}
	for (int32_t i = r; i < r + rows; i++) {
		if (hi < b->hi[i]) {
			weighted_some(a, b, i, 1, max_i32(hi, b->lo[i]), b->hi[i], type);
		}
	}
}

INL void attend_block(const attn_args *a, const block_view *b, int32_t first, const int32_t type) {
	float *scores = a->workspace;
	for (int32_t r = first; r < a->rows;) {
		const int32_t rows = rows_step(a->rows - r);
		const float *q = a->q + (int64_t)r * a->pad;
		float *to = scores + r * AQ_KV_BLOCK;
#define CALL(R) score_rows(a, b->keys, q, to, b->n, R, type)
		BY_ROWS(rows, CALL)
#undef CALL
		for (const int32_t end = r + rows; r < end; r++) {
			if (b->lo[r] < b->hi[r]) {
				softmax_block(a, scores + r * AQ_KV_BLOCK, r, b->lo[r], b->hi[r]);
			}
		}
		weighted_block(a, b, r - rows, rows, type);
	}
}

INL void attend(const attn_args *a, const int32_t type) {
	for (int32_t from = a->from; from < a->to; from += AQ_KV_BLOCK) {
		const uint8_t *block = a->kv + a->blocks[from / AQ_KV_BLOCK] * a->block_bytes;
		block_view b = {.keys = block + a->k, .values = block + a->v, .n = min_i32(AQ_KV_BLOCK, a->to - from)};
		int32_t first = a->rows; // the first row that sees anything: rows come in the order of their positions
		for (int32_t r = a->rows - 1; r >= 0; r--) {
			b.hi[r] = min_i32(b.n, a->pos[r] - from + 1);
			b.lo[r] = a->window > 0 ? max_i32(0, a->pos[r] - a->window + 1 - from) : 0;
			first = b.hi[r] > 0 ? r : first;
		}
		attend_block(a, &b, first, type);
	}
}

static void attention(const attn_args *a) {
	for (int32_t r = 0; r < a->rows; r++) {
		a->max[r] = -INFINITY;
		a->sum[r] = 0;
		memset(a->acc + (int64_t)r * a->pad, 0, (size_t)a->pad * sizeof(float));
	}
	switch (a->type) {
	case AQ_DTYPE_F32:
		attend(a, AQ_DTYPE_F32);
		break;
	case AQ_DTYPE_F16:
		attend(a, AQ_DTYPE_F16);
		break;
	default:
		attend(a, AQ_DTYPE_Q8_0);
	}
}

// merge adds the running softmax (max2, sum2, acc2) to another.
static void merge(float *max, float *sum, float *acc, float max2, float sum2, const float *acc2, int32_t n) {
	if (max2 == -INFINITY && sum2 == 0) {
		return;
	}
	const float now = max2 > *max ? max2 : *max;
	float f[VW], f2[VW];
	v_store(f, v_exp(v_set1(*max - now)));
	v_store(f2, v_exp(v_set1(max2 - now)));
	const vf a = v_set1(f[0]), b = v_set1(f2[0]);
	for (int32_t i = 0; i < n; i += VW) {
		v_store(acc + i, v_fma(v_load(acc + i), a, v_mul(v_load(acc2 + i), b)));
	}
	*sum = *sum * f[0] + sum2 * f2[0];
	*max = now;
}
