// Rounding of inputs to integers.

// magnitude_bits returns the magnitudes of eight numbers as bits, in whose order NaN is larger than every number.
INL __m256i magnitude_bits(__m256 v) { return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(INT32_MAX)); }

// largest_of returns the largest of eight such magnitudes.
INL float largest_of(__m256i bits) {
	uint32_t lanes[8], most = 0;
	float top;
	_mm256_storeu_si256((__m256i *)(void *)lanes, bits);
	for (int32_t i = 0; i < 8; i++) {
		most = lanes[i] > most ? lanes[i] : most;
	}
	memcpy(&top, &most, 4);
	return top;
}

// words_of rounds eight numbers times scale.
INL __m128i words_of(__m256 v, __m256 scale) {
	const __m256i r = _mm256_cvtps_epi32(_mm256_mul_ps(v, scale));
	return _mm_packs_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
}

// bound_of returns the largest |x_j| of groups, in a way that neither overflows nor underflows where the result would not; NaN
// if there is one.
static float bound_of(const float *x, int32_t groups, int32_t g, float *largest) {
	const int32_t n = groups * g;
	__m256i bits = _mm256_setzero_si256();
	for (int32_t i = 0; i < n; i += 8) {
		const __m256 v = i + 8 <= n ? v8_load(x + i) : v8_loadn(x + i, n - i);
		bits = _mm256_max_epi32(bits, magnitude_bits(v));
	}
	const float top = *largest = largest_of(bits);
	if (!(top > 1e-30f && top < INFINITY)) {
		return top > 0 && top <= 1e-30f ? 0 : top;
	}
	const __m256 inv = _mm256_set1_ps(1 / top);
	float most = 0;
	for (int32_t j = 0; j < groups; j++, x += g) {
		__m256 sum = _mm256_setzero_ps();
		for (int32_t i = 0; i < g; i += 8) {
			const __m256 v = i + 8 <= g ? v8_load(x + i) : v8_loadn(x + i, g - i);
			sum = _mm256_fmadd_ps(_mm256_mul_ps(inv, v), _mm256_mul_ps(inv, v), sum);
		}
		const float s = sum4(v8_fold(sum));
		most = s > most ? s : most;
	}
	return top * sqrtf(most);
}

// ---- pairs of int16, for tables of products with book_pairs ----------------------------------------------------------

// round_inputs sets (groups, pairs) pairs of int16: the inputs times scale.
INL void round_inputs(const float *x, int32_t groups, int32_t g, float scale, int16_t *out) {
	const __m256 s = _mm256_set1_ps(scale);
	if (g % 8 == 0) {
		for (int32_t i = 0; i < groups * g; i += 8) {
			_mm_storeu_si128((__m128i *)(void *)(out + i), words_of(_mm256_loadu_ps(x + i), s));
		}
		return;
	}
	for (int32_t j = 0; j < groups; j++, x += g, out += g + g % 2) {
		for (int32_t i = 0; i < g; i++) {
			out[i] = (int16_t)_mm_cvtss_si32(_mm_set_ss(x[i] * scale));
		}
		if (g % 2) {
			out[g] = 0;
		}
	}
}

// pairs_unit returns the value of 1 in a sum of products: no sum leaves 30 bits, and no input 15. It is zero, or not a
// number, where the inputs of the block are.
static float pairs_unit(const weight *w, const float *x) {
	float norm = 0, step = 0, top = 0;
	for (int32_t k = 0; k < w->info.books; k++) {
		norm = w->book_norm[k] <= norm ? norm : w->book_norm[k];
		step = w->book_step[k] <= step ? step : w->book_step[k];
	}
	const float unit = bound_of(x, w->block, w->info.in_group, &top) * norm / 1.07e9f;
	return step * top / 32700 <= unit ? unit : step * top / 32700;
}

// pairs_scale returns what inputs are multiplied with for book k.
INL float pairs_scale(const weight *w, int32_t k, float unit) {
	return unit > 1e-37f && unit < INFINITY ? w->book_step[k] / unit : 0;
}
