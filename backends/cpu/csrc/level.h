// The kernels of a level. level_*.c defines INL, includes its vectors (VW floats each, VREGS registers of them), this
// file, and its table kernels if it has any.
#include "k_rows.h"

#include "k_gemm.h"

#include "k_decode.h"

#include "k_kv.h"

#include "k_attention.h"

#ifndef DENSE_KERNEL
#define DENSE_KERNEL dense
#endif

#define COMMON_KERNELS                                                                                                \
	.to_f32 = to_f32, .norm = norm, .glu = glu, .add = add, .scale = scale_cap, .rope = rope,       \
	.decode = decode, .gemm = gemm, .dense = DENSE_KERNEL, .kv_store = kv_store, .attention = attention, .merge = merge
