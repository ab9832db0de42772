// AQLM table kernel for several tokens: an entry of a table is a vector over tokens.
//
//   tables   [lookups of a pass][256][lanes] fp32, lanes = 4 or 8 tokens, at most 24 KB: they fit the L1 cache
//   y        [rows in the order of the tiles' bytes][lanes], in L2: a pass over all rows adds up to 6 (3) lookups to it
//
// A lookup and its addition serve all tokens, so eight tokens cost about as much as two of the kernels for one token. The
// passes of a block read its codes again, from L2; each prefetches its share of the next block. Tables are built by
// broadcasting book entries over the tokens: 256 x g FMAs a lookup.
//
// Tried: passes of 16 KB (8 % slower with eight lanes: more traffic of y) and of 32 KB (equal); lookups in assembly
// (equal: what bounds them is the caches); offsets of entries made for a whole tile by vectors (12 % slower).

enum { LANES_PASS_BYTES = 24 << 10 };

INL __m256 lanes_load(const float *p, const int32_t lanes) {
	return lanes == 8 ? _mm256_load_ps(p) : _mm256_castps128_ps256(_mm_load_ps(p));
}

INL void lanes_store(float *p, __m256 v, const int32_t lanes) {
	if (lanes == 8) {
		_mm256_store_ps(p, v);
	} else {
		_mm_store_ps(p, _mm256_castps256_ps128(v));
	}
}

// lanes_place returns the place of entry number e of book_t: interleaved levels keep entry 4i+j of 64 at 16j+i.
INL int32_t lanes_place(int32_t e) { return VW == 16 ? (e & ~63) | (e & 15) << 2 | (e >> 4 & 3) : e; }

// lanes_table sets the table of one book for a group whose inputs are x (g, 8), four lanes twice. With four lanes a
// vector is two entries.
INL void lanes_table(const float *book_t, const float *x, float *t, const int32_t g, const int32_t lanes) {
	const __m256i halves = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
	const int32_t step = lanes == 8 ? 1 : 2;
	for (int32_t e = 0; e < AQ_ENTRIES; e += 4 * step) {
		__m256 s[4];
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
			s[i] = _mm256_setzero_ps();
		}
		for (int32_t j = 0; j < g; j++) {
			const __m256 v = _mm256_load_ps(x + j * 8);
#pragma GCC unroll 4
			for (int32_t i = 0; i < 4; i++) {
				const float *b = book_t + j * AQ_ENTRIES + e + i * step;
				__m256 w;
				if (lanes == 8) {
					w = _mm256_broadcast_ss(b);
				} else {
					double two;
					memcpy(&two, b, 8);
					w = _mm256_permutevar_ps(_mm256_castpd_ps(_mm256_set1_pd(two)), halves);
				}
				s[i] = _mm256_fmadd_ps(v, w, s[i]);
			}
		}
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
			if (lanes == 8) {
				_mm256_store_ps(t + lanes_place(e + i) * 8, s[i]);
			} else {
				_mm_store_ps(t + lanes_place(e + 2 * i) * 4, _mm256_castps256_ps128(s[i]));
				_mm_store_ps(t + lanes_place(e + 2 * i + 1) * 4, _mm256_extractf128_ps(s[i], 1));
			}
		}
	}
}

// lanes_tile adds n lookups to each row of a tile.
INL void lanes_tile(const uint8_t *codes, const float *tables, float *y, const int32_t n, const int32_t lanes) {
	for (int32_t r = 0; r < AQ_TILE; r += 8) {
		uint64_t v[6];
#pragma GCC unroll 6
		for (int32_t k = 0; k < n; k++) {
			memcpy(&v[k], codes + k * AQ_TILE + r, 8);
		}
#pragma GCC unroll 8
		for (int32_t i = 0; i < 8; i++) {
			float *to = y + (r + i) * lanes;
			__m256 s = lanes_load(to, lanes);
#pragma GCC unroll 6
			for (int32_t k = 0; k < n; k++) {
				s = _mm256_add_ps(s, lanes_load(tables + (k * AQ_ENTRIES + (int64_t)(v[k] & 0xff)) * lanes, lanes));
				v[k] >>= 8;
			}
			lanes_store(to, s, lanes);
		}
	}
}

INL void lanes_pass(const weight *w, const uint8_t *codes, const float *tables, float *y, const int32_t n,
	const int32_t lanes) {
	const int64_t tile_bytes = (int64_t)w->block * w->info.books * AQ_TILE, next = w->tiles * tile_bytes;
	for (int32_t i = 0; i < w->tiles; i++, codes += tile_bytes, y += AQ_TILE * lanes) {
#pragma GCC unroll 6
		for (int32_t k = 0; k < n; k++) {
			_mm_prefetch((const char *)codes + next + k * AQ_TILE, _MM_HINT_T1);
		}
		lanes_tile(codes, tables, y, n, lanes);
	}
}

INL void lanes_blocks(const table_args *a, const int32_t lanes) {
	const weight *w = a->w;
	const int32_t g = w->info.in_group, K = w->info.books, lookups = w->block * K;
	const int32_t most = LANES_PASS_BYTES / (AQ_ENTRIES * 4 * lanes), passes = (lookups + most - 1) / most;
	float *tables = a->workspace, x[AQ_LOOKUPS * 256 * 8] __attribute__((aligned(64)));
	memset(a->y, 0, (size_t)w->tiles * AQ_TILE * (size_t)lanes * sizeof(float));
	for (int32_t b = a->block; b < a->block_end; b++) {
		const int32_t first = b * w->block * g, n = w->block * g;
		for (int32_t i = 0; i < n; i++) {
			for (int32_t l = 0; l < 8; l++) {
				const int32_t t = l % lanes;
				x[i * 8 + l] = t < a->tokens && first + i < w->info.cols ? a->x[t * a->ldx + first + i] : 0;
			}
		}
		const uint8_t *codes = w->data + (int64_t)b * w->tiles * lookups * AQ_TILE;
		for (int32_t i = 0; i < passes; i++) {
			const int32_t q = lookups * i / passes, take = lookups * (i + 1) / passes - q;
			for (int32_t k = 0; k < take; k++) {
				lanes_table(w->book_t + (int64_t)((q + k) % K) * g * AQ_ENTRIES, x + (q + k) / K * g * 8,
					tables + k * AQ_ENTRIES * lanes, g, lanes);
			}
			const uint8_t *c = codes + q * AQ_TILE;
			switch (take) {
			case 1:
				lanes_pass(w, c, tables, a->y, 1, lanes);
				break;
			case 2:
				lanes_pass(w, c, tables, a->y, 2, lanes);
				break;
			case 3:
				lanes_pass(w, c, tables, a->y, 3, lanes);
				break;
			case 4:
				lanes_pass(w, c, tables, a->y, 4, lanes);
				break;
			case 5:
				lanes_pass(w, c, tables, a->y, 5, lanes);
				break;
			default:
				lanes_pass(w, c, tables, a->y, 6, lanes);
			}
		}
	}
}

static void tables_lanes(const table_args *a) {
	if (a->lanes == 4) {
		lanes_blocks(a, 4);
	} else {
		lanes_blocks(a, 8);
	}
}
