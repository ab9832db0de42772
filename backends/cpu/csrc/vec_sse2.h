// Vectors of 4 floats with what every x86-64 processor has. Half floats are converted in software.
#include <emmintrin.h>
#include <string.h>

#define VW 4
#define VREGS 16
typedef __m128 vf;
typedef __m128 f4;

INL vf v_zero(void) { return _mm_setzero_ps(); }
INL vf v_set1(float x) { return _mm_set1_ps(x); }
INL vf v_load(const float *p) { return _mm_loadu_ps(p); }
INL void v_store(float *p, vf v) { _mm_storeu_ps(p, v); }
INL vf v_loadn(const float *p, int32_t n) {
	float t[VW] = {0};
	memcpy(t, p, (size_t)n * sizeof(float));
	return _mm_loadu_ps(t);
}
INL void v_storen(float *p, vf v, int32_t n) {
	float t[VW];
	_mm_storeu_ps(t, v);
	memcpy(p, t, (size_t)n * sizeof(float));
}
INL vf v_add(vf a, vf b) { return _mm_add_ps(a, b); }
INL vf v_sub(vf a, vf b) { return _mm_sub_ps(a, b); }
INL vf v_mul(vf a, vf b) { return _mm_mul_ps(a, b); }
INL vf v_div(vf a, vf b) { return _mm_div_ps(a, b); }
INL vf v_fma(vf a, vf b, vf c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
INL vf v_max(vf a, vf b) { return _mm_max_ps(a, b); } // b where either is NaN
INL vf v_min(vf a, vf b) { return _mm_min_ps(a, b); } // likewise
INL vf v_abs(vf a) { return _mm_andnot_ps(v_set1(-0.0f), a); }
INL vf v_with_sign(vf a, vf s) { return _mm_or_ps(a, _mm_and_ps(s, v_set1(-0.0f))); } // a is not negative
INL vf v_less(vf a, vf b, vf x, vf y) { // a < b ? x : y
	const __m128 m = _mm_cmplt_ps(a, b);
	return _mm_or_ps(_mm_and_ps(m, x), _mm_andnot_ps(m, y));
}
INL f4 f4_load(const float *p) { return _mm_loadu_ps(p); }
INL void f4_store(float *p, f4 v) { _mm_storeu_ps(p, v); }
INL float sum4(f4 v) {
	v = _mm_add_ps(v, _mm_shuffle_ps(v, v, 0xb1));
	return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehl_ps(v, v)));
}
INL f4 v_fold(vf v) { return v; }
INL f4 v_hsum4(vf a, vf b, vf c, vf d) {
	_MM_TRANSPOSE4_PS(a, b, c, d);
	return _mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d));
}
INL float v_hmax(vf v) {
	v = _mm_max_ps(v, _mm_shuffle_ps(v, v, 0x4e));
	v = _mm_max_ps(v, _mm_shuffle_ps(v, v, 0xb1));
	return _mm_cvtss_f32(v);
}

INL float f32_of_f16(uint16_t h) {
	const uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
	uint32_t bits;
	if (rest >= 0x7c00u << 13) {
		bits = rest | 0x7f800000; // infinity or NaN
	} else if (rest >= 0x0400u << 13) {
		bits = rest + ((127 - 15) << 23);
	} else {
		const float f = (float)rest * 0x1p-37f; // subnormal: a multiple of 2^-24
		memcpy(&bits, &f, 4);
	}
	bits |= sign;
	float f;
	memcpy(&f, &bits, 4);
	return f;
}
// Rounds to nearest even, like the hardware.
INL uint16_t f16_of_f32(float f) {
	uint32_t bits;
	memcpy(&bits, &f, 4);
	const uint32_t sign = bits >> 16 & 0x8000, mag = bits & 0x7fffffff;
	if (mag > 0x7f800000) {
		return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x3ff));
	}
	if (mag >= 0x477ff000) {
		return (uint16_t)(sign | 0x7c00);
	}
	if (mag < 0x38800000) { // subnormal: let the adder round to a multiple of 2^-24
		float m;
		memcpy(&m, &mag, 4);
		m += 0.5f;
		uint32_t r;
		memcpy(&r, &m, 4);
		return (uint16_t)(sign | (r - 0x3f000000));
	}
	return (uint16_t)(sign | ((mag - 0x38000000 + 0xfff + (mag >> 13 & 1)) >> 13));
}
// The magnitude's bits, moved to their place, are 2^-112 of the number. Infinity and NaN want the largest exponent.
INL vf v_f16(const void *p) {
	const __m128i h = _mm_unpacklo_epi16(_mm_loadl_epi64(p), _mm_setzero_si128());
	const __m128i mag = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x7fff)), 13);
	const __m128i sign = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x8000)), 16);
	const __m128i top = _mm_and_si128(_mm_cmpgt_epi32(mag, _mm_set1_epi32((0x7c00 << 13) - 1)), _mm_set1_epi32(0x7f800000));
	const __m128 f = _mm_mul_ps(_mm_castsi128_ps(mag), _mm_set1_ps(0x1p112f));
	return _mm_or_ps(f, _mm_castsi128_ps(_mm_or_si128(sign, top)));
}
INL void v_to_f16(void *p, vf v) {
	float t[4];
	_mm_storeu_ps(t, v);
	const uint16_t h[4] = {f16_of_f32(t[0]), f16_of_f32(t[1]), f16_of_f32(t[2]), f16_of_f32(t[3])};
	memcpy(p, h, 8);
}
INL vf v_bf16(const void *p) {
	return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), _mm_loadl_epi64(p)));
}
INL vf v_i8(const void *p) {
	int32_t four;
	memcpy(&four, p, 4);
	__m128i b = _mm_cvtsi32_si128(four);
	b = _mm_unpacklo_epi8(b, b);
	b = _mm_unpacklo_epi16(b, b);
	return _mm_cvtepi32_ps(_mm_srai_epi32(b, 24));
}
INL vf v_round(vf v) { return _mm_cvtepi32_ps(_mm_cvtps_epi32(v)); } // |v| < 2^31
// v * 2^n for integral |n| <= 250, in two steps because 2^n itself may not be a float.
INL vf v_ldexp(vf v, vf n) {
	const __m128i i = _mm_cvtps_epi32(n), half = _mm_srai_epi32(i, 1), bias = _mm_set1_epi32(127);
	v = _mm_mul_ps(v, _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(half, bias), 23)));
	return _mm_mul_ps(v, _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(_mm_sub_epi32(i, half), bias), 23)));
}
