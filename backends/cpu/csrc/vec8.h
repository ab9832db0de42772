// Eight floats on the levels that multiply codes: one register of AVX2, two of NEON. A group of eight inputs is one.
#if defined(__AVX2__)
typedef __m256 v8;

INL v8 v8_zero(void) { return _mm256_setzero_ps(); }
INL v8 v8_load(const float *p) { return _mm256_loadu_ps(p); }
#if VW == 16
INL v8 v8_loadn(const float *p, int32_t n) { return _mm256_maskz_loadu_ps((__mmask8)first_lanes(n), p); }
#else
INL v8 v8_loadn(const float *p, int32_t n) { return v_loadn(p, n); }
#endif
INL v8 v8_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p)); }
INL v8 v8_add(v8 a, v8 b) { return _mm256_add_ps(a, b); }
INL v8 v8_fma(v8 a, v8 b, v8 c) { return _mm256_fmadd_ps(a, b, c); }
INL f4 v8_fold(v8 v) { return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); }
#else
typedef struct v8 {
	vf lo, hi;
} v8;

INL v8 v8_zero(void) { return (v8){v_zero(), v_zero()}; }
INL v8 v8_load(const float *p) { return (v8){v_load(p), v_load(p + 4)}; }
INL v8 v8_f16(const uint16_t *p) { return (v8){v_f16(p), v_f16(p + 4)}; }
INL v8 v8_add(v8 a, v8 b) { return (v8){v_add(a.lo, b.lo), v_add(a.hi, b.hi)}; }
INL v8 v8_fma(v8 a, v8 b, v8 c) { return (v8){v_fma(a.lo, b.lo, c.lo), v_fma(a.hi, b.hi, c.hi)}; }
INL f4 v8_fold(v8 v) { return v_add(v.lo, v.hi); }
#endif
