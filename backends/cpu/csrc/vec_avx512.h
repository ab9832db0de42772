// Vectors of 16 floats: AVX-512 F, BW, DQ, VL.
#include <immintrin.h>
#include <string.h>

#define VW 16
#define VREGS 32
typedef __m512 vf;
typedef __m128 f4;

INL vf v_zero(void) { return _mm512_setzero_ps(); }
INL vf v_set1(float x) { return _mm512_set1_ps(x); }
INL vf v_load(const float *p) { return _mm512_loadu_ps(p); }
INL void v_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
INL __mmask16 first_lanes(int32_t n) { return (__mmask16)((1u << n) - 1); }
INL vf v_loadn(const float *p, int32_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
INL void v_storen(float *p, vf v, int32_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
INL vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
INL vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
INL vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INL vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
INL vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INL vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); } // b where either is NaN
INL vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); } // likewise
INL vf v_abs(vf a) { return _mm512_abs_ps(a); }
INL vf v_with_sign(vf a, vf s) { return _mm512_or_ps(a, _mm512_and_ps(s, v_set1(-0.0f))); } // a is not negative
INL vf v_less(vf a, vf b, vf x, vf y) { // a < b ? x : y
	return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
INL f4 f4_load(const float *p) { return _mm_loadu_ps(p); }
INL void f4_store(float *p, f4 v) { _mm_storeu_ps(p, v); }
INL float sum4(f4 v) {
	v = _mm_add_ps(v, _mm_shuffle_ps(v, v, 0xb1));
	return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehl_ps(v, v)));
}
INL f4 v_fold(vf v) {
	const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
	return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}
INL f4 v_hsum4(vf a, vf b, vf c, vf d) {
	return _mm_hadd_ps(_mm_hadd_ps(v_fold(a), v_fold(b)), _mm_hadd_ps(v_fold(c), v_fold(d)));
}
INL float v_hmax(vf v) {
	const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
	__m128 m = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
	m = _mm_max_ps(m, _mm_shuffle_ps(m, m, 0x4e));
	m = _mm_max_ps(m, _mm_shuffle_ps(m, m, 0xb1));
	return _mm_cvtss_f32(m);
}
INL float f32_of_f16(uint16_t h) { return _cvtsh_ss(h); }
INL uint16_t f16_of_f32(float f) { return _cvtss_sh(f, 0); }
INL vf v_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
INL void v_to_f16(void *p, vf v) { _mm256_storeu_si256(p, _mm512_cvtps_ph(v, 0)); }
INL vf v_bf16(const void *p) {
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
INL vf v_i8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p))); }
INL vf v_round(vf v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INL vf v_ldexp(vf v, vf n) { return _mm512_scalef_ps(v, n); }
