// One book of 9 to 16 bits times up to eight tokens, as bytes (fast precision, AVX-512 VNNI).
//
// The book of bytes (book_8 of k_panel8.h, 512 KB for 16 bits) halves the cache lines of the F16 book, which is what a
// random code costs; a code is one load and one vpdpbusd. Inputs are the bytes that the panels of many tokens use, with
// a unit for every 64, so a block is 8 codes of 8 inputs. The bias of the entries adds -x_bias to each block, the same
// for all rows. Four codes are one load, because filling the L1 cache from L2 leaves few slots for others (4 %). Rows are taken
// in twos: more streams of codes crowd the L1 cache. From nine tokens on a decoded panel is faster.

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

// Three to eight tokens at once: an entry is broadcast, as a load, to lanes of every token,
// whose inputs lie side by side in a vector of V = 32 or 64 bytes, which has room for V / g tokens.
//
//   inputs  [groups][V / g tokens][g]
//   units   [blocks of AQ_BYTES_COLS][16 lanes]
typedef struct wide8 {
	const int8_t *inputs;
	const float *units;
	int32_t tokens, first; // of the vector; the first is token `first` of the product
} wide8;

// widen8 lays the inputs of a vector of tokens side by side in the workspace. Tokens that are not there have inputs of zero.
INL wide8 widen8(const codes8_args *a, int32_t first, const int32_t g, const int32_t V) {
	const weight *w = a->w;
	const int32_t tokens = min_i32(V / g, a->tokens - first), blocks = (w->info.cols + AQ_BYTES_COLS - 1) / AQ_BYTES_COLS;
	int8_t *inputs = (int8_t *)a->workspace;
	float *units = (float *)(void *)(inputs + (int64_t)w->groups * 64);
	for (int32_t i = 0; i < V / g; i++) {
		const bool there = i < tokens;
		const int8_t *x = a->x + (first + (there ? i : 0)) * a->ldx;
		const float *unit = a->unit + (int64_t)(first + (there ? i : 0)) * a->x_blocks;
		for (int32_t j = 0; j < w->groups; j++) {
			if (there) {
				memcpy(inputs + (int64_t)j * V + i * g, x + (int64_t)j * g, (size_t)g);
			} else {
				memset(inputs + (int64_t)j * V + i * g, 0, (size_t)g);
			}
		}
		for (int32_t b = 0; b < blocks; b++) {
			for (int32_t l = 0; l < g / 4; l++) {
				units[b * 16 + i * (g / 4) + l] = there ? unit[b] : 0;
			}
		}
	}
	return (wide8){inputs, units, tokens, first};
}

// wide_dot adds the products of an entry with the inputs of a vector of tokens.
INL __m512i wide_dot(__m512i acc, __m512i e, const int8_t *x, const int32_t V) {
	if (V == 64) {
		return _mm512_dpbusd_epi32(acc, e, _mm512_load_si512(x));
	}
	const __m256i half = _mm256_load_si256((const __m256i *)(const void *)x);
	return _mm512_zextsi256_si512(_mm256_dpbusd_epi32(_mm512_castsi512_si256(acc), _mm512_castsi512_si256(e), half));
}

// codes8_wide adds up rows r and r + 1 (or r alone).
INL void codes8_wide(const codes8_args *a, const wide8 *v, int32_t r, const int32_t rows, const int32_t g, const int32_t V) {
	const weight *w = a->w;
	const int32_t block = AQ_BYTES_COLS / g;
	const uint16_t *codes = (const uint16_t *)(const void *)w->data + (int64_t)(a->row + r) * w->groups;
	const int8_t *x = v->inputs;
	__m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
	for (int32_t j = 0; j < w->groups; j += block, codes += block, x += block * V) {
		const int32_t n = min_i32(block, w->groups - j);
		__m512i acc[2][2];
#pragma GCC unroll 2
		for (int32_t i = 0; i < rows; i++) {
			_mm_prefetch((const char *)(codes + i * w->groups) + 2048, _MM_HINT_T0);
			acc[i][0] = acc[i][1] = _mm512_setzero_si512();
		}
#pragma GCC unroll 8
		for (int32_t c = 0; c < block; c++) {
			if (c >= n) {
				break;
			}
#pragma GCC unroll 2
			for (int32_t i = 0; i < rows; i++) {
				const uint8_t *at = w->book_8 + (int64_t)codes[i * w->groups + c] * g;
				int64_t eight;
				memcpy(&eight, at, 8);
				const __m512i e = g == 8 ? _mm512_set1_epi64(eight)
					: _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)at));
				acc[i][c % 2] = wide_dot(acc[i][c % 2], e, x + c * V, V);
			}
		}
		const __m512 unit = _mm512_load_ps(v->units + j / block * 16);
#pragma GCC unroll 2
		for (int32_t i = 0; i < rows; i++) {
			sum[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(acc[i][0], acc[i][1])), unit, sum[i]);
		}
	}
	for (int32_t i = 0; i < rows; i++) {
		float lanes[16] __attribute__((aligned(64)));
		_mm512_store_ps(lanes, sum[i]);
		const float scale = w->book_unit * w->scales[a->row + r + i], bias = a->bias ? a->bias[r + i] : 0;
		for (int32_t t = 0; t < v->tokens; t++) {
			float s = a->correction[v->first + t];
			for (int32_t l = 0; l < g / 4; l++) {
				s += lanes[t * (g / 4) + l];
			}
			a->y[(v->first + t) * a->ldy + r + i] = s * scale + bias;
		}
	}
}

// codes8_vector multiplies all rows with a vector of tokens.
INL void codes8_vector(const codes8_args *a, int32_t first, const int32_t g, const int32_t V) {
	const wide8 v = widen8(a, first, g, V);
	int32_t r = 0;
	for (; r + 2 <= a->rows; r += 2) {
		codes8_wide(a, &v, r, 2, g, V);
	}
	if (r < a->rows) {
		codes8_wide(a, &v, r, 1, g, V);
	}
}

INL void codes8_group(const codes8_args *a, const int32_t g) {
	// Four tokens' inputs fill half of the L1 cache.
	if (g == 8 && a->tokens > 2 && a->tokens <= 4) {
		codes8_vector(a, 0, g, 32);
	}
	for (int32_t t = 0; a->tokens > (g == 8 ? 4 : 2) && t < a->tokens; t += 64 / g) {
		codes8_vector(a, t, g, 64);
	}
	for (int32_t r = 0; a->tokens <= 2 && r < a->rows; r += 2) {
		if (a->rows - r == 1) {
			for (int32_t t = 0; t < a->tokens; t++) {
				codes8_rows(a, r, t, 1, 1, g);
			}
		} else if (a->tokens == 2) {
			codes8_rows(a, r, 0, 2, 2, g);
		} else {
			codes8_rows(a, r, 0, 2, 1, g);
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
