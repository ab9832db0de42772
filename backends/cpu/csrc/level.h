// The kernels of a level. level_*.c defines INL and LEVEL, includes its vectors, its table kernels if it has any,
// and this file.
#include "k_rows.h"

#include "k_gemm.h"

#include "k_decode.h"

#include "k_attention.h"

#define COMMON_KERNELS                                                                                                \
	.to_f32 = to_f32, .to_f16 = to_f16, .norm = norm, .glu = glu, .add = add, .scale = scale_cap, .rope = rope,       \
	.decode = decode, .gemm = gemm, .dense = dense, .attention = attention, .merge = merge
