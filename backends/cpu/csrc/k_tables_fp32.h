// AQLM products by tables of fp32: what is the same at every level. The level defines build_four and look_up_tile before.

enum { CODES_AHEAD = 4096 }; // bytes of prefetch, in storage order

// build_tables sets the tables of one block: [group][book][256]. x holds block x g inputs, zero behind the last group.
static void build_tables(const weight *w, const float *x, float *tables) {
	const int32_t g = w->info.in_group, K = w->info.books;
	for (int32_t j = 0; j < w->block; j += 4) {
		for (int32_t k = 0; k < K; k++) {
			const float *from[4];
			float *to[4];
			for (int32_t i = 0; i < 4; i++) { // the last group of a block may be built more than once
				const int32_t group = min_i32(j + i, w->block - 1);
				from[i] = x + group * g;
				to[i] = tables + (group * K + k) * AQ_ENTRIES;
			}
			build_four(w->book_t + (int64_t)k * g * AQ_ENTRIES, from, to, g);
		}
	}
}

// add_blocks sets y from the tables that build sets for each block and token.
INL void add_blocks(const table_args *a, void (*build)(const weight *w, const float *x, float *tables)) {
	const weight *w = a->w;
	const int32_t lookups = w->block * w->info.books;
	const int64_t padded = (int64_t)w->tiles * AQ_TILE;
	float *tables = a->workspace, copy[AQ_LOOKUPS * 256] __attribute__((aligned(64)));
	memset(a->y, 0, (size_t)(a->tokens * padded) * sizeof(float));
	for (int32_t b = a->block; b < a->block_end; b++) {
		for (int32_t t = 0; t < a->tokens; t++) {
			build(w, block_inputs(w, a->x + t * a->ldx, b, copy), tables);
			const uint8_t *codes = w->data + (int64_t)b * w->tiles * lookups * AQ_TILE;
			for (int32_t i = 0; i < w->tiles; i++, codes += lookups * AQ_TILE) {
				for (int32_t line = 0; line < lookups; line++) {
					__builtin_prefetch(codes + CODES_AHEAD + line * AQ_TILE, 0, 3);
				}
				look_up_tile(codes, tables, lookups, a->y + t * padded + (int64_t)i * AQ_TILE);
			}
		}
	}
}

static void tables_fp32(const table_args *a) { add_blocks(a, build_tables); }
