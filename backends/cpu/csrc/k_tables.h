// Shared by the table kernels of all levels.

// block_inputs returns the inputs of a block, through a zero-padded copy where the weight ends inside it.
INL const float *block_inputs(const weight *w, const float *x, int32_t block, float *copy) {
	const int32_t n = w->block * w->info.in_group, left = w->info.cols - block * n;
	x += (int64_t)block * n;
	if (left >= n) {
		return x;
	}
	memcpy(copy, x, (size_t)left * sizeof(float));
	memset(copy + left, 0, (size_t)(n - left) * sizeof(float));
	return copy;
}
