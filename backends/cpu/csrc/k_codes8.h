// One book of 9 to 16 bits times a token or two, as bytes (fast precision, AVX-512 VNNI).
//
// The book of bytes (book_8 of k_panel8.h, 512 KB for 16 bits) halves the cache lines of the F16 book, which is what a
// random code costs; a code is one load and one vpdpbusd. Inputs are the bytes that the panels of many tokens use, with
// a unit for every 64, so a block is 8 codes of 8 inputs. The bias of the entries adds -x_bias to each block, the same
// for all rows. Four codes are one load, because filling the L1 cache from L2 leaves few slots for others (4 %). Rows are taken
// in twos: more streams of codes crowd the L1 cache. From three tokens on a decoded panel is faster.

// codes8_rows multiplies rows r and r + 1 (or r alone) with `tokens` tokens from t on.
INL void codes8_rows(const codes8_args *a, int32_t r, int32_t t, const int32_t rows, const int32_t tokens,
	const int32_t g) {
	const weight *w = a->w;
	const int32_t block = AQ_BYTES_COLS / g;
	const uint16_t *codes = (const uint16_t *)(const void *)w->data + (int64_t)(a->row + r) * w->groups;
	const int8_t *x = a->x + t * a->ldx;
	const float *unit = a->unit + (int64_t)t * a->x_blocks;
	__m128 sum[2][2];
	for (int32_t i = 0; i < rows; i++) {
		for (int32_t k = 0; k < tokens; k++) {
			sum[i][k] = _mm_setzero_ps();
		}
	}
	for (int32_t j = 0; j < w->groups; j += block, codes += block, x += AQ_BYTES_COLS, unit++) {
		__m128i even[2][2], odd[2][2];
#pragma GCC unroll 2
		for (int32_t i = 0; i < rows; i++) {
			_mm_prefetch((const char *)(codes + i * w->groups) + 2048, _MM_HINT_T0);
#pragma GCC unroll 2
			for (int32_t k = 0; k < tokens; k++) {
				even[i][k] = odd[i][k] = _mm_setzero_si128();
			}
		}
		// What is behind the last group is zero in x, but has no codes; what is loaded with the last ones is other memory of the
		// weights.
		const int32_t n = min_i32(block, w->groups - j);
		uint64_t four[2];
#pragma GCC unroll 8
		for (int32_t c = 0; c < block; c++) {
			if (c >= n) {
				break;
			}
#pragma GCC unroll 2
			for (int32_t i = 0; i < rows; i++) {
				if (c % 4 == 0) {
					memcpy(&four[i], codes + i * w->groups + c, 8);
					__asm__("" : "+r"(four[i]));
				}
				const uint8_t *at = w->book_8 + (int64_t)(four[i] >> 16 * (c % 4) & 0xffff) * g;
				// With g = 8 the upper half is zero, whatever that of the inputs.
				const __m128i e = g == 8 ? _mm_loadl_epi64((const __m128i *)(const void *)at)
					: _mm_load_si128((const __m128i *)(const void *)at);
#pragma GCC unroll 2
				for (int32_t k = 0; k < tokens; k++) {
					const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(x + k * a->ldx + c * g));
					if (c % 2) {
						odd[i][k] = _mm_dpbusd_epi32(odd[i][k], e, v);
					} else {
						even[i][k] = _mm_dpbusd_epi32(even[i][k], e, v);
					}
				}
			}
		}
#pragma GCC unroll 2
		for (int32_t i = 0; i < rows; i++) {
#pragma GCC unroll 2
			for (int32_t k = 0; k < tokens; k++) {
				sum[i][k] = _mm_fmadd_ps(_mm_set1_ps(unit[(int64_t)k * a->x_blocks]),
					_mm_cvtepi32_ps(_mm_add_epi32(even[i][k], odd[i][k])), sum[i][k]);
			}
		}
	}
	for (int32_t i = 0; i < rows; i++) {
		for (int32_t k = 0; k < tokens; k++) {
			const float scale = w->book_unit * w->scales[a->row + r + i], bias = a->bias ? a->bias[r + i] : 0;
			a->y[(t + k) * a->ldy + r + i] = (sum4(sum[i][k]) + a->correction[t + k]) * scale + bias;
		}
	}
}

INL void codes8_group(const codes8_args *a, const int32_t g) {
	for (int32_t r = 0; r < a->rows; r += 2) {
		int32_t t = 0;
		if (a->rows - r == 1) {
			for (; t < a->tokens; t++) {
				codes8_rows(a, r, t, 1, 1, g);
			}
			return;
		}
		for (; t + 2 <= a->tokens; t += 2) {
			codes8_rows(a, r, t, 2, 2, g);
		}
		if (t < a->tokens) {
			codes8_rows(a, r, t, 2, 1, g);
		}
	}
}

static void codes8_product(codes8_args *a) {
	for (int32_t t = 0; t < a->tokens; t++) {
		float sum = 0;
		for (int32_t b = 0; b * AQ_BYTES_COLS < a->w->info.cols; b++) {
			const int64_t at = (int64_t)t * a->x_blocks + b;
			sum += a->unit[at] * (float)a->x_bias[at];
		}
		a->correction[t] = sum;
	}
	if (a->w->info.in_group == 8) {
		codes8_group(a, 8);
	} else {
		codes8_group(a, 16);
	}
}
