// AQLM table kernel for NEON, exact: tables of fp32 partial sums in the L1 cache, looked up one code at a time.
//
// For a block of groups the table of (group j, book k) holds <x_j, entry e> for all 256 entries e; a row's sum is
// then one load and add a code: ubfx takes a code out of eight, ldr scales it to an address, and eight of these become
// two vectors of sums. Byte tables in registers (tbl) were counted and not taken: backends/RATIONALE.md.

// build_four sets the tables of one book for four groups: t[i] from inputs x[i]. Entries run along the vector; a book
// row is loaded once for four groups, because the codebooks of a weight do not fit the L1 cache next to the tables.
INL void build_four(const float *book_t, const float *const x[4], float *const t[4], const int32_t g) {
	for (int32_t e = 0; e < AQ_ENTRIES; e += 16) {
		vf s[4][4];
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
#pragma GCC unroll 4
			for (int32_t v = 0; v < 4; v++) {
				s[i][v] = v_zero();
			}
		}
		for (int32_t j = 0; j < g; j++) {
			vf row[4];
#pragma GCC unroll 4
			for (int32_t v = 0; v < 4; v++) {
				row[v] = v_load(book_t + j * AQ_ENTRIES + e + 4 * v);
			}
#pragma GCC unroll 4
			for (int32_t i = 0; i < 4; i++) {
				const vf u = v_set1(x[i][j]);
#pragma GCC unroll 4
				for (int32_t v = 0; v < 4; v++) {
					s[i][v] = v_fma(u, row[v], s[i][v]);
				}
			}
		}
#pragma GCC unroll 4
		for (int32_t i = 0; i < 4; i++) {
#pragma GCC unroll 4
			for (int32_t v = 0; v < 4; v++) {
				v_store(t[i] + e + 4 * v, s[i][v]);
			}
		}
	}
}

// look_up_tile adds `lookups` table values to each of 64 rows: for every table eight codes at once, which are enough
// independent loads and sums to hide their latencies.
static void look_up_tile(const uint8_t *codes, const float *tables, int32_t lookups, float *y) {
	for (int32_t r = 0; r < AQ_TILE; r += 8) {
		float s[8];
#pragma GCC unroll 8
		for (int32_t i = 0; i < 8; i++) {
			s[i] = y[r + i];
		}
		const uint8_t *c = codes + r;
		const float *t = tables;
		for (int32_t q = 0; q < lookups; q++, c += AQ_TILE, t += AQ_ENTRIES) {
			uint64_t eight;
			memcpy(&eight, c, 8);
#pragma GCC unroll 8
			for (int32_t i = 0; i < 8; i++) {
				s[i] += t[eight >> 8 * i & 0xff];
			}
		}
#pragma GCC unroll 8
		for (int32_t i = 0; i < 8; i++) {
			y[r + i] = s[i];
		}
	}
}

#include "k_tables_fp32.h"

// What the levels of arm64 share. Costs: instruction counts for Cortex-A76, which has four slots, two loads and two
// multiply-adds a cycle.
#define NEON_KERNELS                                                                                                  \
	.book16 = true, .codes = codes_product, .table_bytes = AQ_MAX_BOOKS * AQ_ENTRIES * 4,                              \
	.cost_lookup = {0.8f, 0.8f, 0.8f}, .cost_entry = {0.14f, 0.14f, 0.14f}, .cost_decode = 2.2f, .cost_fma = 0.13f,     \
	.tables = {tables_fp32, tables_fp32, tables_fp32}, .tables_name = {"fp32", "fp32", "fp32"}, COMMON_KERNELS
