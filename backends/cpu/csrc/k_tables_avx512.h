// AQLM table kernels for AVX-512 VBMI: tables cut into byte planes, looked up 64 codes at a time.
//
// Table of one (group, book): 256 partial sums <x_j, entry>, scaled to integers, biased to unsigned and stored as one
// byte plane (256 B, four vectors) for each digit. vpermi2b looks 64 codes up in 128 entries, so a plane takes two and
// a blend by bit 7 of the code. Digit sums are kept in pairs of 16-bit lanes:
//
//   all += r; hi += r >> 8      low digits = all - (hi << 8)
//
// and joined to 32-bit integers and then fp32 once a block. Sums inside a block are exact integers.
//
//   exact   three digits of 8 bits, tables by fp32 FMA: each entry is rounded to 2^-24 of the largest possible one, as
//           accurate as fp32 tables
//   fast    two digits of 7 bits, tables by vpdpwssd from int16 books and inputs: errors near 2.5e-4. Digits of 7 bits
//           let two lookups be added as bytes before they are widened, which saves a sixth of the operations; the loop
//           is bound by their number. Digits of 8 bits were 12 % slower (and 5e-5 off).
//
// The scale needs no pass over the table: |<x, e>| <= |x| |e| bounds it, so it is folded into x.
//
// What decides the speed: codes are prefetched to L2, not L1, 8 KB ahead in storage order (38 against 90 Gw/s with
// prefetcht0 in consumption order); several tiles are read side by side so that a table is loaded once for all of
// them; and registers, see look_up_3x2. Masked lookups instead of blends, vpmulhuw instead of shifts: no gain.

enum { PREFETCH_BYTES = 8192 };

// once and once_ps keep the compiler from loading the same vector again for every use.
INL __m512i once(__m512i c) {
	__asm__("" : "+v"(c));
	return c;
}

INL __m512 once_ps(__m512 c) {
	__asm__("" : "+v"(c));
	return c;
}

// ---- tables of three planes: fp32 ------------------------------------------------------------------------------------

// cut stores the bytes of 64 biased table values, entry 4i+j of them in lane i of q[j], into planes.
INL void cut(const __m512i q[4], uint8_t *t) {
	const __m512i lane = _mm512_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0x10101010, 0x14141414, 0x18181818,
		0x1c1c1c1c, 0x20202020, 0x24242424, 0x28282828, 0x2c2c2c2c, 0x30303030, 0x34343434, 0x38383838, 0x3c3c3c3c);
#pragma GCC unroll 3
	for (int32_t p = 0; p < 3; p++) {
		// Byte p of q[0] and q[1] to the low half of each lane, of q[2] and q[3] to the high half.
		const __m512i s0 = _mm512_or_si512(lane, _mm512_set1_epi32(0x00004000 | p * 0x0101));
		const __m512i s1 = _mm512_or_si512(lane, _mm512_set1_epi32(0x40000000 | p * 0x01010000));
		const __m512i a = _mm512_permutex2var_epi8(q[0], s0, q[1]), b = _mm512_permutex2var_epi8(q[2], s1, q[3]);
		_mm512_store_si512(t + p * AQ_ENTRIES, _mm512_ternarylogic_epi32(_mm512_set1_epi32(0xffff), a, b, 0xca));
	}
}

// build_four sets the tables of one book for four groups: t[i] from scaled inputs x[i]. The codebooks of a weight do
// not fit the L1 cache next to the tables, so each book row must be loaded once for several groups.
INL void build_four(const float *book_t, const float *const x[4], uint8_t *const t[4], const int32_t g) {
	const __m512i bias = _mm512_set1_epi32(1 << 23);
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
			cut(q, t[i] + e);
		}
	}
}

// build_planes sets the tables of a block, [group][book][3][256], and returns the value of one integer unit.
static float build_planes(const weight *w, const float *x, uint8_t *tables) {
	const int32_t g = w->info.in_group, K = w->info.books, n = w->block * g;
	float entry = 0, scaled[AQ_LOOKUPS * 256] __attribute__((aligned(64)));
	for (int32_t k = 0; k < K; k++) {
		entry = w->book_norm[k] <= entry ? entry : w->book_norm[k];
	}
	float top;
	const float bound = bound_of(x, w->block, g, &top) * entry, half = (1 << 23) - 1;
	const float scale = bound > 0 ? half / bound : 0; // zero for NaN: the returned unit carries it
	for (int32_t i = 0; i < n; i++) {
		scaled[i] = x[i] * scale;
	}
	const int32_t size = 3 * AQ_ENTRIES;
	for (int32_t j = 0; j < w->block; j += 4) {
		for (int32_t k = 0; k < K; k++) {
			const float *from[4];
			uint8_t *to[4];
			for (int32_t i = 0; i < 4; i++) { // the last group of a block may be built more than once
				const int32_t group = min_i32(j + i, w->block - 1);
				from[i] = scaled + group * g;
				to[i] = tables + (group * K + k) * size;
			}
			build_four(w->book_t + (int64_t)k * g * AQ_ENTRIES, from, to, g);
		}
	}
	return bound / half;
}

// ---- tables of two planes: int16 -------------------------------------------------------------------------------------

// cut_words stores the digits of 64 sums, entry 4i+j of them in lane i of q[j]: their highest 7 bits below the sign,
// and the 7 below these.
INL void cut_words(const __m512i q[4], uint8_t *t) {
	const __m512i lane = _mm512_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0x10101010, 0x14141414, 0x18181818,
		0x1c1c1c1c, 0x20202020, 0x24242424, 0x28282828, 0x2c2c2c2c, 0x30303030, 0x34343434, 0x38383838, 0x3c3c3c3c);
	const __m512i words = _mm512_or_si512(_mm512_set1_epi32(0x00210001),
		_mm512_setr_epi32(0, 0x20002, 0x40004, 0x60006, 0x80008, 0xa000a, 0xc000c, 0xe000e, 0x100010, 0x120012, 0x140014,
			0x160016, 0x180018, 0x1a001a, 0x1c001c, 0x1e001e));
	const __m512i low = _mm512_or_si512(lane, _mm512_set1_epi32(0x42400200)), one = _mm512_set1_epi8(1);
	const __m512i a = _mm512_permutex2var_epi16(q[0], words, q[1]), b = _mm512_permutex2var_epi16(q[2], words, q[3]);
	const __m512i d = _mm512_srli_epi16(_mm512_permutex2var_epi8(a, low, b), 1);
	_mm512_store_si512(t, _mm512_and_si512(d, _mm512_set1_epi8(0x7f)));
	_mm512_store_si512(t + AQ_ENTRIES, _mm512_permutex2var_epi8(a, _mm512_or_si512(low, one), b));
}

// build_four_words sets the tables of one book for four groups: t[i] from `pairs` pairs of inputs x[i].
INL void build_four_words(const int32_t *book, const int32_t *const x[4], uint8_t *const t[4], const int32_t pairs) {
	const __m512i bias = _mm512_set1_epi32((1 << 30) + (1 << 16)); // makes digits positive, and rounds
	for (int32_t e = 0; e < AQ_ENTRIES; e += 64) {
		__m512i s[4][4];
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
#pragma GCC unroll 4
			for (int32_t v = 0; v < 4; v++) {
				s[i][v] = bias;
			}
		}
		for (int32_t j = 0; j < pairs; j++) {
			__m512i row[4];
#pragma GCC unroll 4
			for (int32_t v = 0; v < 4; v++) {
				row[v] = once(_mm512_load_si512(book + j * AQ_ENTRIES + e + 16 * v));
			}
#pragma GCC unroll 4
			for (int32_t i = 0; i < 4; i++) {
				const __m512i u = _mm512_set1_epi32(x[i][j]);
#pragma GCC unroll 4
				for (int32_t v = 0; v < 4; v++) {
					s[i][v] = _mm512_dpwssd_epi32(s[i][v], u, row[v]);
				}
			}
		}
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
			cut_words(s[i], t[i] + e);
		}
	}
}

// build_words sets the tables of a block, [group][book][2][256], and returns the value of one integer unit.
static float build_words(const weight *w, const float *x, uint8_t *tables) {
	const int32_t g = w->info.in_group, K = w->info.books, pairs = (g + 1) / 2;
	int16_t rounded[AQ_LOOKUPS * 256 + 16] __attribute__((aligned(64)));
	const float unit = pairs_unit(w, x);
	for (int32_t k = 0; k < K; k++) {
		round_inputs(x, w->block, g, pairs_scale(w, k, unit), rounded);
		for (int32_t j = 0; j < w->block; j += 4) {
			const int32_t *from[4];
			uint8_t *to[4];
			for (int32_t i = 0; i < 4; i++) { // the last group of a block may be built more than once
				const int32_t group = min_i32(j + i, w->block - 1);
				from[i] = (const int32_t *)(const void *)rounded + group * pairs;
				to[i] = tables + (group * K + k) * (2 * AQ_ENTRIES);
			}
			build_four_words(w->book_pairs + (int64_t)k * pairs * AQ_ENTRIES, from, to, pairs);
		}
	}
	return unit * 131072;
}

// ---- lookups ----------------------------------------------------------------------------------------------------------

// The lookups of several tiles side by side are in assembly for the sake of the registers: tables and sums fill up to
// 26 of 32, and gcc, whatever barriers it is given, orders lookups so that it has to spill (2.2 against 3.3 ns for 64
// codes in two planes of 8 bits). Codes are in zmm0, tables start at zmm4.
#define Z(n) "%%zmm" #n
#define LOAD(n, at) "vmovdqa64 " #at "(%[t]), " Z(n) "\n\t"
#define CODES(at, ahead) "vmovdqa64 " at ", " Z(0) "\n\tprefetcht1 " #ahead "(%[f])\n\tvpmovb2m " Z(0) ", %%k1\n\t"
#define LOOK_UP(to, t0, t1, t2, t3)                                                                                   \
	"vmovdqa64 " Z(0) ", " Z(to) "\n\tvmovdqa64 " Z(0) ", " Z(1) "\n\t"                                                \
	"vpermi2b " Z(t1) ", " Z(t0) ", " Z(to) "\n\tvpermi2b " Z(t3) ", " Z(t2) ", " Z(1) "\n\t"                          \
	"vmovdqu8 " Z(1) ", " Z(to) "%{%%k1%}\n\t"
#define SUM(v, i)                                                                                                     \
	"vpaddw " Z(v) ", %[a" #i "], %[a" #i "]\n\tvpsrlw $8, " Z(v) ", " Z(v) "\n\t"                                     \
	"vpaddw " Z(v) ", %[h" #i "], %[h" #i "]\n\t"
#define CLEAR(i) "vpxord %[a" #i "], %[a" #i "], %[a" #i "]\n\tvpxord %[h" #i "], %[h" #i "], %[h" #i "]\n\t"
#define SUMS(i) [a##i] "=&v"(all[i]), [h##i] "=&v"(hi[i])
#define ADD(to, v) "vpaddb " Z(v) ", " Z(to) ", " Z(to) "\n\t"
#define TWO_PLANES(a, b) LOOK_UP(a, 4, 5, 6, 7) LOOK_UP(b, 8, 9, 10, 11)
#define LOAD_FOUR(n, n1, n2, n3, at) LOAD(n, at) LOAD(n1, at + 64) LOAD(n2, at + 128) LOAD(n3, at + 192)

// look_up_3x2 sets the digit sums of three tiles in two planes of 7 bits, over an even number of lookups.
INL void look_up_3x2(const uint8_t *codes, const uint8_t *t, const uint8_t *ahead, int64_t twos, int64_t tile_bytes,
	__m512i all[8], __m512i hi[8]) {
	__asm__ volatile(CLEAR(0) CLEAR(1) CLEAR(2) CLEAR(3) CLEAR(4) CLEAR(5) "testq %[n], %[n]\n\tjz 2f\n1:\n\t" //
		LOAD_FOUR(4, 5, 6, 7, 0) LOAD_FOUR(8, 9, 10, 11, 256)
		CODES("(%[c])", 0) TWO_PLANES(12, 13)
		CODES("(%[c],%[s])", 64) TWO_PLANES(14, 15)
		CODES("(%[c],%[s],2)", 128) TWO_PLANES(16, 17)
		LOAD_FOUR(4, 5, 6, 7, 512) LOAD_FOUR(8, 9, 10, 11, 768)
		CODES("64(%[c])", 192) TWO_PLANES(2, 3) ADD(2, 12) ADD(3, 13) SUM(2, 0) SUM(3, 1)
		CODES("64(%[c],%[s])", 256) TWO_PLANES(2, 3) ADD(2, 14) ADD(3, 15) SUM(2, 2) SUM(3, 3)
		CODES("64(%[c],%[s],2)", 320) TWO_PLANES(2, 3) ADD(2, 16) ADD(3, 17) SUM(2, 4) SUM(3, 5)
		"addq $128, %[c]\n\taddq $1024, %[t]\n\taddq $384, %[f]\n\tdecq %[n]\n\tjnz 1b\n2:"
		: SUMS(0), SUMS(1), SUMS(2), SUMS(3), SUMS(4), SUMS(5), [c] "+r"(codes),
		[t] "+r"(t), [f] "+r"(ahead), [n] "+r"(twos)
		: [s] "r"(tile_bytes)
		: "cc", "memory", "k1", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10",
		"zmm11", "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", "zmm17");
}

// look_up_2x3 sets the digit sums of two tiles in three planes.
INL void look_up_2x3(const uint8_t *codes, const uint8_t *t, const uint8_t *ahead, int64_t lookups, int64_t tile_bytes,
	__m512i all[8], __m512i hi[8]) {
	__asm__ volatile(CLEAR(0) CLEAR(1) CLEAR(2) CLEAR(3) CLEAR(4) CLEAR(5) "1:\n\t" //
		LOAD_FOUR(4, 5, 6, 7, 0) LOAD_FOUR(8, 9, 10, 11, 256) LOAD_FOUR(12, 13, 14, 15, 512)
		CODES("(%[c])", 0) TWO_PLANES(2, 3) SUM(2, 0) SUM(3, 1) LOOK_UP(2, 12, 13, 14, 15) SUM(2, 2)
		CODES("(%[c],%[s])", 64) TWO_PLANES(2, 3) SUM(2, 3) SUM(3, 4) LOOK_UP(2, 12, 13, 14, 15) SUM(2, 5)
		"addq $64, %[c]\n\taddq $768, %[t]\n\taddq $128, %[f]\n\tdecq %[n]\n\tjnz 1b"
		: SUMS(0), SUMS(1), SUMS(2), SUMS(3), SUMS(4), SUMS(5), [c] "+r"(codes),
		[t] "+r"(t), [f] "+r"(ahead), [n] "+r"(lookups)
		: [s] "r"(tile_bytes)
		: "cc", "memory", "k1", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10",
		"zmm11", "zmm12", "zmm13", "zmm14", "zmm15");
}

// flush_tile adds the digit sums of a tile to y. Sums of digits are words below 2^15; vpdpwssd picks one of each pair,
// multiplies it with the weight of its digit and adds it.
INL void flush_tile(const __m512i *all, const __m512i *hi, int32_t lookups, float unit, float *y, const int32_t planes) {
	const __m512i first = _mm512_set1_epi32(1), second = _mm512_set1_epi32(1 << 16);
	const __m512i bias = _mm512_set1_epi32(-(lookups << (planes == 3 ? 15 : 13)));
	__m512i s[4] = {bias, bias, bias, bias};
#pragma GCC unroll 3
	for (int32_t i = 0; i < planes; i++) {
		const int32_t p = planes - 1 - i; // the highest first
		const __m512i h = hi[p], l = _mm512_sub_epi16(all[p], _mm512_slli_epi16(h, 8));
		const bool top = planes == 3 ? p == 2 : p == 1;
		const int32_t digit = planes == 3 ? 256 : 128;
		const __m512i m0 = top ? _mm512_set1_epi32(digit) : first, m1 = top ? _mm512_set1_epi32(digit << 16) : second;
		s[0] = _mm512_dpwssd_epi32(s[0], l, m0);
		s[1] = _mm512_dpwssd_epi32(s[1], h, m0);
		s[2] = _mm512_dpwssd_epi32(s[2], l, m1);
		s[3] = _mm512_dpwssd_epi32(s[3], h, m1);
		if (planes == 3 && p == 1) {
#pragma GCC unroll 4
			for (int32_t j = 0; j < 4; j++) {
				s[j] = _mm512_slli_epi32(s[j], 8);
			}
		}
	}
#pragma GCC unroll 4
	for (int32_t j = 0; j < 4; j++) {
		float *o = y + 16 * j;
		_mm512_storeu_ps(o, _mm512_fmadd_ps(_mm512_set1_ps(unit), _mm512_cvtepi32_ps(s[j]), _mm512_loadu_ps(o)));
	}
}

// look_up_1 adds to the digit sums of one tile.
INL void look_up_1(const uint8_t *codes, const uint8_t *t, const uint8_t *ahead, int64_t lookups, const int32_t planes,
	__m512i all[8], __m512i hi[8]) {
	for (int64_t q = 0; q < lookups; q++, codes += AQ_TILE, ahead += AQ_TILE) {
		const __m512i c = _mm512_load_si512(codes);
		const __mmask64 upper = _mm512_movepi8_mask(c);
		_mm_prefetch((const char *)ahead, _MM_HINT_T1);
#pragma GCC unroll 3
		for (int32_t p = 0; p < planes; p++, t += AQ_ENTRIES) {
			const __m512i v = _mm512_mask_blend_epi8(upper,
				_mm512_permutex2var_epi8(_mm512_load_si512(t), c, _mm512_load_si512(t + 64)),
				_mm512_permutex2var_epi8(_mm512_load_si512(t + 128), c, _mm512_load_si512(t + 192)));
			all[p] = _mm512_add_epi16(all[p], v);
			hi[p] = _mm512_add_epi16(hi[p], _mm512_srli_epi16(v, 8));
		}
	}
}

// look_up_tiles adds the sums of TILES tiles of 64 rows over one block to y.
INL void look_up_tiles(const uint8_t *codes, const uint8_t *t, int32_t lookups, float unit, float *y, bool prefetch,
	const int32_t planes, const int32_t tiles) {
	__m512i all[8], hi[8];
	const uint8_t *ahead = codes + (prefetch ? PREFETCH_BYTES : 0);
	const int64_t tile_bytes = (int64_t)lookups * AQ_TILE;
	if (tiles == 1) {
#pragma GCC unroll 3
		for (int32_t p = 0; p < planes; p++) {
			all[p] = hi[p] = _mm512_setzero_si512();
		}
		look_up_1(codes, t, ahead, lookups, planes, all, hi);
	} else if (planes == 2) {
		look_up_3x2(codes, t, ahead, lookups / 2, tile_bytes, all, hi);
		const int32_t last = lookups / 2 * 2;
#pragma GCC unroll 3
		for (int32_t r = 0; r < 3; r++) {
			const uint8_t *c = codes + r * tile_bytes + last * AQ_TILE;
			look_up_1(c, t + last * (2 * AQ_ENTRIES), c, lookups - last, 2, all + 2 * r, hi + 2 * r);
		}
	} else {
		look_up_2x3(codes, t, ahead, lookups, tile_bytes, all, hi);
	}
#pragma GCC unroll 4
	for (int32_t r = 0; r < tiles; r++) {
		flush_tile(all + r * planes, hi + r * planes, lookups, unit, y + r * AQ_TILE, planes);
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
			const float *x = block_inputs(w, a->x + t * a->ldx, b, copy);
			const float unit = planes == 2 ? build_words(w, x, tables) : build_planes(w, x, tables);
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

static void tables_14bit(const table_args *a) { tables_planes(a, 2, 3); }
