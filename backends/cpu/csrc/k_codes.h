// AQLM codes of 9 to 16 bits times a few tokens: decode an entry, multiply, add.
//
// A codebook of 65536 entries is 1 MB in F16, so a code costs one random cache line from L2 or L3 and nothing else
// matters much: rows are interleaved to have enough loads in flight, the stream of codes is prefetched by hand (it
// more than doubled the speed), and books that came in F16 stay in F16. Sorting entries, prefetching entries and
// 6-bit books gained nothing.

#include "vec8.h"

enum { CODES_COLS = 1024 }; // sums are folded at least that often

INL v8 code_entry(const weight *w, int64_t at, const bool half) {
	return half ? v8_f16(w->book16 + at) : v8_load(w->book + at);
}

// code_block adds groups [j, end) of R rows to acc.
INL void code_block(const codes_args *a, const uint16_t *codes, int64_t row_codes, const float *x, int32_t j, int32_t end,
	const int32_t R, const int32_t C, const int32_t K, const int32_t g, const bool half, v8 acc[4][4]) {
	const int64_t book = ((int64_t)1 << a->w->info.bits) * g;
	for (; j < end; j++) {
		if (j % 16 == 0) {
#pragma GCC unroll 4
			for (int32_t r = 0; r < R; r++) {
				__builtin_prefetch((const char *)(codes + r * row_codes + (int64_t)j * K) + 2048, 0, 3);
			}
		}
#pragma GCC unroll 2
		for (int32_t v = 0; v < g; v += 8) {
			v8 xv[4];
#pragma GCC unroll 4
			for (int32_t t = 0; t < C; t++) {
				xv[t] = v8_load(x + t * a->ldx + (int64_t)j * g + v);
			}
#pragma GCC unroll 4
			for (int32_t r = 0; r < R; r++) {
				const uint16_t *c = codes + r * row_codes + (int64_t)j * K;
				v8 e = code_entry(a->w, (int64_t)c[0] * g + v, half);
				if (K == 2) {
					e = v8_add(e, code_entry(a->w, book + (int64_t)c[1] * g + v, half));
				}
#pragma GCC unroll 4
				for (int32_t t = 0; t < C; t++) {
					acc[r][t] = v8_fma(e, xv[t], acc[r][t]);
				}
			}
		}
	}
}

INL void code_rows(const codes_args *a, int32_t r, int32_t t, const int32_t R, const int32_t C, const int32_t K,
	const int32_t g, const bool half) {
	const int64_t row_codes = (int64_t)a->w->groups * K;
	const uint16_t *codes = (const uint16_t *)(const void *)a->w->data + (a->row + r) * row_codes;
	float sum[4][4] = {{0}};
	for (int32_t j = 0; j < a->w->groups; j += CODES_COLS / g) {
		v8 acc[4][4];
#pragma GCC unroll 4
		for (int32_t i = 0; i < R; i++) {
#pragma GCC unroll 4
			for (int32_t k = 0; k < C; k++) {
				acc[i][k] = v8_zero();
			}
		}
		code_block(a, codes, row_codes, a->x + t * a->ldx, j, min_i32(a->w->groups, j + CODES_COLS / g), R, C, K, g,
			half, acc);
#pragma GCC unroll 4
		for (int32_t i = 0; i < R; i++) {
#pragma GCC unroll 4
			for (int32_t k = 0; k < C; k++) {
				sum[i][k] += sum4(v8_fold(acc[i][k]));
			}
		}
	}
	for (int32_t i = 0; i < R; i++) {
		for (int32_t k = 0; k < C; k++) {
			a->y[(t + k) * a->ldy + r + i] = sum[i][k] * a->w->scales[a->row + r + i] + (a->bias ? a->bias[r + i] : 0);
		}
	}
}

// code_tokens multiplies all rows with C tokens from t on, R rows at a time.
INL void code_tokens(const codes_args *a, int32_t t, const int32_t R, const int32_t C, const int32_t K, const int32_t g,
	const bool half) {
	int32_t r = 0;
	for (; r + R <= a->rows; r += R) {
		code_rows(a, r, t, R, C, K, g, half);
	}
	for (; r < a->rows; r++) {
		for (int32_t i = 0; i < C; i++) {
			code_rows(a, r, t + i, 1, 1, K, g, half);
		}
	}
}

// An entry is loaded once for up to four tokens. More rows side by side than that leave no registers.
INL void codes_scheme(const codes_args *a, const int32_t K, const int32_t g, const bool half) {
	int32_t t = 0;
	for (; t + 4 <= a->tokens; t += 4) {
		code_tokens(a, t, 2, 4, K, g, half);
	}
	switch (a->tokens - t) {
	case 3:
		code_tokens(a, t, 2, 3, K, g, half);
		break;
	case 2:
		code_tokens(a, t, 4, 2, K, g, half);
		break;
	case 1:
		code_tokens(a, t, 4, 1, K, g, half);
		break;
	default:
		break;
	}
}

static void codes_product(const codes_args *a) {
	const bool half = a->w->book16 != NULL;
	switch (a->w->info.books * 32 + a->w->info.in_group + half) {
	case 40:
		codes_scheme(a, 1, 8, false);
		break;
	case 41:
		codes_scheme(a, 1, 8, true);
		break;
	case 48:
		codes_scheme(a, 1, 16, false);
		break;
	case 49:
		codes_scheme(a, 1, 16, true);
		break;
	case 72:
		codes_scheme(a, 2, 8, false);
		break;
	case 73:
		codes_scheme(a, 2, 8, true);
		break;
	case 80:
		codes_scheme(a, 2, 16, false);
		break;
	default:
		codes_scheme(a, 2, 16, true);
	}
}
