// A panel of integers times tokens, for the precisions that round: k_panel8.h and k_panel16.h make both.
//
//   x   (tokens, cols) integers, one unit for a token and AQ_BYTES_COLS columns
//   w   panel of 64 rows: [4 columns][64 rows][4 bytes] unsigned, or [2 columns][64 rows][2 words] signed; 64 bytes hold so
//       many columns of sixteen rows
//   y   (tokens, 64 rows): neighbouring rows are a vector, so sums need no shuffles
//
// Sums of AQ_BYTES_COLS columns are exact integers, then floats. AVX2 has words only, whose products vpmaddwd adds in pairs.

// book_eight returns eight numbers of the codebooks.
INL v8 book_eight(const weight *w, int64_t i) { return w->book16 ? v8_f16(w->book16 + i) : v8_load(w->book + i); }

// ---- decoding -------------------------------------------------------------------------------------------------------

// offsets8 sets off[lookup][byte] to the byte offsets of the entries that a run of codes names.
INL void offsets8(const uint8_t *codes, int32_t lookups, int32_t entry, uint16_t *off) {
#if VW == 16
	const __m512i bytes = _mm512_set1_epi16((int16_t)entry);
	for (int32_t q = 0; q < lookups * AQ_TILE; q += 64) {
		const __m512i c = _mm512_load_si512(codes + q);
		const __m512i a = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(c));
		const __m512i b = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(c, 1));
		_mm512_store_si512(off + q, _mm512_mullo_epi16(a, bytes));
		_mm512_store_si512(off + q + 32, _mm512_mullo_epi16(b, bytes));
	}
#else
	const __m256i bytes = _mm256_set1_epi16((int16_t)entry);
	for (int32_t q = 0; q < lookups * AQ_TILE; q += 16) {
		const __m256i c = _mm256_cvtepu8_epi16(_mm_load_si128((const __m128i *)(const void *)(codes + q)));
		_mm256_store_si256((__m256i *)(void *)(off + q), _mm256_mullo_epi16(c, bytes));
	}
#endif
}

// offsets_of sets off for groups [j, last) of a tile up to the end of j's block, which it returns, and prefetches the next block.
INL int32_t offsets_of(const weight *w, int32_t tile, int32_t j, int32_t last, const int32_t K, const int32_t g, uint16_t *off) {
	const int64_t tile_bytes = (int64_t)w->block * K * AQ_TILE, next = w->tiles * tile_bytes;
	const int32_t b = j / w->block, end = min_i32(last, (b + 1) * w->block), lookups = (end - j) * K;
	const uint8_t *codes = w->data + ((int64_t)b * w->tiles + tile) * tile_bytes + (int64_t)(j - b * w->block) * K * AQ_TILE;
	offsets8(codes, lookups, 2 * g, off);
	for (int32_t q = 0; q < lookups; q++) {
		_mm_prefetch((const char *)codes + next + q * AQ_TILE, _MM_HINT_T0);
	}
	return end;
}

// entries8 adds the K entries of a row's group; at is the row's place in the offsets.
INL __m128i entries8(const uint8_t *book, int64_t book_bytes, const uint16_t *off, int32_t at, const int32_t K) {
	__m128i s = _mm_load_si128((const __m128i *)(const void *)(book + off[at]));
#pragma GCC unroll 16
	for (int32_t k = 1; k < K; k++) {
		s = _mm_add_epi16(s, _mm_load_si128((const __m128i *)(const void *)(book + k * book_bytes + off[k * AQ_TILE + at])));
	}
	return s;
}

// ---- multiplying ----------------------------------------------------------------------------------------------------

// One column block of a panel with all tokens.
typedef struct int_block {
	float scale[AQ_TILE], add[AQ_TILE]; // of the rows; add: in the first block
	const uint8_t *panel;
	const int8_t *x;     // (tokens, ldx) bytes or words
	const float *unit;   // (tokens, x_blocks)
	const int32_t *bias; // (tokens, x_blocks) where sums of bytes start; those of words start at zero
	float *y;            // (tokens, ldy)
	int64_t ldx, ldy;    // ldx in bytes
	int32_t x_blocks, cols, rows;
	bool first;
} __attribute__((aligned(64))) int_block;

#if VW == 16
// dot adds four products of bytes, unsigned with signed, or two of words, in place: left to itself gcc copies and spills the
// accumulators, which halves the speed.
INL __m512i dot(__m512i acc, __m512i w, __m512i x, const bool words) {
	if (words) {
		__asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
	} else {
		__asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
	}
	return acc;
}

INL void multiply_ints(const int_block *a, int32_t t, const int32_t tokens, const bool words) {
	const int32_t size = words ? 2 : 1; // of a number
	__m512 sum[3][4];
	const int8_t *x = a->x + t * a->ldx;
	const float *unit = a->unit + (int64_t)t * a->x_blocks;
	const int32_t *bias = a->bias + (int64_t)t * a->x_blocks;
	const uint8_t *w = a->panel;
#pragma GCC unroll 3
	for (int32_t i = 0; i < tokens; i++) {
		sum[i][0] = sum[i][1] = sum[i][2] = sum[i][3] = _mm512_setzero_ps();
	}
	for (int32_t col = 0; col < a->cols; col += AQ_BYTES_COLS, unit++, bias++) {
		__m512i acc[3][4];
#pragma GCC unroll 3
		for (int32_t i = 0; i < tokens; i++) {
			acc[i][0] = acc[i][1] = acc[i][2] = acc[i][3] = _mm512_set1_epi32(words ? 0 : bias[(int64_t)i * a->x_blocks]);
		}
		const int32_t end = min_i32(a->cols, col + AQ_BYTES_COLS);
		for (int32_t k = col; k < end; k += 4 / size, w += 4 * AQ_TILE) {
			__m512i wv[4];
#pragma GCC unroll 4
			for (int32_t j = 0; j < 4; j++) {
				wv[j] = once(_mm512_load_si512(w + 64 * j));
			}
#pragma GCC unroll 3
			for (int32_t i = 0; i < tokens; i++) {
				int32_t few; // numbers
				memcpy(&few, x + i * a->ldx + k * size, 4);
				const __m512i xv = _mm512_set1_epi32(few);
#pragma GCC unroll 4
				for (int32_t j = 0; j < 4; j++) {
					acc[i][j] = dot(acc[i][j], wv[j], xv, words);
				}
			}
		}
#pragma GCC unroll 3
		for (int32_t i = 0; i < tokens; i++) {
			const __m512 u = _mm512_set1_ps(unit[(int64_t)i * a->x_blocks]);
#pragma GCC unroll 4
			for (int32_t j = 0; j < 4; j++) {
				sum[i][j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i][j]), u, sum[i][j]);
			}
		}
	}
#pragma GCC unroll 3
	for (int32_t i = 0; i < tokens; i++) {
		float *y = a->y + (t + i) * a->ldy;
#pragma GCC unroll 4
		for (int32_t j = 0; j < 4; j++) {
			const int32_t n = a->rows - 16 * j;
			const __mmask16 some = n >= 16 ? 0xffff : n > 0 ? first_lanes(n) : 0;
			const __m512 before = a->first ? _mm512_load_ps(a->add + 16 * j) : _mm512_maskz_loadu_ps(some, y + 16 * j);
			_mm512_mask_storeu_ps(y + 16 * j, some, _mm512_fmadd_ps(sum[i][j], _mm512_load_ps(a->scale + 16 * j), before));
		}
	}
}

// multiply_block multiplies all tokens.
INL void multiply_block(const int_block *a, int32_t tokens, const bool words) {
	int32_t t = 0;
	for (; t + 3 <= tokens; t += 3) {
		multiply_ints(a, t, 3, words);
	}
	if (tokens - t == 2) {
		multiply_ints(a, t, 2, words);
	} else if (t < tokens) {
		multiply_ints(a, t, 1, words);
	}
}
#else
enum { INT_TOKENS = 4 };

// dot_words adds in place: left to itself gcc moves and spills the accumulators, which halves the speed.
INL __m256i dot_words(__m256i acc, __m256i w, __m256i x) {
	const __m256i products = _mm256_madd_epi16(w, x);
	__asm__("vpaddd %1, %0, %0" : "+x"(acc) : "x"(products));
	return acc;
}

// finish_ints adds sums of sixteen rows from r on to y.
INL void finish_ints(const int_block *a, const __m256 sum[2], int32_t r, float *y) {
	float s[16] __attribute__((aligned(32)));
	const int32_t n = min_i32(16, a->rows - r);
#pragma GCC unroll 2
	for (int32_t j = 0; j < 2; j++) {
		_mm256_store_ps(s + 8 * j, _mm256_mul_ps(sum[j], _mm256_load_ps(a->scale + r + 8 * j)));
	}
	if (n == 16) {
#pragma GCC unroll 2
		for (int32_t j = 0; j < 16; j += 8) {
			const __m256 before = a->first ? _mm256_load_ps(a->add + r + j) : _mm256_loadu_ps(y + r + j);
			_mm256_storeu_ps(y + r + j, _mm256_add_ps(_mm256_load_ps(s + j), before));
		}
		return;
	}
	for (int32_t i = 0; i < n; i++) {
		y[r + i] = s[i] + (a->first ? a->add[r + i] : y[r + i]);
	}
}

// multiply_words multiplies sixteen rows from r on with tokens from t on.
INL void multiply_words(const int_block *a, int32_t r, int32_t t, const int32_t tokens) {
	__m256 sum[INT_TOKENS][2];
	const int8_t *x = a->x + t * a->ldx;
	const float *unit = a->unit + (int64_t)t * a->x_blocks;
	const uint8_t *w = a->panel + 4 * r;
#pragma GCC unroll 4
	for (int32_t i = 0; i < tokens; i++) {
		sum[i][0] = sum[i][1] = _mm256_setzero_ps();
	}
	for (int32_t col = 0; col < a->cols; col += AQ_BYTES_COLS, unit++) {
		__m256i acc[INT_TOKENS][2];
#pragma GCC unroll 4
		for (int32_t i = 0; i < tokens; i++) {
			acc[i][0] = acc[i][1] = _mm256_setzero_si256();
		}
		const int32_t end = min_i32(a->cols, col + AQ_BYTES_COLS);
		for (int32_t k = col; k < end; k += 2, w += 4 * AQ_TILE) {
			const __m256i w0 = _mm256_load_si256((const __m256i *)(const void *)w);
			const __m256i w1 = _mm256_load_si256((const __m256i *)(const void *)(w + 32));
#pragma GCC unroll 4
			for (int32_t i = 0; i < tokens; i++) {
				int32_t two;
				memcpy(&two, x + i * a->ldx + 2 * k, 4);
				const __m256i xv = _mm256_set1_epi32(two);
				acc[i][0] = dot_words(acc[i][0], w0, xv);
				acc[i][1] = dot_words(acc[i][1], w1, xv);
			}
		}
#pragma GCC unroll 4
		for (int32_t i = 0; i < tokens; i++) {
			const __m256 u = _mm256_set1_ps(unit[(int64_t)i * a->x_blocks]);
			sum[i][0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[i][0]), u, sum[i][0]);
			sum[i][1] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[i][1]), u, sum[i][1]);
		}
	}
#pragma GCC unroll 4
	for (int32_t i = 0; i < tokens; i++) {
		finish_ints(a, sum[i], r, a->y + (t + i) * a->ldy);
	}
}

// multiply_block multiplies all tokens with words.
INL void multiply_block(const int_block *a, int32_t tokens, const bool words) {
	(void)words;
	int32_t t = 0;
	for (; t + INT_TOKENS <= tokens; t += INT_TOKENS) {
		for (int32_t r = 0; r < a->rows; r += 16) {
			multiply_words(a, r, t, INT_TOKENS);
		}
	}
	for (; t < tokens; t++) {
		for (int32_t r = 0; r < a->rows; r += 16) {
			multiply_words(a, r, t, 1);
		}
	}
}
#endif
