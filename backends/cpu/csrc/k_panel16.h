// Products of many tokens on AVX2 and AVX-512 VNNI, for precision auto: a tile of 64 AQLM rows is decoded to words, a column block at
// a time, and multiplied with activations rounded to words.
//
// Products of words add into 32 bits, which two of full words would fill. What can be added is known from norms, as in the tables of
// k_tables_avx512.h: by Cauchy and Schwarz no sum over AQ_BYTES_COLS columns exceeds
//
//   N S,   N = sum over books of the largest norm of an entry,   S = sum over eights of columns of the norm of x
//
// so weights are scaled to N <= WORDS_N and inputs to S <= WORDS_S, whose product is 2^31. For inputs and weights like a
// model's that leaves 15 bits to the weights and 13 to the inputs, errors near 2.5e-4; bytes are 40 times coarser. The limits leave
// room for rounding: half a unit a number is sqrt(2) in the norm of eight.
//
// The entries of a tile's books are kept as words (book_i), so the K entries of a group are added without error. A book of more
// than 8 bits would take its megabyte twice: its entries are rounded while they are decoded.

enum { PANEL16_COLS = AQ_PANEL8_COLS / 2, WORDS_N = 46000, WORDS_S = 46600 };

// eight_inputs returns x[0..8), with zeros from x[n] on.
INL __m256 eight_inputs(const float *x, int32_t n) {
	float few[8] = {0};
	if (n >= 8) {
		return _mm256_loadu_ps(x);
	}
	for (int32_t i = 0; i < n; i++) {
		few[i] = x[i];
	}
	return _mm256_loadu_ps(few);
}

// quantize_words rounds a row to words. A block with NaN or infinity becomes zeros of unit NaN.
static void quantize_words(const float *x, int32_t cols, int8_t *to, float *unit, int32_t *bias) {
	int16_t *q = (int16_t *)(void *)to;
	(void)bias;
	for (int32_t col = 0; col < cols; col += AQ_BYTES_COLS, x += AQ_BYTES_COLS, q += AQ_BYTES_COLS) {
		__m256 v[AQ_BYTES_COLS / 8];
		__m256i most = _mm256_setzero_si256();
#pragma GCC unroll 8
		for (int32_t i = 0; i < AQ_BYTES_COLS / 8; i++) {
			v[i] = eight_inputs(x + 8 * i, cols - col - 8 * i);
			most = _mm256_max_epu32(most, magnitude_bits(v[i]));
		}
		const float top = largest_of(most);
		const bool finite = top < INFINITY, some = finite && top > 1e-36f; // not of NaN
		const __m256 inverse = _mm256_set1_ps(some ? 1 / top : 0);
		float s = 0; // of x / top: at least 1
#pragma GCC unroll 8
		for (int32_t i = 0; i < AQ_BYTES_COLS / 8; i++) {
			v[i] = some ? _mm256_mul_ps(v[i], inverse) : _mm256_setzero_ps();
			s += sqrtf(sum4(v8_fold(_mm256_mul_ps(v[i], v[i]))));
		}
		const float scale = some && WORDS_S / s < 32767 ? WORDS_S / s : 32767;
		*unit++ = some ? top / scale : finite ? 0 : NAN;
#pragma GCC unroll 8
		for (int32_t i = 0; i < AQ_BYTES_COLS / 8; i++) {
			_mm_store_si128((__m128i *)(void *)(q + 8 * i), words_of(v[i], _mm256_set1_ps(scale)));
		}
	}
}

// ---- books ----------------------------------------------------------------------------------------------------------

// book_bound returns the sum over books of the largest magnitude of a number: NaN or infinity if there is one.
static float book_bound(const weight *w, int64_t n) {
	float bound = 0;
	for (int32_t k = 0; k < w->info.books; k++) {
		__m256i most = _mm256_setzero_si256();
		for (int64_t i = k * n; i < (k + 1) * n; i += 8) {
			most = _mm256_max_epu32(most, magnitude_bits(book_eight(w, i)));
		}
		bound += largest_of(most);
	}
	return bound;
}

// book_norms returns the sum over books of the largest norm of an entry, times inverse.
static float book_norms(const weight *w, int64_t n, float inverse) {
	float sum = 0;
	for (int32_t k = 0; k < w->info.books; k++) {
		float most = 0;
		for (int64_t i = k * n; i < (k + 1) * n; i += w->info.in_group) {
			v8 squares = v8_zero();
			for (int32_t s = 0; s < w->info.in_group; s += 8) {
				const v8 v = _mm256_mul_ps(book_eight(w, i + s), _mm256_set1_ps(inverse));
				squares = v8_fma(v, v, squares);
			}
			const float norm = sum4(v8_fold(squares));
			most = norm > most ? norm : most;
		}
		sum += sqrtf(most);
	}
	return sum;
}

// words_book chooses the unit of a weight's codebooks and, where they are kept, rounds them. It returns false if they
// hold something that is not a number.
static bool words_book(weight *w) {
	const int64_t n = ((int64_t)1 << w->info.bits) * w->info.in_group;
	const float bound = book_bound(w, n), most = 32767 - AQ_MAX_BOOKS; // each entry may be rounded up
	if (!(bound < 1e30f)) {
		return false;
	}
	const bool some = bound > 1e-30f;
	const float limit = some ? WORDS_N / book_norms(w, n, 1 / bound) : most, scale = limit < most ? limit : most;
	w->words_unit = some ? bound / scale : 0;
	w->words_scale = some ? scale / bound : 0;
	for (int64_t i = 0; w->book_i && i < w->info.books * n; i += 8) {
		_mm_store_si128((__m128i *)(void *)(w->book_i + i), words_of(book_eight(w, i), _mm256_set1_ps(w->words_scale)));
	}
	return true;
}

// ---- decoding -------------------------------------------------------------------------------------------------------

// pack16 stores eight columns of four rows.
INL void pack16(uint8_t *panel, const __m128i v[4]) {
	const __m128i a = _mm_unpacklo_epi32(v[0], v[1]), b = _mm_unpacklo_epi32(v[2], v[3]);
	const __m128i c = _mm_unpackhi_epi32(v[0], v[1]), d = _mm_unpackhi_epi32(v[2], v[3]);
	_mm_store_si128((__m128i *)(void *)panel, _mm_unpacklo_epi64(a, b));
	_mm_store_si128((__m128i *)(void *)(panel + 4 * AQ_TILE), _mm_unpackhi_epi64(a, b));
	_mm_store_si128((__m128i *)(void *)(panel + 8 * AQ_TILE), _mm_unpacklo_epi64(c, d));
	_mm_store_si128((__m128i *)(void *)(panel + 12 * AQ_TILE), _mm_unpackhi_epi64(c, d));
}

// tile16 decodes columns [col, col + cols) of a tile to the panel.
INL void tile16(const weight *w, int32_t tile, int32_t col, int32_t cols, uint8_t *panel, const int32_t K, const int32_t g) {
	uint16_t off[AQ_LOOKUPS * AQ_TILE] __attribute__((aligned(64)));
	const uint8_t *book = (const uint8_t *)w->book_i;
	const int64_t book_bytes = ((int64_t)2 << w->info.bits) * g;
	for (int32_t j = col / g; j < (col + cols) / g;) {
		const int32_t end = offsets_of(w, tile, j, (col + cols) / g, K, g, off);
		for (const uint16_t *o = off; j < end; j++, o += K * AQ_TILE) {
			for (int32_t s = 0; s < g; s += 8, panel += 16 * AQ_TILE) {
#pragma GCC unroll 4
				for (int32_t r = 0; r < AQ_TILE; r += 4) {
					__m128i v[4];
#pragma GCC unroll 4
					for (int32_t i = 0; i < 4; i++) {
						v[i] = entries8(book + 2 * s, book_bytes, o, tile_byte(VW == 16, r + i), K);
					}
					pack16(panel + 4 * r, v);
				}
			}
		}
	}
}

static void decode16(const weight *w, int32_t tile, int32_t col, int32_t cols, uint8_t *panel) {
	const int32_t K = w->info.books, g = w->info.in_group;
	if (g == 8 && K == 1) {
		tile16(w, tile, col, cols, panel, 1, 8);
	} else if (g == 8 && K == 2) {
		tile16(w, tile, col, cols, panel, 2, 8);
	} else if (g == 8 && K == 4) {
		tile16(w, tile, col, cols, panel, 4, 8);
	} else {
		tile16(w, tile, col, cols, panel, K, g);
	}
}

// codes16 decodes rows of books of more than 8 bits. Rows behind the last repeat it.
INL void codes16(const weight *w, int32_t row, int32_t rows, int32_t col, int32_t cols, uint8_t *panel, const int32_t K) {
	const int32_t g = w->info.in_group;
	const int64_t book = (int64_t)g << w->info.bits;
	const __m256 scale = _mm256_set1_ps(w->words_scale);
	const uint16_t *codes = (const uint16_t *)(const void *)w->data + (int64_t)(col / g) * K;
	for (int32_t r = 0; r < AQ_TILE && r < rows; r += 4) {
		const uint16_t *c[4];
		for (int32_t i = 0; i < 4; i++) {
			c[i] = codes + (int64_t)(row + min_i32(r + i, rows - 1)) * w->groups * K;
			for (int32_t n = 0; n < cols / g * K; n += 32) { // of the next block
				_mm_prefetch((const char *)(c[i] + cols / g * K + n), _MM_HINT_T0);
			}
		}
		uint8_t *to = panel + 4 * r;
		for (int32_t j = 0; j < cols / g; j++) {
			for (int32_t s = 0; s < g; s += 8, to += 16 * AQ_TILE) {
				__m128i v[4];
#pragma GCC unroll 4
				for (int32_t i = 0; i < 4; i++) {
					__m256 e = book_eight(w, (int64_t)c[i][j * K] * g + s);
					for (int32_t k = 1; k < K; k++) {
						e = _mm256_add_ps(e, book_eight(w, k * book + (int64_t)c[i][j * K + k] * g + s));
					}
					v[i] = words_of(e, scale);
				}
				pack16(to, v);
			}
		}
	}
}

static void panel16(const panel8_args *a) {
	const weight *w = a->w;
	const int32_t cols = w->info.cols;
	int_block b = {.panel = a->workspace, .ldx = a->ldx, .ldy = a->ldy, .y = a->y, .rows = a->rows, .x_blocks = a->x_blocks};
	for (int32_t r = 0; r < AQ_TILE; r++) {
		b.scale[r] = r < a->rows ? w->scales[a->row + r] * w->words_unit : 0;
		b.add[r] = r < a->rows && a->bias ? a->bias[r] : 0;
	}
	for (int32_t col = 0; col < cols; col += PANEL16_COLS) {
		b.x = a->x + 2 * col;
		b.unit = a->unit + col / AQ_BYTES_COLS;
		b.cols = min_i32(PANEL16_COLS, cols - col);
		b.first = col == 0;
		if (w->layout == LAYOUT_TILES) {
			decode16(w, a->row / AQ_TILE, col, b.cols, a->workspace);
		} else if (w->info.books == 1) {
			codes16(w, a->row, a->rows, col, b.cols, a->workspace, 1);
		} else {
			codes16(w, a->row, a->rows, col, b.cols, a->workspace, w->info.books);
		}
		multiply_block(&b, a->tokens, true);
	}
}
