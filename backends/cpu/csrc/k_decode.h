// Decoding weight rows to a panel of fp32: dense rows are converted, AQLM rows are sums of codebook entries, not yet
// multiplied with the row scales (the product is, behind its last column).
//
// The inner step adds K entries of g consecutive floats: vector loads and adds, no shuffles. The common schemes are
// compiled with K and g = 8 as constants.

// add_entries sets dst[0..g) to the sum of K entries at the given float offsets of a book in fp32 or F16.
INL void add_entries(float *dst, const weight *w, const int64_t *offset, const int32_t K, const int32_t g,
	const bool half) {
	const float *book = w->book;
	const uint16_t *book16 = w->book16;
	int32_t j = 0;
#if VW >= 8
	for (; j + 8 <= g; j += 8) {
		__m256 s = _mm256_setzero_ps();
#pragma GCC unroll 16
		for (int32_t k = 0; k < K; k++) {
			const __m256 e = half ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(book16 + offset[k] + j)))
				: _mm256_loadu_ps(book + offset[k] + j);
			s = k ? _mm256_add_ps(s, e) : e;
		}
		_mm256_storeu_ps(dst + j, s);
	}
#else
	// NEON. SSE2 would convert half floats in software and keeps no books of them.
	for (; (VREGS == 32 || !half) && j + VW <= g; j += VW) {
		vf s = v_zero();
#pragma GCC unroll 16
		for (int32_t k = 0; k < K; k++) {
			const vf e = half ? v_f16(book16 + offset[k] + j) : v_load(book + offset[k] + j);
			s = k ? v_add(s, e) : e;
		}
		v_store(dst + j, s);
	}
#endif
	for (; j < g; j++) {
		float s = 0;
		for (int32_t k = 0; k < K; k++) {
			s += half ? f32_of_f16(book16[offset[k] + j]) : book[offset[k] + j];
		}
		dst[j] = s;
	}
}

// decode_tiles fills all 64 rows of the panel, padding rows too. Eight rows at a time: their codes are one load, and
// eight rows of the panel are written front to back, which the store buffer and the prefetchers keep up with (all 64
// side by side took twice as long).
INL void decode_tiles(const weight *w, int32_t row, int32_t col, int32_t cols, float *panel, int64_t ld,
	const int32_t K, const int32_t g, const bool half) {
	const int64_t entries = (int64_t)1 << w->info.bits, book = entries * g;
	const int64_t group_bytes = (int64_t)K * AQ_TILE, tile_bytes = w->block * group_bytes;
	for (int32_t b = 0; b < AQ_TILE; b += 8) {
		int64_t to[8];
		for (int32_t i = 0; i < 8; i++) {
			to[i] = tile_row(VW == 16, b + i) * ld;
		}
		float *dst = panel;
		for (int32_t j = col / g; j < (col + cols) / g; j++, dst += g) {
			const uint8_t *codes = w->data + ((int64_t)(j / w->block) * w->tiles + row / AQ_TILE) * tile_bytes +
				j % w->block * group_bytes + b;
			uint64_t v[AQ_MAX_BOOKS] = {0};
#pragma GCC unroll 16
			for (int32_t k = 0; k < K; k++) {
				memcpy(&v[k], codes + k * AQ_TILE, 8);
			}
#pragma GCC unroll 8
			for (int32_t i = 0; i < 8; i++) {
				int64_t offset[AQ_MAX_BOOKS];
#pragma GCC unroll 16
				for (int32_t k = 0; k < K; k++) {
					offset[k] = k * book + (int64_t)(v[k] >> 8 * i & 0xff) * g;
				}
				add_entries(dst + to[i], w, offset, K, g, half);
			}
		}
	}
}

INL void decode_codes(const weight *w, int32_t row, int32_t rows, int32_t col, int32_t cols, float *panel, int64_t ld,
	const int32_t K, const int32_t g, const int32_t bytes, const bool half) {
	const int32_t og = w->info.out_group;
	const int64_t entries = (int64_t)1 << w->info.bits, entry = (int64_t)og * g;
	const int32_t first = col / g, groups = cols / g;
	for (int32_t r = 0; r < rows; r++) {
		const int64_t at = ((int64_t)((row + r) / og) * w->groups + first) * K;
		const int64_t inner = (int64_t)((row + r) % og) * g;
		const uint8_t *codes8 = w->data + at;
		const uint16_t *codes16 = (const uint16_t *)(const void *)w->data + at;
		for (int32_t j = 0; j < groups; j++) {
			int64_t offset[AQ_MAX_BOOKS];
#pragma GCC unroll 16
			for (int32_t k = 0; k < K; k++) {
				const int64_t c = bytes == 1 ? codes8[j * K + k] : codes16[j * K + k];
				offset[k] = (k * entries + c) * entry + inner;
			}
			add_entries(panel + r * ld + (int64_t)j * g, w, offset, K, g, half);
		}
	}
}

INL void decode_scheme(const weight *w, int32_t row, int32_t rows, int32_t col, int32_t cols, float *panel, int64_t ld,
	const int32_t K, const int32_t g, const bool half) {
	if (w->layout == LAYOUT_TILES) {
		decode_tiles(w, row, col, cols, panel, ld, K, g, half);
	} else if (w->code_bytes == 1) {
		decode_codes(w, row, rows, col, cols, panel, ld, K, g, 1, half);
	} else {
		decode_codes(w, row, rows, col, cols, panel, ld, K, g, 2, half);
	}
}

static void decode_aqlm(const weight *w, int32_t row, int32_t rows, int32_t col, int32_t cols, float *panel, int64_t ld) {
	const int32_t K = w->info.books, g = w->info.in_group;
	const bool half = w->book16 != NULL;
	if (g == 8 && half && K == 1) {
		decode_scheme(w, row, rows, col, cols, panel, ld, 1, 8, true);
	} else if (g == 8 && half && K == 2) {
		decode_scheme(w, row, rows, col, cols, panel, ld, 2, 8, true);
	} else if (g == 8 && half && K == 4) {
		decode_scheme(w, row, rows, col, cols, panel, ld, 4, 8, true);
	} else {
		decode_scheme(w, row, rows, col, cols, panel, ld, K, g, half);
	}
}

static void decode(const weight *w, int32_t row, int32_t rows, int32_t col, int32_t cols, float *panel, int64_t ld) {
	if (w->info.encoding == AQ_ENCODING_AQLM) {
		decode_aqlm(w, row, rows, col, cols, panel, ld);
		return;
	}
	static const int32_t bytes[AQ_DTYPE_COUNT] = {[AQ_DTYPE_F32] = 4, [AQ_DTYPE_F16] = 2, [AQ_DTYPE_BF16] = 2};
	const int64_t skip = w->info.type == AQ_DTYPE_Q8_0 ? (int64_t)col / 32 * 34 : (int64_t)col * bytes[w->info.type];
	for (int32_t r = 0; r < rows; r++) {
		to_f32(panel + r * ld, w->data + (row + r) * w->row_bytes + skip, w->info.type, cols);
	}
}
