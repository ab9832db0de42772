// Level "avx512": AVX-512 F, BW, DQ, VL, VBMI, VNNI.
#include "aq.h"

#define INL static inline __attribute__((always_inline))
#include "vec_avx512.h"

#include "level.h"

#include "k_codes.h"

#include "k_tables.h"

#include "k_tables_avx512.h"

// Costs: estimates for Zen 4, see op_linear.c.
static const kernels level = {.name = "avx512", .interleaved = true, .book16 = true, .codes = codes_product,
	.table_bytes = AQ_LOOKUPS * AQ_ENTRIES * 3, .cost_lookup = 0.16f, .cost_entry = 0.075f, .cost_decode = 1.8f,
	.cost_fma = 0.075f, .tables = tables_24bit, .tables_name = "24 bit", .tables_fast = tables_14bit,
	.tables_fast_name = "14 bit", .fast_pairs = true, COMMON_KERNELS};

const kernels *aq_level_avx512(void) { return &level; }
