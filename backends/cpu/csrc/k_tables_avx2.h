// AQLM table kernel for AVX2, exact: tables of fp32 partial sums in the L1 cache, looked up one code at a time.
//
// For a block of groups the table of (group j, book k) holds <x_j, entry e> for all 256 entries e; a row's sum is
// then one load and add a code. vpgatherdps, int32 tables in general registers and wider tiles were all slower
// (docs/performance.md); the loop below is bound by its loads. It is in assembly because gcc does not use the high
// byte registers and spends a third more instructions.

INL __m256 once(__m256 v) { // keeps the compiler from loading v again for every use
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
			const __m256 r0 = once(_mm256_load_ps(row)), r1 = once(_mm256_load_ps(row + 8));
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

// build_tables sets the tables of one block: [group][book][256]. x holds block x g inputs, zero behind the last group.
static void build_tables(const weight *w, const float *x, float *tables) {
	const int32_t g = w->info.in_group, K = w->info.books;
	for (int32_t j = 0; j < w->block; j += 4) {
		for (int32_t k = 0; k < K; k++) {
			const float *from[4];
			float *to[4];
			for (int32_t i = 0; i < 4; i++) { // the last group of a block may be built more than once
				const int32_t group = min_i32(j + i, w->block - 1);
				from[i] = x + group * g;
				to[i] = tables + (group * K + k) * AQ_ENTRIES;
			}
			build_four(w->book_t + (int64_t)k * g * AQ_ENTRIES, from, to, g);
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

static void tables_fp32(const table_args *a) {
	const weight *w = a->w;
	const int32_t lookups = w->block * w->info.books;
	const int64_t padded = (int64_t)w->tiles * AQ_TILE;
	float *tables = a->workspace, copy[AQ_LOOKUPS * 256] __attribute__((aligned(64)));
	memset(a->y, 0, (size_t)(a->tokens * padded) * sizeof(float));
	for (int32_t b = a->block; b < a->block_end; b++) {
		for (int32_t t = 0; t < a->tokens; t++) {
			build_tables(w, block_inputs(w, a->x + t * a->ldx, b, copy), tables);
			const uint8_t *codes = w->data + (int64_t)b * w->tiles * lookups * AQ_TILE;
			for (int32_t i = 0; i < w->tiles; i++, codes += lookups * AQ_TILE) {
				for (int32_t line = 0; line < lookups; line++) {
					_mm_prefetch((const char *)codes + 4096 + line * 64, _MM_HINT_T0);
				}
				look_up_tile(codes, tables, lookups, a->y + t * padded + (int64_t)i * AQ_TILE);
			}
		}
	}
}
