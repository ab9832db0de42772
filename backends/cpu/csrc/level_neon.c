// Level "baseline" of arm64: NEON as every 64-bit Arm processor has it.
#include "aq.h"

#define INL static inline __attribute__((always_inline))
#include "vec_neon.h"

#include "level.h"

#include "k_codes.h"

#include "k_tables.h"

#include "k_tables_neon.h"

static const kernels level = {.name = "baseline", NEON_KERNELS};

const kernels *aq_level_baseline(void) { return &level; }
