// AQLM table kernels for AVX-512 VBMI: tables cut into byte planes, looked up 64 codes at a time.
//
// Table of one (group, book): 256 partial sums <x_j, entry>, scaled to integers of 8 x PLANES bits, biased to
// unsigned and stored as one byte plane (256 B, four vectors) for each digit. vpermi2b looks 64 codes up in 128
// entries, so a plane takes two and a blend by bit 7 of the code. Digit sums are kept in pairs of 16-bit lanes:
//
//   all += r; hi += r >> 8      low digits = all - (hi << 8)
//
// and joined to 32-bit integers and then fp32 once a block. Sums inside a block are exact integers; three planes (24
// bits) round each table entry to 2^-24 of the largest possible one, as accurate as fp32 tables and twice as fast;
// two planes are the fast precision (errors near 1e-4).
//
// The scale needs no pass over the table: |<x, e>| <= |x| |e| bounds it, so it is folded into x.
//
// What decides the speed: codes are prefetched to L2, not L1, 8 KB ahead in storage order (38 against 90 Gw/s with
// prefetcht0 in consumption order); several tiles are read side by side so that a table is loaded once for all of
// them; and gcc must be kept from folding a table into a memory operand or reloading codes (look_up, once).

enum { PREFETCH_BYTES = 8192 };

// bound_of returns the largest |x_j| of the groups of a block, in a way that neither overflows nor underflows where
// the result would not; NaN if there is one.
static float bound_of(const float *x, int32_t groups, int32_t g) {
	float top = 0;
	for (int32_t i = 0; i < groups * g; i++) {
		const float v = fabsf(x[i]);
		top = v <= top ? top : v; // NaN wins
	}
	if (!(top > 1e-30f && top < INFINITY)) {
		return top > 0 && top <= 1e-30f ? 0 : top;
	}
	const float inv = 1 / top;
	float most = 0;
	for (int32_t j = 0; j < groups; j++, x += g) {
		vf sum = v_zero();
		for (int32_t i = 0; i < g; i += VW) {
			const vf v = v_mul(v_set1(inv), i + VW <= g ? v_load(x + i) : v_loadn(x + i, g - i));
			sum = v_fma(v, v, sum);
		}
		const float s = sum4(v_fold(sum));
		most = s > most ? s : most;
	}
	return top * sqrtf(most);
}

// once and once_ps keep the compiler from loading the same vector again for every use.
INL __m512i once(__m512i c) {
	__asm__("" : "+v"(c));
	return c;
}

INL __m512 once_ps(__m512 c) {
	__asm__("" : "+v"(c));
	return c;
}

// cut stores the bytes of 64 biased table values, entry 4i+j of them in lane i of q[j], into planes.
INL void cut(const __m512i q[4], const int32_t planes, uint8_t *t) {
	const __m512i lane = _mm512_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0x10101010, 0x14141414, 0x18181818,
		0x1c1c1c1c, 0x20202020, 0x24242424, 0x28282828, 0x2c2c2c2c, 0x30303030, 0x34343434, 0x38383838, 0x3c3c3c3c);
#pragma GCC unroll 3
	for (int32_t p = 0; p < planes; p++) {
		// Byte p of q[0] and q[1] to the low half of each lane, of q[2] and q[3] to the high half.
		const __m512i s0 = _mm512_or_si512(lane, _mm512_set1_epi32(0x00004000 | p * 0x0101));
		const __m512i s1 = _mm512_or_si512(lane, _mm512_set1_epi32(0x40000000 | p * 0x01010000));
		const __m512i a = _mm512_permutex2var_epi8(q[0], s0, q[1]), b = _mm512_permutex2var_epi8(q[2], s1, q[3]);
		_mm512_store_si512(t + p * AQ_ENTRIES, _mm512_ternarylogic_epi32(_mm512_set1_epi32(0xffff), a, b, 0xca));
	}
}

// build_four sets the tables of one book for four groups: t[i] from scaled inputs x[i]. The codebooks of a weight do
// not fit the L1 cache next to the tables, so each book row must be loaded once for several groups.
INL void build_four(const float *book_t, const float *const x[4], uint8_t *const t[4], const int32_t g,
	const int32_t planes) {
	const __m512i bias = _mm512_set1_epi32(1 << (8 * planes - 1));
	for (int32_t e = 0; e < AQ_ENTRIES; e += 64) {
		__m512 s[4][4];
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
#pragma GCC unroll 4
			for (int32_t v = 0; v < 4; v++) {
				s[i][v] = _mm512_setzero_ps();
			}
		}
		for (int32_t j = 0; j < g; j++) {
			__m512 row[4];
#pragma GCC unroll 4
			for (int32_t v = 0; v < 4; v++) {
				row[v] = once_ps(_mm512_load_ps(book_t + j * AQ_ENTRIES + e + 16 * v));
			}
#pragma GCC unroll 4
			for (int32_t i = 0; i < 4; i++) {
				const __m512 u = _mm512_set1_ps(x[i][j]);
#pragma GCC unroll 4
				for (int32_t v = 0; v < 4; v++) {
					s[i][v] = _mm512_fmadd_ps(u, row[v], s[i][v]);
				}
			}
		}
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
			__m512i q[4];
#pragma GCC unroll 4
			for (int32_t v = 0; v < 4; v++) {
				q[v] = _mm512_add_epi32(_mm512_cvtps_epi32(s[i][v]), bias);
			}
			cut(q, planes, t[i] + e);
		}
	}
}

// build_planes sets the tables of a block, [group][book][plane][256], and returns the value of one integer unit.
INL float build_planes(const weight *w, const float *x, uint8_t *tables, const int32_t planes) {
	const int32_t g = w->info.in_group, K = w->info.books, n = w->block * g;
	float entry = 0, scaled[AQ_LOOKUPS * 256] __attribute__((aligned(64)));
	for (int32_t k = 0; k < K; k++) {
		entry = w->book_norm[k] <= entry ? entry : w->book_norm[k];
	}
	const float bound = bound_of(x, w->block, g) * entry, half = (float)((1 << (8 * planes - 1)) - 1);
	const float scale = bound > 0 ? half / bound : 0; // zero for NaN: the returned unit carries it
	for (int32_t i = 0; i < n; i++) {
		scaled[i] = x[i] * scale;
	}
	const int32_t size = planes * AQ_ENTRIES;
	for (int32_t j = 0; j < w->block; j += 4) {
		for (int32_t k = 0; k < K; k++) {
			const float *from[4];
			uint8_t *to[4];
			for (int32_t i = 0; i < 4; i++) { // the last group of a block may be built more than once
				const int32_t group = min_i32(j + i, w->block - 1);
				from[i] = scaled + group * g;
				to[i] = tables + (group * K + k) * size;
			}
			build_four(w->book_t + (int64_t)k * g * AQ_ENTRIES, from, to, g, planes);
		}
	}
	return bound / half;
}

// look_up is vpermi2b with both halves of the table in registers: with one in memory the loop is bound by its loads.
INL __m512i look_up(__m512i codes, __m512i low, __m512i high) {
	__asm__("vpermi2b %2, %1, %0" : "+v"(codes) : "v"(low), "v"(high));
	return codes;
}

// look_up_tiles adds the sums of TILES tiles of 64 rows over one block to y.
INL void look_up_tiles(const uint8_t *codes, const uint8_t *t, int32_t lookups, float unit, float *y, bool prefetch,
	const int32_t planes, const int32_t tiles) {
	__m512i all[8], hi[8];
	const int64_t tile_bytes = (int64_t)lookups * AQ_TILE;
#pragma GCC unroll 8
	for (int32_t i = 0; i < tiles * planes; i++) {
		all[i] = hi[i] = _mm512_setzero_si512();
	}
	const uint8_t *ahead = codes + (prefetch ? PREFETCH_BYTES : 0);
	for (int32_t q = 0; q < lookups; q++, t += planes * AQ_ENTRIES, codes += AQ_TILE) {
		__m512i tb[12];
#pragma GCC unroll 12
		for (int32_t i = 0; i < 4 * planes; i++) {
			tb[i] = _mm512_load_si512(t + 64 * i);
		}
#pragma GCC unroll 4
		for (int32_t r = 0; r < tiles; r++) {
			const __m512i c = once(_mm512_load_si512(codes + r * tile_bytes));
			_mm_prefetch((const char *)ahead, _MM_HINT_T1);
			ahead += AQ_TILE;
			const __mmask64 upper = _mm512_movepi8_mask(c);
#pragma GCC unroll 3
			for (int32_t p = 0; p < planes; p++) {
				const __m512i v = _mm512_mask_blend_epi8(upper, look_up(c, tb[4 * p], tb[4 * p + 1]),
					look_up(c, tb[4 * p + 2], tb[4 * p + 3]));
				const int32_t i = r * planes + p;
				all[i] = _mm512_add_epi16(all[i], v);
				hi[i] = _mm512_add_epi16(hi[i], _mm512_srli_epi16(v, 8));
			}
		}
	}
	const __m512i low_half = _mm512_set1_epi32(0xffff), bias = _mm512_set1_epi32(-(lookups << (8 * planes - 1)));
#pragma GCC unroll 4
	for (int32_t r = 0; r < tiles; r++) {
		__m512i s[4] = {bias, bias, bias, bias};
#pragma GCC unroll 3
		for (int32_t p = 0; p < planes; p++) {
			const __m512i h = hi[r * planes + p], l = _mm512_sub_epi16(all[r * planes + p], _mm512_slli_epi16(h, 8));
			const unsigned shift = 8 * (unsigned)p;
			s[0] = _mm512_add_epi32(s[0], _mm512_slli_epi32(_mm512_and_si512(l, low_half), shift));
			s[1] = _mm512_add_epi32(s[1], _mm512_slli_epi32(_mm512_and_si512(h, low_half), shift));
			s[2] = _mm512_add_epi32(s[2], _mm512_slli_epi32(_mm512_srli_epi32(l, 16), shift));
			s[3] = _mm512_add_epi32(s[3], _mm512_slli_epi32(_mm512_srli_epi32(h, 16), shift));
		}
#pragma GCC unroll 4
		for (int32_t j = 0; j < 4; j++) {
			float *o = y + r * AQ_TILE + 16 * j;
			_mm512_storeu_ps(o, _mm512_fmadd_ps(_mm512_set1_ps(unit), _mm512_cvtepi32_ps(s[j]), _mm512_loadu_ps(o)));
		}
	}
}

INL void tables_planes(const table_args *a, const int32_t planes, const int32_t side_by_side) {
	const weight *w = a->w;
	const int32_t lookups = w->block * w->info.books;
	const int64_t padded = (int64_t)w->tiles * AQ_TILE;
	uint8_t *tables = a->workspace;
	float copy[AQ_LOOKUPS * 256];
	memset(a->y, 0, (size_t)(a->tokens * padded) * sizeof(float));
	for (int32_t b = a->block; b < a->block_end; b++) {
		for (int32_t t = 0; t < a->tokens; t++) {
			const float unit = build_planes(w, block_inputs(w, a->x + t * a->ldx, b, copy), tables, planes);
			const uint8_t *codes = w->data + (int64_t)b * padded * lookups;
			float *y = a->y + t * padded;
			int32_t i = 0;
			for (; i + side_by_side <= w->tiles; i += side_by_side) {
				look_up_tiles(codes + (int64_t)i * lookups * AQ_TILE, tables, lookups, unit, y + (int64_t)i * AQ_TILE,
					t == 0, planes, side_by_side);
			}
			for (; i < w->tiles; i++) {
				look_up_tiles(codes + (int64_t)i * lookups * AQ_TILE, tables, lookups, unit, y + (int64_t)i * AQ_TILE,
					t == 0, planes, 1);
			}
		}
	}
}

static void tables_24bit(const table_args *a) { tables_planes(a, 3, 2); }

static void tables_16bit(const table_args *a) { tables_planes(a, 2, 4); }
