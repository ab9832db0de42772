// Level "avx512": AVX-512 F, BW, DQ, VL, VBMI, VNNI.
#include "aq.h"

#define INL static inline __attribute__((always_inline))
#include "vec_avx512.h"

#include "level.h"

#include "k_codes.h"

#include "k_tables.h"

#include "k_round.h"

#include "k_tables_avx512.h"

#include "k_lanes.h"

#include "k_panel_ints.h"

#include "k_panel8.h"

#include "k_panel16.h"

#include "k_codes8.h"

#include "k_token_tables.h"

// Costs: measured on Zen 4, see product.c.
static const kernels level = {.name = "avx512", .interleaved = true, .book16 = true, .pairs = true, .codes = codes_product,
	.table_bytes = LANES_PASS_BYTES, .cost_lookup = {0.2f, 0.13f, 0.13f}, .cost_entry = {0.09f, 0.053f, 0.053f},
	.cost_lanes = {1.32f, 1.4f}, .cost_lanes_entry = {0.49f, 0.66f}, .cost_decode = 1.8f, .cost_fma = 0.075f,
	.tables = {tables_24bit, tables_14bit, tables_14bit}, .tables_name = {"24 bit", "14 bit", "14 bit"},
	.fast_pairs = true, .tables_lanes = tables_lanes, .quantize8 = quantize8,
	.bytes_book = bytes_book, .panel8 = panel8, .codes8 = codes8_product, .x8_bytes = 1, .bytes_tokens = 8, .bytes_books = 1,
	.quantize_words = quantize_words, .words_book = words_book, .panel16 = panel16, .cost_decode16 = 1.1f, .cost_madd16 = 0.041f,
	.tokens = tokens_fp32, .tokens_fast = tokens_int16, .tokens_step = 8, .tokens_fast_step = 16, .auto_tokens = true,
	.cost_tokens_lookup = 1.3f, .cost_tokens_entry = 0.47f, .cost_tokens_fast_lookup = 1.3f, .cost_tokens_fast_entry = 0.7f,
	COMMON_KERNELS};

const kernels *aq_level_avx512(void) { return &level; }
