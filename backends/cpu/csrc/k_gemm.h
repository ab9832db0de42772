// Panel product and direct dense product: dot products along the columns, vectors of partial sums in registers.
//
// A register tile is 4 weight rows x TOKENS tokens. Both operands are read in their natural order, so neither needs
// packing; the price is a horizontal sum for every tile and column block, 4 rows at a time (about 10 % of a block of
// 576 columns). Each (row, token) pair has its own accumulator and its columns are added in order, so its value does
// not depend on the tile it was part of. Tried and dropped: vectors across tokens (needs a transposed copy of x and a
// transposed result; slower below 16 tokens, equal above).

#if VW == 16
enum { TOKENS = 6 };
#elif VW == 8
enum { TOKENS = 3 };
#elif VREGS == 32
enum { TOKENS = 4 };
#else
enum { TOKENS = 2 };
#endif

// finish adds a column block's sums of rows r..r+3 to y, and scale and bias behind the last block.
INL void finish(const gemm_args *a, int32_t r, float *y, f4 s) {
	const int32_t n = a->rows - r;
	if (n >= 4) {
		if (!a->first) {
			s = s + f4_load(y);
		}
		if (a->last && a->scale) {
			s = s * f4_load(a->scale + r);
		}
		if (a->last && a->bias) {
			s = s + f4_load(a->bias + r);
		}
		f4_store(y, s);
		return;
	}
	float t[4];
	f4_store(t, s);
	for (int32_t i = 0; i < n; i++) {
		float v = a->first ? t[i] : t[i] + y[i];
		v = a->last && a->scale ? v * a->scale[r + i] : v;
		y[i] = a->last && a->bias ? v + a->bias[r + i] : v;
	}
}

INL void gemm_tile(const gemm_args *a, int32_t r, int32_t t, const int32_t tokens) {
	vf acc[4][TOKENS];
	const float *w = a->w + r * a->ldw, *x = a->x + t * a->ldx;
#pragma GCC unroll 4
	for (int32_t i = 0; i < 4; i++) {
#pragma GCC unroll 8
		for (int32_t j = 0; j < tokens; j++) {
			acc[i][j] = v_zero();
		}
	}
	for (int32_t k = 0; k < a->cols; k += VW) {
		vf xv[TOKENS];
#pragma GCC unroll 8
		for (int32_t j = 0; j < tokens; j++) {
			xv[j] = v_load(x + j * a->ldx + k);
		}
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
			const vf wv = v_load(w + i * a->ldw + k);
#pragma GCC unroll 8
			for (int32_t j = 0; j < tokens; j++) {
				acc[i][j] = v_fma(wv, xv[j], acc[i][j]);
			}
		}
	}
#pragma GCC unroll 8
	for (int32_t j = 0; j < tokens; j++) {
		finish(a, r, a->y + (t + j) * a->ldy + r, v_hsum4(acc[0][j], acc[1][j], acc[2][j], acc[3][j]));
	}
}

// Panels have room for whole tiles: rows behind the last are computed from old contents and not stored.
static void gemm(const gemm_args *a) {
	int32_t t = 0;
	for (; t + TOKENS <= a->tokens; t += TOKENS) {
		for (int32_t r = 0; r < a->rows; r += 4) {
			gemm_tile(a, r, t, TOKENS);
		}
	}
	for (int32_t r = 0; t < a->tokens && r < a->rows; r += 4) {
		switch (a->tokens - t) {
		case 1:
			gemm_tile(a, r, t, 1);
			break;
#if VW >= 8 || VREGS == 32
		case 2:
			gemm_tile(a, r, t, 2);
			break;
#endif
#if VREGS == 32
		case 3:
			gemm_tile(a, r, t, 3);
			break;
#endif
#if VW == 16
		case 4:
			gemm_tile(a, r, t, 4);
			break;
		case 5:
			gemm_tile(a, r, t, 5);
			break;
#endif
		}
	}
}

// ---- direct dense product -----------------------------------------------------------------------------------------

// At one token the product is as fast as memory delivers, so what matters is the prefetch, to L2 and in storage order:
// rows of a register tile are streams too short for the hardware. It must be ahead by a whole tile: by less, and the
// last rows of a tile of long rows are reached before it (a third of the speed of Q8_0). The first tokens prefetch;
// for the others the tile is in the cache, and their prefetch of it is harmless. At more tokens the conversion of
// weights counts: a tile takes as many tokens as sums fit the registers.

enum {
	DENSE_COLS = 1024,  // sums are folded at least that often, which keeps rounding errors small in long rows
	DENSE_AHEAD = 8192, // bytes of prefetch, at least
	DENSE_TOKENS = VW == 16 ? 4 : 2
};

INL vf block_scale(const uint8_t *block) {
	uint16_t h;
	memcpy(&h, block, 2);
	return v_set1(f32_of_f16(h));
}

// q8_block adds a block of Q8_0 to the sums. At few tokens its columns are added first and scaled together; with
// many, scaled weights leave more registers. The two round differently, so all tokens of a product use one.
INL void q8_block(const dense_args *a, const uint8_t *w, const float *x, const int32_t rows, const int32_t tokens,
	const bool many, vf acc[4][DENSE_TOKENS]) {
	if (many) {
#pragma GCC unroll 8
		for (int32_t v = 0; v < 32; v += VW) {
			vf xv[DENSE_TOKENS];
#pragma GCC unroll 4
			for (int32_t j = 0; j < tokens; j++) {
				xv[j] = v_load(x + j * a->ldx + v);
			}
#pragma GCC unroll 4
			for (int32_t i = 0; i < rows; i++) {
				const uint8_t *b = w + i * a->row_bytes;
				const vf wv = v_mul(block_scale(b), v_i8(b + 2 + v));
#pragma GCC unroll 4
				for (int32_t j = 0; j < tokens; j++) {
					acc[i][j] = v_fma(wv, xv[j], acc[i][j]);
				}
			}
		}
		return;
	}
#pragma GCC unroll 4
	for (int32_t i = 0; i < rows; i++) {
		const uint8_t *b = w + i * a->row_bytes;
		vf part[DENSE_TOKENS];
#pragma GCC unroll 8
		for (int32_t v = 0; v < 32; v += VW) {
			const vf q = v_i8(b + 2 + v);
#pragma GCC unroll 4
			for (int32_t j = 0; j < tokens; j++) {
				const vf xv = v_load(x + j * a->ldx + v);
				part[j] = v == 0 ? v_mul(q, xv) : v_fma(q, xv, part[j]);
			}
		}
#pragma GCC unroll 4
		for (int32_t j = 0; j < tokens; j++) {
			acc[i][j] = v_fma(block_scale(b), part[j], acc[i][j]);
		}
	}
}

// Columns [k, end) of `rows` rows x `tokens` tokens, type known at compile time. ahead is where the prefetch is.
INL void dense_block(const dense_args *a, const uint8_t *w, const float *x, int32_t k, int32_t end, const uint8_t *ahead,
	const int32_t type, const int32_t rows, const int32_t tokens, const bool many, vf acc[4][DENSE_TOKENS]) {
	if (type == AQ_DTYPE_Q8_0) {
		for (; k < end; k += 32, ahead += rows * 34) {
#pragma GCC unroll 4
			for (int32_t i = 0; i < rows * 34; i += 64) {
				__builtin_prefetch(ahead + i, 0, 2);
			}
			q8_block(a, w + k / 32 * 34, x + k, rows, tokens, many, acc);
		}
		return;
	}
	const int32_t bytes = type == AQ_DTYPE_F32 ? 4 : 2;
	for (; k + VW <= end; k += VW, ahead += VW * rows * bytes) {
#pragma GCC unroll 4
		for (int32_t i = 0; i < VW * rows * bytes; i += 64) {
			__builtin_prefetch(ahead + i, 0, 2);
		}
		vf xv[DENSE_TOKENS];
#pragma GCC unroll 4
		for (int32_t j = 0; j < tokens; j++) {
			xv[j] = v_load(x + j * a->ldx + k);
		}
#pragma GCC unroll 4
		for (int32_t i = 0; i < rows; i++) {
			const vf wv = load_type(w + i * a->row_bytes, type, k);
#pragma GCC unroll 4
			for (int32_t j = 0; j < tokens; j++) {
				acc[i][j] = v_fma(wv, xv[j], acc[i][j]);
			}
		}
	}
	if (k < end) {
		for (int32_t i = 0; i < rows; i++) {
			const vf wv = load_type_n(w + i * a->row_bytes, type, k, end - k);
			for (int32_t j = 0; j < tokens; j++) {
				acc[i][j] = v_fma(wv, v_load(x + j * a->ldx + k), acc[i][j]);
			}
		}
	}
}

INL void dense_rows(const dense_args *a, int32_t r, int32_t t, const int32_t type, const int32_t rows,
	const int32_t tokens, const bool many) {
	const uint8_t *w = a->w + r * a->row_bytes;
	float sum[4][DENSE_TOKENS] = {{0}};
	for (int32_t k = 0; k < a->cols; k += DENSE_COLS) {
		vf acc[4][DENSE_TOKENS];
		for (int32_t i = 0; i < rows; i++) {
			for (int32_t j = 0; j < tokens; j++) {
				acc[i][j] = v_zero();
			}
		}
		const int64_t tile = rows * a->row_bytes;
		const uint8_t *ahead = t == 0 ? w + max_i64(tile, DENSE_AHEAD) + tile * k / a->cols : w;
		dense_block(a, w, a->x + t * a->ldx, k, min_i32(a->cols, k + DENSE_COLS), ahead, type, rows, tokens, many,
			acc);
		for (int32_t i = 0; i < rows; i++) {
			for (int32_t j = 0; j < tokens; j++) {
				sum[i][j] += sum4(v_fold(acc[i][j]));
			}
		}
	}
	for (int32_t i = 0; i < rows; i++) {
		for (int32_t j = 0; j < tokens; j++) {
			a->y[(t + j) * a->ldy + r + i] = sum[i][j] + (a->bias ? a->bias[r + i] : 0);
		}
	}
}

// dense_tile multiplies `rows` rows with all tokens. Each (row, token) pair has its own sum, whatever the tile.
INL void dense_tile(const dense_args *a, int32_t r, const int32_t type, const int32_t rows, const bool many) {
	int32_t t = 0;
	for (; t + DENSE_TOKENS <= a->tokens; t += DENSE_TOKENS) {
		dense_rows(a, r, t, type, rows, DENSE_TOKENS, many);
	}
	if (DENSE_TOKENS == 4 && t + 2 <= a->tokens) {
		dense_rows(a, r, t, type, rows, 2, many);
		t += 2;
	}
	if (t < a->tokens) {
		dense_rows(a, r, t, type, rows, 1, many);
	}
}

INL void dense_type(const dense_args *a, const int32_t type, const bool many) {
	int32_t r = 0;
	for (; r + 4 <= a->rows; r += 4) {
		dense_tile(a, r, type, 4, many);
	}
	for (; r < a->rows; r++) {
		dense_tile(a, r, type, 1, many);
	}
}

static void dense(const dense_args *a) {
	switch (a->type) {
	case AQ_DTYPE_F32:
		dense_type(a, AQ_DTYPE_F32, false);
		break;
	case AQ_DTYPE_F16:
		dense_type(a, AQ_DTYPE_F16, false);
		break;
	case AQ_DTYPE_BF16:
		dense_type(a, AQ_DTYPE_BF16, false);
		break;
	default:
		if (VW == 16 && a->tokens >= DENSE_TOKENS) {
			dense_type(a, AQ_DTYPE_Q8_0, true);
		} else {
			dense_type(a, AQ_DTYPE_Q8_0, false);
		}
	}
}
