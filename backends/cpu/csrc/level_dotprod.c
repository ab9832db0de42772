// Level "dotprod" of arm64: NEON and the dot products of bytes of Armv8.2 (FEAT_DotProd), which Q8_0 weights are
// multiplied with. All other kernels are those of the baseline.
#include "aq.h"

#define INL static inline __attribute__((always_inline))
#include "vec_neon.h"

#define DENSE_KERNEL dense_dotprod
#include "level.h"

#include "k_codes.h"

#include "k_tables.h"

#include "k_tables_neon.h"

#include "k_dense_dotprod.h"

static const kernels level = {.name = "dotprod", NEON_KERNELS};

const kernels *aq_level_dotprod(void) { return &level; }
