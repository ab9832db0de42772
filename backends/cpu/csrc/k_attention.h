// Attention of a tile of query rows over blocks of 32 positions, see op_attention.c.
//
// Scores of a block are a small panel product (keys are the panel, queries the tokens). The softmax runs online: a
// row keeps its maximum so far and rescales its sums when a block raises it. Each row takes exactly the positions it
// may see, so neither stale cache contents nor later tokens of the step can reach it, not even as NaN times zero.

// weighted adds sum_i p[r][i] v[i] for rows..rows+R, positions [lo, hi) and NV vectors of dim to acc.
INL void weighted_tile(const float *p, const float *v, float *acc, int32_t lo, int32_t hi, int64_t dim, const int32_t R,
	const int32_t NV) {
	vf a[4][4];
#pragma GCC unroll 4
	for (int32_t r = 0; r < R; r++) {
#pragma GCC unroll 4
		for (int32_t d = 0; d < NV; d++) {
			a[r][d] = v_load(acc + r * dim + d * VW);
		}
	}
	for (int32_t i = lo; i < hi; i++) {
		vf vv[4];
#pragma GCC unroll 4
		for (int32_t d = 0; d < NV; d++) {
			vv[d] = v_load(v + i * dim + d * VW);
		}
#pragma GCC unroll 4
		for (int32_t r = 0; r < R; r++) {
			const vf s = v_set1(p[r * AQ_KV_BLOCK + i]);
#pragma GCC unroll 4
			for (int32_t d = 0; d < NV; d++) {
				a[r][d] = v_fma(s, vv[d], a[r][d]);
			}
		}
	}
#pragma GCC unroll 4
	for (int32_t r = 0; r < R; r++) {
#pragma GCC unroll 4
		for (int32_t d = 0; d < NV; d++) {
			v_store(acc + r * dim + d * VW, a[r][d]);
		}
	}
}

INL void weighted_rows(const float *p, const float *v, float *acc, int32_t lo, int32_t hi, int64_t dim, const int32_t R) {
	int64_t d = 0;
#if VW >= 8 || VREGS == 32
	for (; d + 4 * VW <= dim; d += 4 * VW) {
		weighted_tile(p, v + d, acc + d, lo, hi, dim, R, 4);
	}
#endif
	for (; d + 2 * VW <= dim; d += 2 * VW) {
		weighted_tile(p, v + d, acc + d, lo, hi, dim, R, 2);
	}
	for (; d < dim; d += VW) {
		weighted_tile(p, v + d, acc + d, lo, hi, dim, R, 1);
	}
}

static void weighted(const float *p, const float *v, float *acc, int32_t lo, int32_t hi, int64_t dim, int32_t rows) {
	int32_t r = 0;
#if VREGS == 32
	enum { STEP = 4 };
#else
	enum { STEP = 2 };
#endif
	for (; r + STEP <= rows; r += STEP) {
		weighted_rows(p + r * AQ_KV_BLOCK, v, acc + r * dim, lo, hi, dim, STEP);
	}
#if VREGS == 32
	if (r + 2 <= rows) {
		weighted_rows(p + r * AQ_KV_BLOCK, v, acc + r * dim, lo, hi, dim, 2);
		r += 2;
	}
#endif
	if (r < rows) {
		weighted_rows(p + r * AQ_KV_BLOCK, v, acc + r * dim, lo, hi, dim, 1);
	}
}

// softmax_block turns scores [lo, hi) of a row into weights relative to the new maximum, zero elsewhere.
INL void softmax_block(const attn_args *a, float *p, int32_t r, int32_t lo, int32_t hi) {
	vf top = v_set1(-INFINITY);
	for (int32_t i = 0; i < AQ_KV_BLOCK; i++) {
		if (i < lo || i >= hi) {
			p[i] = -INFINITY;
		} else if (a->cap > 0) {
			p[i] = a->cap * tanhf(a->scale * p[i] / a->cap);
		} else {
			p[i] *= a->scale;
		}
	}
	for (int32_t i = 0; i < AQ_KV_BLOCK; i += VW) {
		top = v_max(top, v_load(p + i));
	}
	const float before = a->max[r], high = v_hmax(top);
	const float now = high > before ? high : before;
	if (now == -INFINITY) { // every score was -inf: no weight at all
		for (int32_t i = 0; i < AQ_KV_BLOCK; i++) {
			p[i] = 0;
		}
		return;
	}
	vf sum = v_zero();
	const vf m = v_set1(now);
	for (int32_t i = 0; i < AQ_KV_BLOCK; i += VW) {
		const vf e = v_exp(v_sub(v_load(p + i), m));
		v_store(p + i, e);
		sum = v_add(sum, e);
	}
	if (now != before) {
		float f[VW];
		v_store(f, v_exp(v_set1(before - now)));
		const vf factor = v_set1(f[0]);
		for (int32_t d = 0; d < a->dim; d += VW) {
			float *acc = a->acc + (int64_t)r * a->dim + d;
			v_store(acc, v_mul(v_load(acc), factor));
		}
		a->sum[r] *= f[0];
		a->max[r] = now;
	}
	a->sum[r] += sum4(v_fold(sum));
}

static void attention(const attn_args *a) {
	float *keys = a->workspace, *values = keys + AQ_KV_BLOCK * a->dim, *scores = values + AQ_KV_BLOCK * a->dim;
	for (int32_t r = 0; r < a->rows; r++) {
		a->max[r] = -INFINITY;
		a->sum[r] = 0;
		memset(a->acc + (int64_t)r * a->dim, 0, (size_t)a->dim * sizeof(float));
	}
	for (int32_t from = a->from; from < a->to; from += AQ_KV_BLOCK) {
		const uint8_t *block = a->kv + a->blocks[from / AQ_KV_BLOCK] * a->block_bytes;
		const int32_t n = min_i32(AQ_KV_BLOCK, a->to - from);
		const float *k = (const float *)(const void *)(block + a->k), *v = (const float *)(const void *)(block + a->v);
		if (a->f16) {
			to_f32(keys, block + a->k, AQ_DTYPE_F16, (int64_t)n * a->dim);
			to_f32(values, block + a->v, AQ_DTYPE_F16, (int64_t)n * a->dim);
			k = keys;
			v = values;
		}
		const gemm_args scored = {.w = k, .ldw = a->dim, .x = a->q, .ldx = a->dim, .y = scores, .ldy = AQ_KV_BLOCK,
			.cols = a->dim, .rows = n, .tokens = a->rows, .first = true};
		gemm(&scored);
		for (int32_t r = 0; r < a->rows;) {
			int32_t same = r; // rows of one token see the same positions
			const int32_t hi = min_i32(n, a->pos[r] - from + 1);
			const int32_t lo = a->window > 0 ? max_i32(0, a->pos[r] - a->window + 1 - from) : 0;
			for (; same < a->rows && a->pos[same] == a->pos[r]; same++) {
				if (lo < hi) {
					softmax_block(a, scores + same * AQ_KV_BLOCK, same, lo, hi);
				}
			}
			if (lo < hi) {
				weighted(scores + r * AQ_KV_BLOCK, v, a->acc + (int64_t)r * a->dim, lo, hi, a->dim, same - r);
			}
			r = same;
		}
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
