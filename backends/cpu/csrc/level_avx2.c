// Level "avx2": AVX2, FMA, F16C.
#include "aq.h"

#define INL static inline __attribute__((always_inline))
#include "vec_avx2.h"

#include "level.h"

#include "k_codes.h"

#include "k_tables.h"

#include "k_round.h"

#include "k_tables_avx2.h"

#include "k_lanes.h"

#include "k_token_tables.h"

#include "k_panel_ints.h"

#include "k_codes8_avx2.h"

#include "k_panel16.h"

// Costs: measured on Zen 4, see product.c.
static const kernels level = {.name = "avx2", .book16 = true, .pairs = true, .codes = codes_product, .table_bytes = LANES_PASS_BYTES,
	.cost_lookup = {0.62f, 0.44f, 0.62f}, .cost_entry = {0.07f, 0.08f, 0.05f}, .cost_lanes = {1.32f, 1.4f},
	.cost_lanes_entry = {0.49f, 0.66f}, .cost_decode = 1.8f, .cost_fma = 0.075f, .tables = {tables_fp32, tables_8bit, tables_int16},
	.tables_name = {"fp32", "8 bit", "int16"},
	.tables_lanes = tables_lanes, .tokens = tokens_fp32, .tokens_fast = tokens_int16, .tokens_step = 8,
	.tokens_fast_step = 16, .auto_tokens = true, .quantize8 = quantize16, .bytes_book = signed_book, .codes8 = signed_product, .x8_bytes = 2,
	.bytes_tokens = 12, .bytes_books = 2, .quantize_words = quantize_words, .words_book = words_book, .panel16 = panel16,
	.cost_decode16 = 1.1f, .cost_madd16 = 0.05f, .cost_tokens_lookup = 1.3f, .cost_tokens_entry = 0.47f, .cost_tokens_fast_lookup = 1.2f,
	.cost_tokens_fast_entry = 0.7f, COMMON_KERNELS};

const kernels *aq_level_avx2(void) { return &level; }
