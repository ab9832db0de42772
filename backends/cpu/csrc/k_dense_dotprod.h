// Q8_0 rows times a few tokens with sdot, exact: 16 products of bytes an instruction instead of four of floats, and
// the weights need no conversion.
//
// Inputs become integers of three signed bytes, scaled for each block of 32 columns by its largest value:
//
//   x = unit (65536 d2 + 256 d1 + d0)
//
// so the sums of a block, <q, d2>, <q, d1> and <q, d0>, are exact and only the rounding of x to 2^-24 of the largest
// in its block remains, as fine as fp32. Counted for one token: 17 instructions for 32 weights, 43 with floats.

// DOT_MOST leaves the scaled input room to be rounded up: 0x7f7f7f is the largest number of three signed bytes.
enum { DOT_COLS = 1024, DOT_BLOCKS = DOT_COLS / 32, DOT_TOKENS = AQ_DIRECT_TOKENS, DOT_MOST = 0x7f7f00 };

// dot_input is some columns of a token as bytes.
typedef struct dot_input {
	int8_t digit[DOT_BLOCKS][3][32];
	float unit[DOT_BLOCKS]; // not finite where an input of the block is not
} dot_input;

// cut_block sets one block of the input.
INL void cut_block(dot_input *to, int32_t b, const float *x) {
	float32x4_t v[8], top = v_zero();
#pragma GCC unroll 8
	for (int32_t i = 0; i < 8; i++) {
		v[i] = v_load(x + 4 * i);
		top = vmaxq_f32(top, vabsq_f32(v[i])); // NaN wins
	}
	const float most = vmaxvq_f32(top), scale = most > 1e-30f ? DOT_MOST / most : 0;
	to->unit[b] = most <= 1e-30f ? 0 : most * (1.0f / DOT_MOST);
#pragma GCC unroll 2
	for (int32_t half = 0; half < 2; half++) {
		int32x4_t n[4];
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
			n[i] = vcvtnq_s32_f32(vmulq_n_f32(v[4 * half + i], scale));
		}
#pragma GCC unroll 3
		for (int32_t p = 0; p < 3; p++) {
			// The low bytes as signed numbers are a digit; what they leave is a multiple of 256.
			const int16x8_t lo = vcombine_s16(vmovn_s32(n[0]), vmovn_s32(n[1])),
							hi = vcombine_s16(vmovn_s32(n[2]), vmovn_s32(n[3]));
			vst1q_s8(to->digit[b][p] + 16 * half, vcombine_s8(vmovn_s16(lo), vmovn_s16(hi)));
#pragma GCC unroll 4
			for (int32_t i = 0; i < 4; i++) {
				n[i] = vrshrq_n_s32(n[i], 8);
			}
		}
	}
}

// dot_rows multiplies R rows of w, blocks [0, n), with a token and adds the products to y. ahead is where the prefetch
// is, see k_gemm.h.
INL void dot_rows(const uint8_t *w, int64_t row_bytes, const uint8_t *ahead, const dot_input *x, float *y, int32_t n,
	const int32_t R) {
	float32x4_t acc[4];
#pragma GCC unroll 4
	for (int32_t r = 0; r < R; r++) {
		acc[r] = v_zero();
	}
	for (int32_t b = 0; b < n; b++, ahead += R * 34) {
#pragma GCC unroll 4
		for (int32_t i = 0; i < R * 34; i += 64) {
			__builtin_prefetch(ahead + i, 0, 2);
		}
		int8x16_t d[3][2];
#pragma GCC unroll 3
		for (int32_t p = 0; p < 3; p++) {
			d[p][0] = vld1q_s8(x->digit[b][p]);
			d[p][1] = vld1q_s8(x->digit[b][p] + 16);
		}
		const float unit = x->unit[b] * 65536;
#pragma GCC unroll 4
		for (int32_t r = 0; r < R; r++) {
			const uint8_t *block = w + r * row_bytes + b * 34;
			const int8x16_t q0 = vreinterpretq_s8_u8(vld1q_u8(block + 2)), q1 = vreinterpretq_s8_u8(vld1q_u8(block + 18));
			int32x4_t s[3];
#pragma GCC unroll 3
			for (int32_t p = 0; p < 3; p++) {
				s[p] = vdotq_s32(vdotq_s32(vdupq_n_s32(0), q0, d[p][0]), q1, d[p][1]);
			}
			uint16_t h;
			memcpy(&h, block, 2);
			// A lane of s is 2^17 at most, so the two low digits fit one integer; s[2] is exact as a float.
			const float32x4_t low = vcvtq_n_f32_s32(vmlaq_n_s32(s[0], s[1], 256), 16), high = vcvtq_f32_s32(s[2]);
			acc[r] = vfmaq_n_f32(acc[r], vaddq_f32(high, low), f32_of_f16(h) * unit);
		}
	}
#pragma GCC unroll 4
	for (int32_t r = 0; r < R; r++) {
		y[r] += sum4(acc[r]);
	}
}

// dot_columns adds the products of all rows with DOT_TOKENS tokens or fewer, columns from col on.
static void dot_columns(const dense_args *a, int32_t t, int32_t tokens, int32_t col) {
	dot_input x[DOT_TOKENS];
	const int32_t n = min_i32(DOT_COLS, a->cols - col) / 32;
	for (int32_t i = 0; i < tokens; i++) {
		for (int32_t b = 0; b < n; b++) {
			cut_block(&x[i], b, a->x + (t + i) * a->ldx + col + b * 32);
		}
	}
	for (int32_t r = 0; r < a->rows;) {
		const int32_t rows = r + 4 <= a->rows ? 4 : 1;
		const uint8_t *tile = a->w + r * a->row_bytes, *w = tile + col / 32 * 34;
		const int64_t bytes = rows * a->row_bytes;
		for (int32_t i = 0; i < tokens; i++) {
			const uint8_t *ahead = t + i == 0 ? tile + max_i64(bytes, DENSE_AHEAD) + bytes * col / a->cols : w;
			float *y = a->y + (t + i) * a->ldy + r;
			if (rows == 4) {
				dot_rows(w, a->row_bytes, ahead, &x[i], y, n, 4);
			} else {
				dot_rows(w, a->row_bytes, ahead, &x[i], y, n, 1);
			}
		}
		r += rows;
	}
}

static void dense_dotprod(const dense_args *a) {
	if (a->type != AQ_DTYPE_Q8_0) {
		dense(a);
		return;
	}
	for (int32_t t = 0; t < a->tokens; t++) {
		for (int32_t r = 0; r < a->rows; r++) {
			a->y[t * a->ldy + r] = a->bias ? a->bias[r] : 0;
		}
	}
	for (int32_t t = 0; t < a->tokens; t += DOT_TOKENS) {
		for (int32_t col = 0; col < a->cols; col += DOT_COLS) {
			dot_columns(a, t, min_i32(DOT_TOKENS, a->tokens - t), col);
		}
	}
}
