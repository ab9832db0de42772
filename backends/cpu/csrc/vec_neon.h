// Vectors of 4 floats with what every 64-bit Arm processor has, conversions of half floats included.
#include <arm_neon.h>
#include <string.h>

#define VW 4
#define VREGS 32
typedef float32x4_t vf;
typedef float32x4_t f4;

INL vf v_zero(void) { return vdupq_n_f32(0); }
INL vf v_set1(float x) { return vdupq_n_f32(x); }
INL vf v_load(const float *p) { return vld1q_f32(p); }
INL void v_store(float *p, vf v) { vst1q_f32(p, v); }
INL vf v_loadn(const float *p, int32_t n) {
	float t[VW] = {0};
	memcpy(t, p, (size_t)n * sizeof(float));
	return vld1q_f32(t);
}
INL void v_storen(float *p, vf v, int32_t n) {
	float t[VW];
	vst1q_f32(t, v);
	memcpy(p, t, (size_t)n * sizeof(float));
}
INL vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
INL vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
INL vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
INL vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
INL vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
// b where either is NaN, as on x86-64; fmax would make a softmax lose its maximum to a single NaN.
INL vf v_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INL vf v_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); } // likewise
INL vf v_abs(vf a) { return vabsq_f32(a); }
INL vf v_with_sign(vf a, vf s) { return vbslq_f32(vdupq_n_u32(1u << 31), s, a); }
INL vf v_less(vf a, vf b, vf x, vf y) { return vbslq_f32(vcltq_f32(a, b), x, y); } // a < b ? x : y
INL f4 f4_load(const float *p) { return vld1q_f32(p); }
INL void f4_store(float *p, f4 v) { vst1q_f32(p, v); }
INL float sum4(f4 v) { return vaddvq_f32(v); }
INL f4 v_fold(vf v) { return v; }
INL f4 v_hsum4(vf a, vf b, vf c, vf d) { return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)); }
INL float v_hmax(vf v) { return vmaxnmvq_f32(v); } // of those that are not NaN
INL float f32_of_f16(uint16_t h) {
	__fp16 f;
	memcpy(&f, &h, 2);
	return f;
}
INL uint16_t f16_of_f32(float f) {
	const __fp16 h = (__fp16)f;
	uint16_t bits;
	memcpy(&bits, &h, 2);
	return bits;
}
INL vf v_f16(const void *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
INL void v_to_f16(void *p, vf v) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v))); }
INL vf v_bf16(const void *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
INL vf v_i8(const void *p) {
	uint32_t four;
	memcpy(&four, p, 4);
	return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four)))));
}
INL vf v_round(vf v) { return vrndnq_f32(v); }
// v * 2^n for integral |n| <= 250, in two steps because 2^n itself may not be a float.
INL vf v_ldexp(vf v, vf n) {
	const int32x4_t i = vcvtnq_s32_f32(n), half = vshrq_n_s32(i, 1), bias = vdupq_n_s32(127);
	v = vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
	return vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(i, half), bias), 23)));
}
