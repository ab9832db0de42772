// Row kernels: conversions, norms, activations, sums, rotations. Loops run over whole vectors and then once over the
// rest, through v_loadn and v_storen.
#include <math.h>

// e^x. Range reduction x = n ln 2 + r with |r| <= ln 2 / 2 in two steps (Cody and Waite), a polynomial of degree 6 for
// e^r (coefficients of Cephes' expf), then 2^n. Largest error 1.2 ulp in the normal range; NaN stays NaN.
INL vf v_exp(vf x) {
	x = v_max(v_set1(-104.0f), v_min(v_set1(89.0f), x));
	const vf n = v_round(v_mul(x, v_set1(1.44269504f)));
	vf r = v_fma(n, v_set1(-0.693359375f), x);
	r = v_fma(n, v_set1(2.12194440e-4f), r);
	vf y = v_set1(1.9875691500e-4f);
	y = v_fma(y, r, v_set1(1.3981999507e-3f));
	y = v_fma(y, r, v_set1(8.3334519073e-3f));
	y = v_fma(y, r, v_set1(4.1665795894e-2f));
	y = v_fma(y, r, v_set1(1.6666665459e-1f));
	y = v_fma(y, r, v_set1(5.0000001201e-1f));
	y = v_fma(y, v_mul(r, r), v_add(r, v_set1(1)));
	return v_ldexp(y, n);
}

// tanh x. Where |x| < 0.625 an odd polynomial (Cephes' tanhf), elsewhere 1 - 2 / (1 + e^2|x|) with the sign of x: there the
// subtraction loses nothing. Largest error 2 ulp; NaN stays NaN.
INL vf v_tanh(vf x) {
	const vf a = v_abs(x), z = v_mul(x, x);
	vf y = v_set1(-5.70498872745e-3f);
	y = v_fma(y, z, v_set1(2.06390887954e-2f));
	y = v_fma(y, z, v_set1(-5.37397155531e-2f));
	y = v_fma(y, z, v_set1(1.33314422036e-1f));
	y = v_fma(y, z, v_set1(-3.33332819422e-1f));
	y = v_fma(v_mul(y, z), x, x);
	const vf big = v_sub(v_set1(1), v_div(v_set1(2), v_add(v_set1(1), v_exp(v_add(a, a)))));
	return v_less(a, v_set1(0.625f), y, v_with_sign(big, x));
}

INL vf load_type(const void *src, int32_t type, int64_t i) {
	switch (type) {
	case AQ_DTYPE_F32:
		return v_load((const float *)src + i);
	case AQ_DTYPE_F16:
		return v_f16((const uint16_t *)src + i);
	default:
		return v_bf16((const uint16_t *)src + i);
	}
}

// Up to VW values at i, zeros behind them. Reads nothing behind the n values.
INL vf load_type_n(const void *src, int32_t type, int64_t i, int32_t n) {
	if (type == AQ_DTYPE_F32) {
		return v_loadn((const float *)src + i, n);
	}
	uint16_t t[VW] = {0};
	memcpy(t, (const uint16_t *)src + i, (size_t)n * 2);
	return load_type(t, type, 0);
}

INL void convert(float *dst, const void *src, int32_t type, int64_t n) {
	int64_t i = 0;
	for (; i + VW <= n; i += VW) {
		v_store(dst + i, load_type(src, type, i));
	}
	if (i < n) {
		v_storen(dst + i, load_type_n(src, type, i, (int32_t)(n - i)), (int32_t)(n - i));
	}
}

static void to_f32(float *dst, const void *src, int32_t type, int64_t n) {
	switch (type) {
	case AQ_DTYPE_F32:
		memcpy(dst, src, (size_t)n * sizeof(float));
		return;
	case AQ_DTYPE_F16:
		convert(dst, src, AQ_DTYPE_F16, n);
		return;
	case AQ_DTYPE_BF16:
		convert(dst, src, AQ_DTYPE_BF16, n);
		return;
	default: { // Q8_0: a F16 scale and 32 signed bytes
		const uint8_t *b = src;
		for (int64_t i = 0; i < n; i += 32, b += 34) {
			uint16_t h;
			memcpy(&h, b, 2);
			const vf d = v_set1(f32_of_f16(h));
			for (int32_t j = 0; j < 32; j += VW) {
				v_store(dst + i + j, v_mul(d, v_i8(b + 2 + j)));
			}
		}
	}
	}
}

static void to_f16(uint16_t *dst, const float *src, int64_t n) {
	int64_t i = 0;
	for (; i + VW <= n; i += VW) {
		v_to_f16(dst + i, v_load(src + i));
	}
	for (; i < n; i++) {
		dst[i] = f16_of_f32(src[i]);
	}
}

static void norm(float *out, const float *in, const float *gain, const float *bias, int32_t width, int32_t type,
	float eps, float plus) {
	vf sum = v_zero(), mean = v_zero();
	if (type == AQ_NORM_LAYER) {
		for (int32_t i = 0; i < width; i += VW) {
			sum = v_add(sum, i + VW <= width ? v_load(in + i) : v_loadn(in + i, width - i));
		}
		mean = v_set1(sum4(v_fold(sum)) / (float)width);
		sum = v_zero();
	}
	for (int32_t i = 0; i < width; i += VW) {
		if (i + VW <= width) {
			const vf d = v_sub(v_load(in + i), mean);
			sum = v_fma(d, d, sum);
		} else {
			float t[VW];
			v_store(t, v_sub(v_loadn(in + i, width - i), mean));
			const vf d = v_loadn(t, width - i);
			sum = v_fma(d, d, sum);
		}
	}
	const vf inv = v_set1(1 / sqrtf(sum4(v_fold(sum)) / (float)width + eps)), offset = v_set1(plus);
	for (int32_t i = 0; i < width; i += VW) {
		const int32_t n = width - i;
		vf v, g, b = v_zero();
		if (n >= VW) {
			v = v_load(in + i);
			g = v_load(gain + i);
			b = bias ? v_load(bias + i) : b;
		} else {
			v = v_loadn(in + i, n);
			g = v_loadn(gain + i, n);
			b = bias ? v_loadn(bias + i, n) : b;
		}
		v = v_mul(v_mul(v_sub(v, mean), inv), v_add(g, offset));
		v = bias ? v_add(v, b) : v;
		if (n >= VW) {
			v_store(out + i, v);
		} else {
			v_storen(out + i, v, n);
		}
	}
}

INL vf activation(vf x, int32_t act) {
	vf e = x;
	if (act == AQ_ACT_GELU_TANH) {
		// 0.5 x (1 + tanh u) = x / (1 + e^-2u), which loses nothing where tanh is near -1.
		const vf cubic = v_mul(v_mul(x, x), v_mul(x, v_set1(0.044715f)));
		e = v_mul(v_add(x, cubic), v_set1(2 * 0.7978845608f));
	}
	return v_div(x, v_add(v_set1(1), v_exp(v_sub(v_zero(), e))));
}

static void glu(float *out, const float *gate, const float *up, int32_t act, int64_t n) {
	if (act == AQ_ACT_GELU_ERF) {
		for (int64_t i = 0; i < n; i++) {
			const float x = gate[i];
			out[i] = 0.5f * x * erfcf(-x * 0.70710678f) * up[i];
		}
		return;
	}
	for (int64_t i = 0; i < n; i += VW) {
		if (n - i >= VW) {
			v_store(out + i, v_mul(activation(v_load(gate + i), act), v_load(up + i)));
		} else {
			const int32_t left = (int32_t)(n - i);
			v_storen(out + i, v_mul(activation(v_loadn(gate + i, left), act), v_loadn(up + i, left)), left);
		}
	}
}

static void add(float *out, const float *x, const float *y, float scale, int64_t n) {
	const vf s = v_set1(scale);
	int64_t i = 0;
	for (; i + VW <= n; i += VW) {
		v_store(out + i, v_fma(s, v_load(y + i), v_load(x + i)));
	}
	if (i < n) {
		const int32_t left = (int32_t)(n - i);
		v_storen(out + i, v_fma(s, v_loadn(y + i, left), v_loadn(x + i, left)), left);
	}
}

static void scale_cap(float *out, const float *in, float scale, float cap, int64_t n) {
	const vf s = v_set1(scale), c = v_set1(cap);
	for (int64_t i = 0; i < n; i += VW) {
		const int32_t left = n - i < VW ? (int32_t)(n - i) : VW;
		vf x = v_mul(left == VW ? v_load(in + i) : v_loadn(in + i, left), s);
		x = cap > 0 ? v_mul(c, v_tanh(v_div(x, c))) : x;
		if (left == VW) {
			v_store(out + i, x);
		} else {
			v_storen(out + i, x, left);
		}
	}
}

// cos_sin holds the cosines, then the sines, of the rotated/2 angles.
static void rope(float *x, const float *cos_sin, int32_t heads, int32_t dim, int32_t rotated, int32_t pairing) {
	const int32_t half = rotated / 2;
	const float *c = cos_sin, *s = cos_sin + half;
	for (int32_t h = 0; h < heads; h++, x += dim) {
		if (pairing == AQ_ROPE_NEIGHBOURS) {
			for (int32_t i = 0; i < half; i++) {
				const float a = x[2 * i], b = x[2 * i + 1];
				x[2 * i] = a * c[i] - b * s[i];
				x[2 * i + 1] = b * c[i] + a * s[i];
			}
			continue;
		}
		for (int32_t i = 0; i < half; i++) {
			const float a = x[i], b = x[half + i];
			x[i] = a * c[i] - b * s[i];
			x[half + i] = b * c[i] + a * s[i];
		}
	}
}
