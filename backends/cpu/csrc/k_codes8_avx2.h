// One or two books of 9 to 16 bits times a few tokens, as bytes (fast precision, AVX2).
//
// What k_codes8.h says of cache lines holds here: bytes are half of F16. AVX2 multiplies unsigned with signed bytes only with
// saturation, so entries are widened to 16 bits and inputs have 16 bits to begin with, which makes them all but exact. Sums of
// AQ_BYTES_RUN inputs are exact integers: 128 products of 2 x 127 and 32767 in a lane stay below 2^31.
enum { AQ_BYTES_RUN = 1024 };

// quantize16 rounds a row to integers of 16 bits, with one unit for AQ_BYTES_RUN inputs. A run with NaN or infinity becomes
// zeros of unit NaN. No bias: entries are signed.
static void quantize16(const float *x, int32_t cols, int8_t *to, float *unit, int32_t *bias) {
	int16_t *q = (int16_t *)(void *)to;
	for (int32_t col = 0; col < cols; col += AQ_BYTES_RUN) {
		const int32_t end = min_i32(cols, col + AQ_BYTES_RUN);
		__m256i most = _mm256_setzero_si256();
		for (int32_t i = col; i < end; i += 8) {
			most = _mm256_max_epu32(most, magnitude_bits(v_load(x + i)));
		}
		const float top = largest_of(most);
		const bool finite = top < INFINITY, some = finite && top > 1e-30f; // not of NaN
		const __m256 scale = v_set1(some ? 32767 / top : 0);
		for (int32_t i = col; i < end; i += 8) {
			_mm_storeu_si128((__m128i *)(void *)(q + i), some ? words_of(v_load(x + i), scale) : _mm_setzero_si128());
		}
		for (int32_t i = col; i < end; i += AQ_BYTES_COLS) {
			*unit++ = some ? top / 32767 : finite ? 0 : NAN;
			*bias++ = 0;
		}
	}
}

// signed_book rounds the codebooks of a weight to signed bytes of one unit. It returns false if they hold something that
// is not a number.
static bool signed_book(weight *w) {
	const int64_t n = ((int64_t)w->info.books << w->info.bits) * w->info.in_group;
	__m256i most = _mm256_setzero_si256();
	for (int64_t i = 0; i < n; i += 8) {
		most = _mm256_max_epu32(most, magnitude_bits(book_eight(w, i)));
	}
	const float top = largest_of(most);
	if (!(top < 1e30f)) {
		return false;
	}
	const __m256 scale = v_set1(top > 1e-30f ? 127 / top : 0);
	w->book_unit = top / 127;
	for (int64_t i = 0; i < n; i += 8) {
		const __m128i h = words_of(book_eight(w, i), scale);
		_mm_storel_epi64((__m128i *)(void *)(w->book_8 + i), _mm_packs_epi16(h, h));
	}
	return true;
}

// signed_entry returns 16 inputs' worth of entries of one book, widened: one code of 16 inputs or two of 8.
INL __m256i signed_entry(const uint8_t *book, const uint16_t *codes, const int32_t K, const int32_t g) {
	__m128i e;
	if (g == 16) {
		e = _mm_loadu_si128((const __m128i *)(const void *)(book + (int64_t)codes[0] * 16));
	} else {
		e = _mm_loadl_epi64((const __m128i *)(const void *)(book + (int64_t)codes[0] * 8));
		e = _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(e), (const __m64 *)(const void *)(book + (int64_t)codes[K] * 8)));
	}
	return _mm256_cvtepi8_epi16(e);
}

// signed_run multiplies R rows with C tokens over groups [j, end).
INL void signed_run(const codes8_args *a, const uint16_t *codes, const int16_t *x, int32_t j, int32_t end, const int32_t R,
	const int32_t C, const int32_t K, const int32_t g, __m256i acc[2][4]) {
	const weight *w = a->w;
	const int64_t row_codes = (int64_t)w->groups * K, ldx = a->ldx / 2;
	const uint8_t *second = w->book_8 + ((int64_t)g << w->info.bits);
	for (; j + 16 / g <= end; j += 16 / g) {
		if (j % 16 == 0) {
#pragma GCC unroll 2
			for (int32_t r = 0; r < R; r++) {
				_mm_prefetch((const char *)(codes + r * row_codes + (int64_t)j * K) + 2048, _MM_HINT_T0);
			}
		}
#pragma GCC unroll 2
		for (int32_t r = 0; r < R; r++) {
			const uint16_t *c = codes + r * row_codes + (int64_t)j * K;
			__m256i e = signed_entry(w->book_8, c, K, g);
			if (K == 2) {
				e = _mm256_add_epi16(e, signed_entry(second, c + 1, K, g));
			}
#pragma GCC unroll 4
			for (int32_t t = 0; t < C; t++) {
				const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(x + t * ldx + (int64_t)j * g));
				acc[r][t] = _mm256_add_epi32(acc[r][t], _mm256_madd_epi16(e, v));
			}
		}
	}
	if (g == 8 && j < end) { // an odd number of groups
		for (int32_t r = 0; r < R; r++) {
			const uint16_t *c = codes + r * row_codes + (int64_t)j * K;
			__m128i e = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)(w->book_8 + (int64_t)c[0] * 8)));
			if (K == 2) {
				const uint8_t *at = second + (int64_t)c[1] * 8;
				e = _mm_add_epi16(e, _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)at)));
			}
			for (int32_t t = 0; t < C; t++) {
				const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(x + t * ldx + (int64_t)j * g));
				acc[r][t] = _mm256_add_epi32(acc[r][t], _mm256_zextsi128_si256(_mm_madd_epi16(e, v)));
			}
		}
	}
}

// signed_rows multiplies R rows from r on with C tokens from t on. Two rows: more streams of codes crowd the L1 cache.
INL void signed_rows(const codes8_args *a, int32_t r, int32_t t, const int32_t R, const int32_t C, const int32_t K,
	const int32_t g) {
	const weight *w = a->w;
	const uint16_t *codes = (const uint16_t *)(const void *)w->data + (int64_t)(a->row + r) * w->groups * K;
	const int16_t *x = (const int16_t *)(const void *)a->x + t * (a->ldx / 2);
	const float *unit = a->unit + (int64_t)t * a->x_blocks;
	__m256 sum[2][4];
	for (int32_t i = 0; i < R; i++) {
		for (int32_t k = 0; k < C; k++) {
			sum[i][k] = _mm256_setzero_ps();
		}
	}
	for (int32_t j = 0; j < w->groups; j += AQ_BYTES_RUN / g, unit += AQ_BYTES_RUN / AQ_BYTES_COLS) {
		__m256i acc[2][4];
#pragma GCC unroll 2
		for (int32_t i = 0; i < R; i++) {
#pragma GCC unroll 4
			for (int32_t k = 0; k < C; k++) {
				acc[i][k] = _mm256_setzero_si256();
			}
		}
		signed_run(a, codes, x, j, min_i32(w->groups, j + AQ_BYTES_RUN / g), R, C, K, g, acc);
#pragma GCC unroll 2
		for (int32_t i = 0; i < R; i++) {
#pragma GCC unroll 4
			for (int32_t k = 0; k < C; k++) {
				sum[i][k] = _mm256_fmadd_ps(v_set1(unit[(int64_t)k * a->x_blocks]), _mm256_cvtepi32_ps(acc[i][k]), sum[i][k]);
			}
		}
	}
	for (int32_t i = 0; i < R; i++) {
		for (int32_t k = 0; k < C; k++) {
			const float scale = w->book_unit * w->scales[a->row + r + i], bias = a->bias ? a->bias[r + i] : 0;
			a->y[(t + k) * a->ldy + r + i] = sum4(v8_fold(sum[i][k])) * scale + bias;
		}
	}
}

INL void signed_tokens(const codes8_args *a, int32_t r, const int32_t R, const int32_t K, const int32_t g) {
	int32_t t = 0;
	for (; t + 4 <= a->tokens; t += 4) {
		signed_rows(a, r, t, R, 4, K, g);
	}
	switch (a->tokens - t) {
	case 3:
		signed_rows(a, r, t, R, 3, K, g);
		break;
	case 2:
		signed_rows(a, r, t, R, 2, K, g);
		break;
	case 1:
		signed_rows(a, r, t, R, 1, K, g);
		break;
	default:
		break;
	}
}

INL void signed_scheme(const codes8_args *a, const int32_t K, const int32_t g) {
	int32_t r = 0;
	for (; r + 2 <= a->rows; r += 2) {
		signed_tokens(a, r, 2, K, g);
	}
	if (r < a->rows) {
		signed_tokens(a, r, 1, K, g);
	}
}

static void signed_product(codes8_args *a) {
	switch (a->w->info.books * 32 + a->w->info.in_group) {
	case 40:
		signed_scheme(a, 1, 8);
		break;
	case 48:
		signed_scheme(a, 1, 16);
		break;
	case 72:
		signed_scheme(a, 2, 8);
		break;
	default:
		signed_scheme(a, 2, 16);
	}
}
