// Fast products of many tokens on AVX-512 VNNI: a tile of 64 AQLM rows is decoded to bytes, a column block at a time,
// and multiplied with activations rounded to bytes.
//
// vpdpbusd multiplies unsigned with signed bytes. The bias of 128 of the weights adds 128 sum(x) to a sum, so the
// accumulators start at minus that. A row of a panel has one unit.
//
// Eight neighbouring inputs are rotated by a Hadamard matrix before they are rounded, and so are the codebook entries:
// (Hx)(Hw)/8 = xw. A large channel, which trained models have, is spread over eight and the unit of its block
// shrinks. On SmolLM2 4x8g8 this divides the Kullback-Leibler divergence that rounding x costs by four (0.0033 to 0.0008),
// at no cost: the entries are rotated once. Weights gain likewise.
//
// Decoding: codebooks are kept as integers of 16 bits of one unit (book_i), so the K entries of a group are added
// without error, scaled so that the largest of a row and column block is 127 (vpmulhrsw), and rounded once. The
// largest sums are found by decoding a tile once more, when it is first multiplied. One unit for a tile instead of a
// row doubles the divergence (0.0022 to 0.0046); rounding each entry to a byte multiplies the error by sqrt(K) and more. A
// book of more than 8 bits needs no sums: its entries are bytes of one unit (book_8), half the cache lines of F16.
//
// Tried and lost: accumulators of pairs of columns over eight rows (activations broadcast as 64 bits; twice the work
// at the end of a block), blocks of 512 columns (panel and activations do not fit the L1 cache), prefetching y.

// rotate8 multiplies two runs of eight inputs with the Hadamard matrix.
INL __m512 rotate8(__m512 v) {
	const __m512i minus = _mm512_set1_epi32(INT32_MIN);
	const __m512 one = _mm512_castsi512_ps(_mm512_maskz_mov_epi32(0xaaaa, minus));
	const __m512 two = _mm512_castsi512_ps(_mm512_maskz_mov_epi32(0xcccc, minus));
	const __m512 four = _mm512_castsi512_ps(_mm512_maskz_mov_epi32(0xf0f0, minus));
	v = _mm512_add_ps(_mm512_permute_ps(v, 0xb1), _mm512_xor_ps(v, one));
	v = _mm512_add_ps(_mm512_permute_ps(v, 0x4e), _mm512_xor_ps(v, two));
	return _mm512_add_ps(_mm512_shuffle_f32x4(v, v, 0xb1), _mm512_xor_ps(v, four));
}

INL __m512i magnitude8(__m512 v) { return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(INT32_MAX)); }

// quantize8 rounds a row to bytes. A block with NaN or infinity becomes zeros of unit NaN.
static void quantize8(const float *x, int32_t cols, int8_t *q, float *unit, int32_t *bias) {
	for (int32_t col = 0; col < cols; col += AQ_BYTES_COLS, x += AQ_BYTES_COLS, q += AQ_BYTES_COLS) {
		__m512 v[AQ_BYTES_COLS / 16];
		__m512i most = _mm512_setzero_si512(); // as bits: NaN is larger than every number
#pragma GCC unroll 4
		for (int32_t i = 0; i < AQ_BYTES_COLS / 16; i++) {
			const int32_t n = cols - col - 16 * i;
			v[i] = rotate8(n >= 16 ? v_load(x + 16 * i) : n > 0 ? v_loadn(x + 16 * i, n) : v_zero());
			most = _mm512_max_epu32(most, magnitude8(v[i]));
		}
		const uint32_t bits = _mm512_reduce_max_epu32(most);
		float top;
		memcpy(&top, &bits, 4);
		const bool finite = bits < 0x7f800000, some = finite && top > 1e-36f;
		*unit++ = some ? top / 127 : finite ? 0 : NAN;
		const __m512 scale = _mm512_set1_ps(some ? 127 / top : 0);
		__m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 4
		for (int32_t i = 0; i < AQ_BYTES_COLS / 16; i++) {
			const __m512i r = some ? _mm512_cvtps_epi32(_mm512_mul_ps(v[i], scale)) : _mm512_setzero_si512();
			sum = _mm512_add_epi32(sum, r);
			_mm_store_si128((__m128i *)(void *)(q + 16 * i), _mm512_cvtsepi32_epi8(r));
		}
		*bias++ = -128 * _mm512_reduce_add_epi32(sum);
	}
}

// ---- books ----------------------------------------------------------------------------------------------------------

// book_values returns sixteen rotated values.
INL __m512 book_values(const weight *w, int64_t i) {
	return rotate8(_mm512_mul_ps(_mm512_set1_ps(0.125f), w->book16 ? v_f16(w->book16 + i) : v_load(w->book + i)));
}

// bytes_book rounds the codebooks of a weight. It returns false if they hold something that is not a number.
static bool bytes_book(weight *w) {
	const int64_t n = ((int64_t)1 << w->info.bits) * w->info.in_group;
	float bound = 0;
	for (int32_t k = 0; k < w->info.books; k++) {
		__m512i most = _mm512_setzero_si512();
		for (int64_t i = k * n; i < (k + 1) * n; i += 16) {
			most = _mm512_max_epu32(most, magnitude8(book_values(w, i)));
		}
		const uint32_t bits = _mm512_reduce_max_epu32(most);
		float top;
		memcpy(&top, &bits, 4);
		bound += top;
	}
	if (!(bound < 1e30f)) {
		return false;
	}
	const float most = w->book_8 ? 127 : 32767 - AQ_MAX_BOOKS; // each entry may be rounded up
	const __m512 scale = _mm512_set1_ps(bound > 1e-30f ? most / bound : 0);
	w->book_unit = bound / most;
	for (int64_t i = 0; i < w->info.books * n; i += 16) {
		const __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(scale, book_values(w, i)));
		if (w->book_8) {
			const __m128i bytes = _mm512_cvtsepi32_epi8(v);
			_mm_store_si128((__m128i *)(void *)(w->book_8 + i), _mm_xor_si128(bytes, _mm_set1_epi8(-128)));
		} else {
			_mm256_store_si256((__m256i *)(void *)(w->book_i + i), _mm512_cvtsepi32_epi16(v));
		}
	}
	return true;
}

// ---- decoding -------------------------------------------------------------------------------------------------------

// pack8 stores eight columns of four rows, given as bytes of two rows each.
INL void pack8(uint8_t *panel, __m128i a, __m128i b) {
	const __m128 u = _mm_castsi128_ps(a), v = _mm_castsi128_ps(b);
	_mm_store_si128((__m128i *)(void *)panel, _mm_castps_si128(_mm_shuffle_ps(u, v, 0x88)));
	_mm_store_si128((__m128i *)(void *)(panel + 4 * AQ_TILE), _mm_castps_si128(_mm_shuffle_ps(u, v, 0xdd)));
}

typedef __m128i rows8[AQ_TILE]; // eight integers of 16 bits for each row

// tile8 decodes columns [col, col + cols) of a tile: to the panel, sums times factor / 2^15; or, as a scan, the largest
// magnitudes to tops.
INL void tile8(const weight *w, int32_t tile, int32_t col, int32_t cols, const rows8 factor, uint8_t *panel, rows8 tops,
	const int32_t K, const int32_t g, const bool scan) {
	uint16_t off[AQ_LOOKUPS * AQ_TILE] __attribute__((aligned(64)));
	const uint8_t *book = (const uint8_t *)w->book_i;
	const int64_t book_bytes = ((int64_t)2 << w->info.bits) * g;
	const __m128i bias = _mm_set1_epi8(-128);
	for (int32_t j = col / g; j < (col + cols) / g;) {
		const int32_t end = offsets_of(w, tile, j, (col + cols) / g, K, g, off);
		for (const uint16_t *o = off; j < end; j++, o += K * AQ_TILE) {
			for (int32_t s = 0; s < g; s += 8, panel += 8 * AQ_TILE) {
#pragma GCC unroll 16
				for (int32_t r = 0; r < AQ_TILE; r += 4) {
					__m128i v[4];
#pragma GCC unroll 4
					for (int32_t i = 0; i < 4; i++) {
						v[i] = entries8(book + 2 * s, book_bytes, o, tile_byte(true, r + i), K);
						if (scan) {
							tops[r + i] = _mm_max_epu16(tops[r + i], _mm_abs_epi16(v[i]));
						} else {
							v[i] = _mm_mulhrs_epi16(v[i], factor[r + i]);
						}
					}
					if (!scan) {
						pack8(panel + 4 * r, _mm_xor_si128(bias, _mm_packs_epi16(v[0], v[1])),
							_mm_xor_si128(bias, _mm_packs_epi16(v[2], v[3])));
					}
				}
			}
		}
	}
}

static void decode8(const weight *w, int32_t tile, int32_t col, int32_t cols, const rows8 factor, uint8_t *panel) {
	const int32_t K = w->info.books, g = w->info.in_group;
	if (g == 8 && K == 1) {
		tile8(w, tile, col, cols, factor, panel, NULL, 1, 8, false);
	} else if (g == 8 && K == 2) {
		tile8(w, tile, col, cols, factor, panel, NULL, 2, 8, false);
	} else if (g == 8 && K == 4) {
		tile8(w, tile, col, cols, factor, panel, NULL, 4, 8, false);
	} else {
		tile8(w, tile, col, cols, factor, panel, NULL, K, g, false);
	}
}

// tops8 returns the largest sums of a tile's rows, [column block][64], which it finds the first time. Units of two
// products may do so at the same time, and write the same.
static _Atomic uint16_t *tops8(const weight *w, int32_t tile) {
	const int32_t cols = w->info.cols, blocks = (cols + AQ_PANEL8_COLS - 1) / AQ_PANEL8_COLS;
	_Atomic uint16_t *tops = w->tops + (int64_t)tile * blocks * AQ_TILE;
	if (atomic_load_explicit(&w->tops_known[tile], memory_order_acquire)) {
		return tops;
	}
	for (int32_t b = 0; b < blocks; b++) {
		rows8 most;
		memset(most, 0, sizeof most);
		const int32_t col = b * AQ_PANEL8_COLS;
		tile8(w, tile, col, min_i32(AQ_PANEL8_COLS, cols - col), NULL, NULL, most, w->info.books, w->info.in_group, true);
		for (int32_t r = 0; r < AQ_TILE; r++) { // vphminposuw finds the smallest
			const __m128i m = _mm_minpos_epu16(_mm_xor_si128(most[r], _mm_set1_epi8(-1)));
			atomic_store_explicit(&tops[b * AQ_TILE + r], (uint16_t)~_mm_cvtsi128_si32(m), memory_order_relaxed);
		}
	}
	atomic_store_explicit(&w->tops_known[tile], 1, memory_order_release);
	return tops;
}

// factors8 sets the factors that make the largest sum of each row 127, and the units of the panel's rows.
INL void factors8(const weight *w, const _Atomic uint16_t *tops, rows8 factor, float *unit) {
	for (int32_t r = 0; r < AQ_TILE; r++) {
		const int32_t top = atomic_load_explicit(&tops[r], memory_order_relaxed);
		const int32_t f = min_i32(32767, (int32_t)(127.0f * 32768 / (float)max_i32(top, 1)));
		factor[r] = _mm_set1_epi16((int16_t)f);
		unit[r] = w->book_unit * 32768 / (float)f;
	}
}

// codes8 decodes rows of one book of more than 8 bits. Rows behind the last repeat it.
static void codes8(const weight *w, int32_t row, int32_t rows, int32_t col, int32_t cols, uint8_t *panel) {
	const int32_t g = w->info.in_group;
	const uint16_t *codes = (const uint16_t *)(const void *)w->data + col / g;
	for (int32_t r = 0; r < AQ_TILE && r < rows; r += 4) {
		const uint16_t *c[4];
		for (int32_t i = 0; i < 4; i++) {
			c[i] = codes + (int64_t)(row + min_i32(r + i, rows - 1)) * w->groups;
			for (int32_t n = 0; n < cols / g; n += 32) { // of the next block
				_mm_prefetch((const char *)(c[i] + cols / g + n), _MM_HINT_T0);
			}
		}
		uint8_t *to = panel + 4 * r;
		for (int32_t j = 0; j < cols / g; j++) {
			const uint8_t *e[4];
#pragma GCC unroll 4
			for (int32_t i = 0; i < 4; i++) {
				e[i] = w->book_8 + (int64_t)c[i][j] * g;
			}
			for (int32_t s = 0; s < g; s += 8, to += 8 * AQ_TILE) {
				__m128i a = _mm_loadl_epi64((const __m128i *)(const void *)(e[0] + s));
				__m128i b = _mm_loadl_epi64((const __m128i *)(const void *)(e[2] + s));
				a = _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(a), (const double *)(const void *)(e[1] + s)));
				b = _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(b), (const double *)(const void *)(e[3] + s)));
				pack8(to, a, b);
			}
		}
	}
}

// ---- a tile ---------------------------------------------------------------------------------------------------------

static void panel8(const panel8_args *a) {
	const weight *w = a->w;
	const int32_t cols = w->info.cols, tile = a->row / AQ_TILE;
	const _Atomic uint16_t *tops = w->book_8 ? NULL : tops8(w, tile);
	float row_scale[AQ_TILE] = {0}, unit[AQ_TILE];
	rows8 factor;
	int_block b = {.panel = a->workspace, .ldx = a->ldx, .ldy = a->ldy, .y = a->y, .rows = a->rows, .x_blocks = a->x_blocks};
	for (int32_t r = 0; r < AQ_TILE; r++) {
		row_scale[r] = r < a->rows ? w->scales[a->row + r] : 0;
		b.add[r] = r < a->rows && a->bias ? a->bias[r] : 0;
		unit[r] = w->book_unit;
	}
	for (int32_t col = 0; col < cols; col += AQ_PANEL8_COLS) {
		b.x = a->x + col;
		b.unit = a->unit + col / AQ_BYTES_COLS;
		b.bias = a->x_bias + col / AQ_BYTES_COLS;
		b.cols = min_i32(AQ_PANEL8_COLS, cols - col);
		b.first = col == 0;
		if (w->book_8) {
			codes8(w, a->row, a->rows, col, b.cols, a->workspace);
		} else {
			factors8(w, tops + col / AQ_PANEL8_COLS * AQ_TILE, factor, unit);
			decode8(w, tile, col, b.cols, factor, a->workspace);
		}
		for (int32_t r = 0; r < AQ_TILE; r++) {
			b.scale[r] = row_scale[r] * unit[r];
		}
		multiply_block(&b, a->tokens, false);
	}
}
