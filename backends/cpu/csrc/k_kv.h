// What a KV block holds of one head: 32 positions of keys, and as many of values. Blocks outlive the process in files: who
// changes what stands here, or in layout_kv, raises AQ_KV_LAYOUT.
//
// Keys lie transposed, (dim, 32 positions), so that the scores of all positions are built up in vectors over positions
// and need no sums across lanes. Values lie as they come, (32 positions, dim): there the vectors run over the head's
// columns. Keys of a new position are scattered over dim cache lines, which the same step reads anyway.
//
// F32 and F16 are converted when they are loaded. In Q8_0, 32 columns of a position share an F16 scale, as in files, but
// bytes and scales are apart: keys (dim, 32) bytes or values (32, dim) bytes, then (dim/32, 32) scales. The last group of a
// head may have fewer columns.

INL vf kv_vector(const uint8_t *p, int64_t i, const int32_t type) {
	switch (type) {
	case AQ_DTYPE_F32:
		return v_load((const float *)(const void *)p + i);
	case AQ_DTYPE_F16:
		return v_f16((const uint16_t *)(const void *)p + i);
	default:
		return v_i8(p + i);
	}
}

// kv_round rounds n <= 32 values to signed bytes and returns their scale, a half float. Values of which one is not a
// number, or too large for a half float as scale, all become NaN. The reference does the same arithmetic in the same
// order, so that both hold the same bits.
static uint16_t kv_round(int8_t *to, const float *x, int32_t n) {
	uint32_t top = 0; // magnitude bits: they order like the numbers, and NaN lies above all
	for (int32_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, x + i, sizeof bits);
		bits &= 0x7fffffff;
		top = bits > top ? bits : top;
	}
	float largest;
	memcpy(&largest, &top, sizeof largest);
	uint16_t scale = f16_of_f32(largest / 127);
	if (top > 0x7f800000 || (scale & 0x7c00) == 0x7c00) {
		scale = 0x7e00;
	}
	const bool flat = scale == 0 || scale == 0x7e00;
	const float inverse = flat ? 0 : 1 / f32_of_f16(scale);
	for (int32_t i = 0; i < n; i++) {
		const float q = flat ? 0 : rintf(x[i] * inverse);
		to[i] = (int8_t)(q < -127 ? -127 : q > 127 ? 127 : q);
	}
	return scale;
}

static void kv_store_q8(uint8_t *keys, uint8_t *values, const float *k, const float *v, int32_t slot, int32_t dim,
	int32_t pad) {
	uint16_t *key_scales = (uint16_t *)(void *)(keys + AQ_KV_BLOCK * pad), *value_scales =
		(uint16_t *)(void *)(values + AQ_KV_BLOCK * pad);
	for (int32_t d = 0; d < dim; d += AQ_KV_GROUP) {
		int8_t bytes[AQ_KV_GROUP] = {0};
		const int32_t n = min_i32(AQ_KV_GROUP, dim - d), group = d / AQ_KV_GROUP;
		key_scales[group * AQ_KV_BLOCK + slot] = kv_round(bytes, k + d, n);
		for (int32_t i = 0; i < n; i++) {
			keys[(d + i) * AQ_KV_BLOCK + slot] = (uint8_t)bytes[i];
		}
		value_scales[group * AQ_KV_BLOCK + slot] = kv_round((int8_t *)values + slot * pad + d, v + d, n);
	}
}

// kv_store stores a head's key and value at a position of a block.
static void kv_store(uint8_t *keys, uint8_t *values, const float *k, const float *v, int32_t slot, int32_t dim,
	int32_t pad, int32_t type) {
	if (type == AQ_DTYPE_Q8_0) {
		kv_store_q8(keys, values, k, v, slot, dim, pad);
	} else if (type == AQ_DTYPE_F16) {
		uint16_t *to = (uint16_t *)(void *)keys, half[AQ_LANES];
		for (int32_t d = 0; d < dim; d += AQ_LANES) {
			const int32_t n = min_i32(AQ_LANES, dim - d);
			to_f16(half, k + d, n);
			for (int32_t i = 0; i < n; i++) {
				to[(d + i) * AQ_KV_BLOCK + slot] = half[i];
			}
		}
		to_f16((uint16_t *)(void *)values + (int64_t)slot * pad, v, dim);
	} else {
		float *to = (float *)(void *)keys;
		for (int32_t d = 0; d < dim; d++) {
			to[d * AQ_KV_BLOCK + slot] = k[d];
		}
		memcpy((float *)(void *)values + (int64_t)slot * pad, v, (size_t)dim * sizeof(float));
	}
}
