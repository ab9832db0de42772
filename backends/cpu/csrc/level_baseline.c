// Level "baseline": any x86-64 processor. No table kernels: the scalar ones beat decoding only with many rows, and the
// machines that need this level are too rare to carry them.
#include "aq.h"

#define INL static inline __attribute__((always_inline))
#include "vec_sse2.h"

#include "level.h"

static const kernels level = {.name = "baseline", .cost_fma = 1, COMMON_KERNELS};

const kernels *aq_level_baseline(void) { return &level; }
