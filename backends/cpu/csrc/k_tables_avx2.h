// AQLM table kernels for AVX2.
//
// For a block of groups the table of (group j, book k) holds <x_j, entry e> for all 256 entries e.
//
//   exact   tables of fp32 in the L1 cache; a row's sum is one load and add a code. vpgatherdps, int32 tables in general
//           registers, alone or for some of the rows, and wider tiles were all slower (docs/performance.md); the loop is
//           bound by its loads. It is in assembly because gcc does not use the high byte registers and spends a third more
//           instructions.
//   auto    the same, but tables are sums of products of int16, two thirds of the work. Errors near 1e-4.
//   fast    such tables rounded to bytes, with one scale for the block, and looked up by vpshufb, which takes 16
//           entries: eight times a pair of them (bit 7 of a code chooses, as vpshufb does), then a tree of blends by bits
//           4 to 6. Byte sums are kept as in k_tables_avx512.h: all += r, hi += r >> 8. Errors near 1.1e-2.

// once and once_ps keep the compiler from loading the same vector again for every use.
INL __m256i once(__m256i v) {
	__asm__("" : "+x"(v));
	return v;
}

INL __m256 once_ps(__m256 v) {
	__asm__("" : "+x"(v));
	return v;
}

// build_four sets the tables of one book for four groups: t[i] from inputs x[i]. Entries run along the vector; a book
// row is loaded once for four groups, because the codebooks of a weight do not fit the L1 cache next to the tables.
INL void build_four(const float *book_t, const float *const x[4], float *const t[4], const int32_t g) {
	for (int32_t e = 0; e < AQ_ENTRIES; e += 16) {
		__m256 s[4][2];
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
			s[i][0] = s[i][1] = _mm256_setzero_ps();
		}
		for (int32_t j = 0; j < g; j++) {
			const float *row = book_t + j * AQ_ENTRIES + e;
			const __m256 r0 = once_ps(_mm256_load_ps(row)), r1 = once_ps(_mm256_load_ps(row + 8));
#pragma GCC unroll 4
			for (int32_t i = 0; i < 4; i++) {
				const __m256 u = _mm256_broadcast_ss(x[i] + j);
				s[i][0] = _mm256_fmadd_ps(u, r0, s[i][0]);
				s[i][1] = _mm256_fmadd_ps(u, r1, s[i][1]);
			}
		}
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
			_mm256_store_ps(t[i] + e, s[i][0]);
			_mm256_store_ps(t[i] + e + 8, s[i][1]);
		}
	}
}

#define LOOK_UP_TWO(q, low, high)                                                                                     \
	"movzbl %%al, %%ecx\n\tvaddss " #q "*1024(%[t],%%rcx,4), %[" low "], %[" low "]\n\t"                               \
	"movzbl %%ah, %%edx\n\tvaddss " #q "*1024(%[t],%%rdx,4), %[" high "], %[" high "]\n\t"
#define LOOK_UP_EIGHT(q)                                                                                              \
	"movq " #q "*64(%[p]), %%rax\n\t" LOOK_UP_TWO(q, "a", "b") "shrq $16, %%rax\n\t" LOOK_UP_TWO(q, "c", "d")           \
	"shrq $16, %%rax\n\t" LOOK_UP_TWO(q, "e", "f") "shrq $16, %%rax\n\t" LOOK_UP_TWO(q, "g", "h")

// look_up_rows adds `lookups` table values to each of eight rows: for every table, eight codes at once.
INL void look_up_rows(const uint8_t *codes, const float *tables, int64_t lookups, float *y) {
	__m128 a = _mm_load_ss(y), b = _mm_load_ss(y + 1), c = _mm_load_ss(y + 2), d = _mm_load_ss(y + 3),
		   e = _mm_load_ss(y + 4), f = _mm_load_ss(y + 5), g = _mm_load_ss(y + 6), h = _mm_load_ss(y + 7);
	int64_t fours = lookups / 4, ones = lookups % 4;
	__asm__ volatile("testq %[n], %[n]\n\tjz 2f\n1:\n\t" //
					 LOOK_UP_EIGHT(0) LOOK_UP_EIGHT(1) LOOK_UP_EIGHT(2) LOOK_UP_EIGHT(3)
					 "addq $256, %[p]\n\taddq $4096, %[t]\n\tdecq %[n]\n\tjnz 1b\n"
					 "2:\n\ttestq %[m], %[m]\n\tjz 4f\n3:\n\t" //
					 LOOK_UP_EIGHT(0) "addq $64, %[p]\n\taddq $1024, %[t]\n\tdecq %[m]\n\tjnz 3b\n4:"
					 : [a] "+x"(a), [b] "+x"(b), [c] "+x"(c), [d] "+x"(d), [e] "+x"(e), [f] "+x"(f), [g] "+x"(g),
					 [h] "+x"(h), [p] "+r"(codes), [t] "+r"(tables), [n] "+r"(fours), [m] "+r"(ones)
					 :
					 : "rax", "rcx", "rdx", "cc", "memory");
	_mm_store_ss(y, a);
	_mm_store_ss(y + 1, b);
	_mm_store_ss(y + 2, c);
	_mm_store_ss(y + 3, d);
	_mm_store_ss(y + 4, e);
	_mm_store_ss(y + 5, f);
	_mm_store_ss(y + 6, g);
	_mm_store_ss(y + 7, h);
}

static void look_up_tile(const uint8_t *codes, const float *tables, int32_t lookups, float *y) {
	for (int32_t r = 0; r < AQ_TILE; r += 8) {
		look_up_rows(codes + r, tables, lookups, y + r);
	}
}

#include "k_tables_fp32.h"

// ---- auto -----------------------------------------------------------------------------------------------------------

// The inputs of two groups, as pairs. Four pairs stay in registers; more (or fewer) come from memory.
typedef struct two_inputs {
	const int32_t *pairs[2];
	__m256i four[2][4];
} two_inputs;

// two_inputs_of returns those of groups j and, unless it is the last of `groups`, j + 1.
INL two_inputs two_inputs_of(const int16_t *rounded, int32_t j, int32_t groups, const int32_t pairs, const bool four) {
	const int32_t *x = (const int32_t *)(const void *)rounded;
	two_inputs in = {.pairs = {x + j * pairs, x + min_i32(j + 1, groups - 1) * pairs}};
#pragma GCC unroll 8
	for (int32_t i = 0; four && i < 8; i++) {
		in.four[i / 4][i % 4] = once(_mm256_set1_epi32(in.pairs[i / 4][i % 4]));
	}
	return in;
}

// two_sums sets s[group] to start and the sums of products of the eight entries from e on.
INL void two_sums(const int32_t *book, int32_t e, const two_inputs *in, const int32_t pairs, const bool four, __m256i start,
	__m256i s[2]) {
	s[0] = s[1] = start;
#pragma GCC unroll 4
	for (int32_t j = 0; j < pairs; j++) {
		const __m256i row = once(_mm256_load_si256((const __m256i *)(const void *)(book + j * AQ_ENTRIES + e)));
#pragma GCC unroll 2
		for (int32_t i = 0; i < 2; i++) {
			const __m256i u = four ? in->four[i][j] : _mm256_set1_epi32(in->pairs[i][j]);
			s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(u, row));
		}
	}
}

// build_two sets the tables of one book for two groups in floats of unit.
INL void build_two(const int32_t *book, two_inputs in, float *tables, const int32_t to[2], const int32_t pairs,
	const bool four, float unit) {
	const __m256 scale = _mm256_set1_ps(unit);
	for (int32_t e = 0; e < AQ_ENTRIES; e += 8) {
		__m256i s[2];
		two_sums(book, e, &in, pairs, four, _mm256_setzero_si256(), s);
		_mm256_store_ps(tables + to[0] + e, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(s[0])));
		_mm256_store_ps(tables + to[1] + e, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(s[1])));
	}
}

// build_two_words sets the tables of one book for two groups: the high halves of the sums, in 32s of an order that
// packing to bytes makes natural. It joins their magnitudes to most.
INL void build_two_words(const int32_t *book, two_inputs in, int16_t *tables, const int32_t to[2], const int32_t pairs,
	const bool four, __m256i *most) {
	const __m256i half = _mm256_set1_epi32(1 << 14);
	__m256i top = *most;
	for (int32_t e = 0; e < AQ_ENTRIES; e += 16) {
		__m256i s[2], n[2];
		two_sums(book, e, &in, pairs, four, half, s);
		s[0] = once(_mm256_srai_epi32(s[0], 15)); // registers do not hold more
		s[1] = once(_mm256_srai_epi32(s[1], 15));
		two_sums(book, e + 8, &in, pairs, four, half, n);
#pragma GCC unroll 2
		for (int32_t i = 0; i < 2; i++) {
			const __m256i v = _mm256_packs_epi32(s[i], _mm256_srai_epi32(n[i], 15));
			top = _mm256_max_epi16(top, _mm256_abs_epi16(v));
			_mm256_store_si256((__m256i *)(void *)(tables + to[i] + e), v);
		}
	}
	*most = top;
}

// build_block sets the tables of a block, [group][book][256]: floats, or words, whose largest magnitudes it joins to most. It
// returns the value of 1 in a sum.
INL float build_block(const weight *w, const float *x, float *floats, int16_t *words, __m256i *most) {
	const int32_t g = w->info.in_group, K = w->info.books, pairs = (g + 1) / 2;
	int16_t rounded[AQ_LOOKUPS * 256 + 16] __attribute__((aligned(64)));
	const float unit = pairs_unit(w, x);
	for (int32_t k = 0; k < K; k++) {
		const int32_t *book = w->book_pairs + (int64_t)k * pairs * AQ_ENTRIES;
		round_inputs(x, w->block, g, pairs_scale(w, k, unit), rounded);
		for (int32_t j = 0; j < w->block; j += 2) { // the last group of a block may be built twice
			const int32_t to[2] = {(j * K + k) * AQ_ENTRIES, (min_i32(j + 1, w->block - 1) * K + k) * AQ_ENTRIES};
			if (pairs == 4) {
				const two_inputs in = two_inputs_of(rounded, j, w->block, 4, true);
				if (floats) {
					build_two(book, in, floats, to, 4, true, unit);
				} else {
					build_two_words(book, in, words, to, 4, true, most);
				}
			} else {
				const two_inputs in = two_inputs_of(rounded, j, w->block, pairs, false);
				if (floats) {
					build_two(book, in, floats, to, pairs, false, unit);
				} else {
					build_two_words(book, in, words, to, pairs, false, most);
				}
			}
		}
	}
	return unit;
}

static void build_tables_int16(const weight *w, const float *x, float *tables) { build_block(w, x, tables, NULL, NULL); }

static void tables_int16(const table_args *a) { add_blocks(a, build_tables_int16); }

// ---- fast -----------------------------------------------------------------------------------------------------------

// build_bytes sets the tables of a block, [group][book][256] biased bytes, by way of words of as many, and returns the value
// of one. NaN and infinities make it NaN.
static float build_bytes(const weight *w, const float *x, int16_t *words, uint8_t *tables) {
	int16_t lanes[16], top = 0;
	__m256i most = _mm256_setzero_si256();
	const float unit = build_block(w, x, NULL, words, &most);
	_mm256_storeu_si256((__m256i *)(void *)lanes, most);
	for (int32_t i = 0; i < 16; i++) {
		top = lanes[i] > top ? lanes[i] : top;
	}
	const int32_t factor = min_i32(INT16_MAX, (127 << 15) / max_i32(1, top)); // of 2^15
	const __m256i scale = _mm256_set1_epi16((int16_t)factor), bias = _mm256_set1_epi8(-128);
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	for (int32_t i = 0; i < w->block * w->info.books * AQ_ENTRIES; i += 32) {
		const __m256i *from = (const __m256i *)(const void *)(words + i);
		const __m256i s = _mm256_packs_epi16(_mm256_mulhrs_epi16(scale, from[0]), _mm256_mulhrs_epi16(scale, from[1]));
		_mm256_store_si256((__m256i *)(void *)(tables + i), _mm256_xor_si256(bias, _mm256_permutevar8x32_epi32(s, order)));
	}
	return unit * ((float)(1 << 30) / (float)factor);
}

// Tables number h and h + 8 of 16 entries, looked up in ymm n: ymm0 holds the codes, ymm1 the codes with bit 7 turned.
#define PAIR(h, h8, n)                                                                                                \
	"vbroadcasti128 16*" #h "(%[t]), %%ymm" #n "\n\tvbroadcasti128 16*" #h8 "(%[t]), %%ymm9\n\t"                        \
	"vpshufb %%ymm0, %%ymm" #n ", %%ymm" #n "\n\tvpshufb %%ymm1, %%ymm9, %%ymm9\n\t"                                   \
	"vpor %%ymm9, %%ymm" #n ", %%ymm" #n "\n\t"
// b where bit 7 of the mask is set, else a.
#define CHOOSE(mask, a, b) "vpblendvb %%ymm" #mask ", %%ymm" #b ", %%ymm" #a ", %%ymm" #a "\n\t"

// look_up_half sets the byte sums of half a tile, in words: of even and odd rows together, and of the odd ones.
INL void look_up_half(const uint8_t *codes, const uint8_t *t, int64_t lookups, __m256i *all, __m256i *hi) {
	__m256i a = _mm256_setzero_si256(), h = a;
	const __m256i turn = _mm256_set1_epi8(-128);
	__asm__ volatile("1:\n\t"
					 "vmovdqa (%[c]), %%ymm0\n\tprefetcht0 4096(%[c])\n\tvpxor %[k], %%ymm0, %%ymm1\n\t"
					 "vpsllw $3, %%ymm0, %%ymm2\n\tvpsllw $2, %%ymm0, %%ymm3\n\tvpsllw $1, %%ymm0, %%ymm4\n\t" //
					 PAIR(0, 8, 5) PAIR(1, 9, 6) CHOOSE(2, 5, 6) PAIR(2, 10, 6) PAIR(3, 11, 7) CHOOSE(2, 6, 7)
					 CHOOSE(3, 5, 6) PAIR(4, 12, 6) PAIR(5, 13, 7) CHOOSE(2, 6, 7) PAIR(6, 14, 7) PAIR(7, 15, 8)
					 CHOOSE(2, 7, 8) CHOOSE(3, 6, 7) CHOOSE(4, 5, 6) //
					 "vpaddw %%ymm5, %[a], %[a]\n\tvpsrlw $8, %%ymm5, %%ymm5\n\tvpaddw %%ymm5, %[h], %[h]\n\t"
					 "addq $64, %[c]\n\taddq $256, %[t]\n\tdecq %[n]\n\tjnz 1b"
					 : [a] "+x"(a), [h] "+x"(h), [c] "+r"(codes), [t] "+r"(t), [n] "+r"(lookups)
					 : [k] "x"(turn)
					 : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9");
	*all = a;
	*hi = h;
}

// flush_half adds the byte sums of half a tile to y.
INL void flush_half(__m256i all, __m256i hi, int32_t lookups, float unit, float *y) {
	const __m256i bias = _mm256_set1_epi16((int16_t)(lookups * 128));
	const __m256i even = _mm256_sub_epi16(_mm256_sub_epi16(all, _mm256_slli_epi16(hi, 8)), bias);
	const __m256i odd = _mm256_sub_epi16(hi, bias);
	const __m256i u = _mm256_unpacklo_epi16(even, odd), v = _mm256_unpackhi_epi16(even, odd);
	const __m128i rows[4] = {_mm256_castsi256_si128(u), _mm256_castsi256_si128(v), _mm256_extracti128_si256(u, 1),
		_mm256_extracti128_si256(v, 1)};
#pragma GCC unroll 4
	for (int32_t i = 0; i < 4; i++) {
		const __m256 s = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(rows[i]));
		_mm256_storeu_ps(y + 8 * i, _mm256_fmadd_ps(_mm256_set1_ps(unit), s, _mm256_loadu_ps(y + 8 * i)));
	}
}

static void tables_8bit(const table_args *a) {
	const weight *w = a->w;
	const int32_t lookups = w->block * w->info.books;
	const int64_t padded = (int64_t)w->tiles * AQ_TILE;
	float copy[AQ_LOOKUPS * 256] __attribute__((aligned(64)));
	int16_t *words = a->workspace;
	uint8_t *bytes = (uint8_t *)(words + AQ_LOOKUPS * AQ_ENTRIES);
	memset(a->y, 0, (size_t)(a->tokens * padded) * sizeof(float));
	for (int32_t b = a->block; b < a->block_end; b++) {
		for (int32_t t = 0; t < a->tokens; t++) {
			const float unit = build_bytes(w, block_inputs(w, a->x + t * a->ldx, b, copy), words, bytes);
			const uint8_t *codes = w->data + (int64_t)b * padded * lookups;
			float *y = a->y + t * padded;
			for (int32_t i = 0; i < w->tiles; i++, codes += lookups * AQ_TILE, y += AQ_TILE) {
				for (int32_t half = 0; half < AQ_TILE; half += 32) {
					__m256i all, hi;
					look_up_half(codes + half, bytes, lookups, &all, &hi);
					flush_half(all, hi, lookups, unit, y + half);
				}
			}
		}
	}
}
