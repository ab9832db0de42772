// Vectors of 8 floats: AVX2, FMA and F16C.
#include <immintrin.h>
#include <string.h>

#define VW 8
#define VREGS 16
typedef __m256 vf;
typedef __m128 f4;

INL vf v_zero(void) { return _mm256_setzero_ps(); }
INL vf v_set1(float x) { return _mm256_set1_ps(x); }
INL vf v_load(const float *p) { return _mm256_loadu_ps(p); }
INL void v_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
INL __m256i first_lanes(int32_t n) {
	return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INL vf v_loadn(const float *p, int32_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
INL void v_storen(float *p, vf v, int32_t n) { _mm256_maskstore_ps(p, first_lanes(n), v); }
INL vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
INL vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
INL vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
INL vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
INL vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INL vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); } // b where either is NaN
INL vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); } // likewise
INL vf v_abs(vf a) { return _mm256_andnot_ps(v_set1(-0.0f), a); }
INL vf v_with_sign(vf a, vf s) { return _mm256_or_ps(a, _mm256_and_ps(s, v_set1(-0.0f))); } // a is not negative
INL vf v_less(vf a, vf b, vf x, vf y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); } // a < b ? x : y
INL f4 f4_load(const float *p) { return _mm_loadu_ps(p); }
INL void f4_store(float *p, f4 v) { _mm_storeu_ps(p, v); }
INL float sum4(f4 v) {
	v = _mm_add_ps(v, _mm_shuffle_ps(v, v, 0xb1));
	return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehl_ps(v, v)));
}
INL f4 v_fold(vf v) { return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); }
INL f4 v_hsum4(vf a, vf b, vf c, vf d) {
	return _mm_hadd_ps(_mm_hadd_ps(v_fold(a), v_fold(b)), _mm_hadd_ps(v_fold(c), v_fold(d)));
}
INL float v_hmax(vf v) {
	__m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
	m = _mm_max_ps(m, _mm_shuffle_ps(m, m, 0x4e));
	m = _mm_max_ps(m, _mm_shuffle_ps(m, m, 0xb1));
	return _mm_cvtss_f32(m);
}
INL float f32_of_f16(uint16_t h) { return _cvtsh_ss(h); }
INL uint16_t f16_of_f32(float f) { return _cvtss_sh(f, 0); }
INL vf v_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
INL void v_to_f16(void *p, vf v) { _mm_storeu_si128(p, _mm256_cvtps_ph(v, 0)); }
INL vf v_bf16(const void *p) {
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
INL vf v_i8(const void *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p))); }
INL vf v_round(vf v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// v * 2^n for integral |n| <= 250, in two steps because 2^n itself may not be a float.
INL vf v_ldexp(vf v, vf n) {
	const __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1), bias = _mm256_set1_epi32(127);
	v = _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
	return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23)));
}
