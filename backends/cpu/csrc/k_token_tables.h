// AQLM tables over tokens, for steps of many rows: an entry is a vector of the partial sums of eight tokens (fp32, the
// exact precision) or sixteen (integers of 16 bits, fast). One load and add is then 64 or 128 multiply-adds of a group
// of eight, more than the multipliers of the processor do in that time.
//
//   tables  (4 lookups, 256 entries) vectors: 32 KB, which the L1 cache just holds
//   sums    (rows of the run) vectors, in the order of the codes' bytes; they stay in the L2 cache
//
// Lookups, (group, book) pairs, are taken four at a time: their tables are built for the tokens, then all rows of the
// run add their four entries. The tables cost as much as some 700 (fp32) or 1200 rows, so runs are long, and one of short
// weights does not pay. fp32 sums go to y every FLUSH lookups, which keeps rounding errors small in long rows.
//
// Integers: entries are sums of products of int16, inputs and books in units of their own. The unit of a token is
// chosen for INT_FLUSH lookups such that their sum cannot overflow, by the norms of groups and entries; then the sums
// are added to floats.
//
// Tried and lost: vectors of 16 floats (tables fill the L1 cache; +3 % for integers), fewer lookups at a time (two are
// 10 % slower, one doubles the loads and stores of sums).

enum { TOKEN_FLUSH = 128, TOKEN_INT_FLUSH = 64, TOKEN_LOOKUPS = 4, TOKEN_INT_SLACK = 5 * TOKEN_INT_FLUSH };

// int_flush returns the lookups between two additions to floats: norms bound sums of long groups less tightly.
INL int32_t int_flush(int32_t g) { return g > 8 ? TOKEN_INT_FLUSH / 2 : TOKEN_INT_FLUSH; }

INL void transpose8(__m256 v[8]) {
	__m256 a[8], b[8];
#pragma GCC unroll 4
	for (int32_t i = 0; i < 8; i += 2) {
		a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
		a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
	}
#pragma GCC unroll 2
	for (int32_t i = 0; i < 8; i += 4) {
		b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
		b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
		b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
		b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
	}
#pragma GCC unroll 4
	for (int32_t i = 0; i < 4; i++) {
		v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
		v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
	}
}

// entry_at is the code of place p in a transposed book, see weight.c.
INL int32_t entry_at(int32_t p) { return VW == 16 ? (p & ~63) | (p & 15) << 2 | (p >> 4 & 3) : p; }

// gather_tokens sets xt (g, 8) to the inputs of a group, zero behind the last token, times scale (8).
static void gather_tokens(const float *x, int64_t ldx, int32_t tokens, const int32_t *order, const float *scale, int32_t g,
	float *xt, int32_t stride) {
	for (int32_t j = 0; j < g; j += 8) {
		__m256 v[8];
#pragma GCC unroll 8
		for (int32_t t = 0; t < 8; t++) {
			float part[8] = {0};
			const int32_t token = order[t];
			if (token < tokens) {
				const float *from = x + token * ldx + j;
				if (g - j >= 8) {
					memcpy(part, from, sizeof part);
				} else {
					memcpy(part, from, (size_t)(g - j) * sizeof(float));
				}
			}
			v[t] = _mm256_mul_ps(_mm256_loadu_ps(part), _mm256_set1_ps(scale[t]));
		}
		transpose8(v);
		for (int32_t i = 0; i < min_i32(8, g - j); i++) {
			_mm256_store_ps(xt + (j + i) * stride, v[i]);
		}
	}
}

// token_table sets a table: E entries at a time, so that an input is loaded once for all of them.
INL void token_table(const float *book_t, const float *xt, float *table, const int32_t g, const int32_t E) {
	for (int32_t p = 0; p < AQ_ENTRIES; p += E) {
		__m256 s[8];
#pragma GCC unroll 8
		for (int32_t i = 0; i < E; i++) {
			s[i] = _mm256_setzero_ps();
		}
#pragma GCC unroll 8
		for (int32_t j = 0; j < g; j++) {
			const __m256 u = _mm256_load_ps(xt + 8 * j);
#pragma GCC unroll 8
			for (int32_t i = 0; i < E; i++) {
				s[i] = _mm256_fmadd_ps(u, _mm256_broadcast_ss(book_t + j * AQ_ENTRIES + p + i), s[i]);
			}
		}
#pragma GCC unroll 8
		for (int32_t i = 0; i < E; i++) {
			_mm256_store_ps(table + 8 * entry_at(p + i), s[i]);
		}
	}
}

// add_token_entries adds the entries of up to four lookups to the sums of the run's rows; ints: as integers of 16 bits.
// Codes are cut out of a register: through memory, as vectors of offsets, they cost 15 % more.
INL void add_token_entries(const uint8_t *codes, int64_t tile_bytes, int32_t tiles, const uint8_t *tables, __m256i *sums,
	const int32_t lookups, const bool ints) {
	for (int32_t i = 0; i < tiles; i++, codes += tile_bytes, sums += AQ_TILE) {
#pragma GCC unroll 4
		for (int32_t q = 0; q < lookups; q++) {
			_mm_prefetch((const char *)(codes + 4 * tile_bytes + q * AQ_TILE), _MM_HINT_T0);
		}
		for (int32_t r = 0; r < AQ_TILE; r += 8) {
			uint64_t c[TOKEN_LOOKUPS];
#pragma GCC unroll 4
			for (int32_t q = 0; q < lookups; q++) {
				memcpy(&c[q], codes + q * AQ_TILE + r, 8);
			}
#pragma GCC unroll 8
			for (int32_t i = 0; i < 8; i++) {
				__m256i s = sums[r + i];
#pragma GCC unroll 4
				for (int32_t q = 0; q < lookups; q++) {
					const uint64_t at = i == 0 ? c[q] << 5 & 0x1fe0 : c[q] >> (8 * i - 5) & 0x1fe0;
					const __m256i e = _mm256_load_si256((const __m256i *)(const void *)(tables + q * AQ_ENTRIES * 32 + at));
					s = ints ? _mm256_add_epi16(s, e)
						: _mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(s), _mm256_castsi256_ps(e)));
				}
				sums[r + i] = s;
			}
		}
	}
}

// add_lookups adds those of n lookups from q on, whose tables are made.
INL void add_lookups(const tokens_args *a, int32_t q, int32_t n, const void *tables, __m256i *sums, const bool ints) {
	const weight *w = a->w;
	const int32_t lookups = w->block * w->info.books;
	const int64_t tile_bytes = (int64_t)lookups * AQ_TILE;
	const uint8_t *codes = w->data + (((int64_t)(q / lookups) * w->tiles + a->tile) * lookups + q % lookups) * AQ_TILE;
	switch (n) {
	case 1:
		add_token_entries(codes, tile_bytes, a->tiles, tables, sums, 1, ints);
		break;
	case 2:
		add_token_entries(codes, tile_bytes, a->tiles, tables, sums, 2, ints);
		break;
	case 3:
		add_token_entries(codes, tile_bytes, a->tiles, tables, sums, 3, ints);
		break;
	default:
		add_token_entries(codes, tile_bytes, a->tiles, tables, sums, 4, ints);
	}
}

// lookups_at says how many lookups to take together at q: four, unless a block or the row ends.
INL int32_t lookups_at(const weight *w, int32_t q) {
	const int32_t lookups = w->block * w->info.books;
	return min_i32(TOKEN_LOOKUPS, min_i32(lookups - q % lookups, w->groups * w->info.books - q));
}

// store_tokens adds eight tokens' sums of the run's rows to y and clears them. Behind the last lookup it applies scale
// and bias. from holds `stride` vectors for a row.
static void store_tokens(const tokens_args *a, __m256 *from, int32_t stride, int32_t token, bool first, bool last) {
	const weight *w = a->w;
	const int32_t row = a->tile * AQ_TILE, rows = min_i32(w->info.rows - row, a->tiles * AQ_TILE);
	for (int32_t r = 0; r < rows; r += 8) {
		__m256 v[8];
#pragma GCC unroll 8
		for (int32_t i = 0; i < 8; i++) {
			__m256 *s = from + ((r & ~(AQ_TILE - 1)) + tile_byte(VW == 16, (r + i) & (AQ_TILE - 1))) * stride;
			v[i] = *s;
			*s = _mm256_setzero_ps();
		}
		transpose8(v);
		const int32_t n = min_i32(8, rows - r);
#pragma GCC unroll 8
		for (int32_t t = 0; t < 8; t++) {
			if (token + t >= a->tokens) {
				break;
			}
			float *y = a->y + (token + t) * a->ldy + r, part[8];
			if (n == 8) {
				__m256 s = first ? v[t] : _mm256_add_ps(v[t], _mm256_loadu_ps(y));
				if (last) {
					const __m256 scale = _mm256_loadu_ps(w->scales + row + r);
					s = a->bias ? _mm256_fmadd_ps(s, scale, _mm256_loadu_ps(a->bias + r)) : _mm256_mul_ps(s, scale);
				}
				_mm256_storeu_ps(y, s);
				continue;
			}
			_mm256_storeu_ps(part, v[t]);
			for (int32_t i = 0; i < n; i++) {
				const float s = first ? part[i] : part[i] + y[i];
				y[i] = last ? s * w->scales[row + r + i] + (a->bias ? a->bias[r + i] : 0) : s;
			}
		}
	}
}

static void tokens_fp32(const tokens_args *a) {
	const weight *w = a->w;
	const int32_t g = w->info.in_group, K = w->info.books, lookups = w->groups * K;
	static const int32_t order[8] = {0, 1, 2, 3, 4, 5, 6, 7};
	static const float one[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	float tables[TOKEN_LOOKUPS * AQ_ENTRIES * 8] __attribute__((aligned(64))), xt[256 * 8] __attribute__((aligned(64)));
	__m256i *sums = (__m256i *)(void *)a->workspace;
	memset(sums, 0, (size_t)a->tiles * AQ_TILE * sizeof *sums);
	int32_t group = -1, since = 0;
	bool first = true;
	for (int32_t q = 0, n; q < lookups; q += n) {
		n = lookups_at(w, q);
		for (int32_t i = 0; i < n; i++) {
			if ((q + i) / K != group) {
				group = (q + i) / K;
				gather_tokens(a->x + (int64_t)group * g, a->ldx, a->tokens, order, one, g, xt, 8);
			}
			const float *book = w->book_t + (int64_t)((q + i) % K) * g * AQ_ENTRIES;
			if (g == 8) {
				token_table(book, xt, tables + i * AQ_ENTRIES * 8, 8, 4);
			} else {
				token_table(book, xt, tables + i * AQ_ENTRIES * 8, g, 8);
			}
		}
		add_lookups(a, q, n, tables, sums, false);
		since += n;
		if (since >= TOKEN_FLUSH || q + n >= lookups) {
			store_tokens(a, (__m256 *)(void *)sums, 1, 0, first, q + n >= lookups);
			first = false;
			since = 0;
		}
	}
}

// token_pairs sets the pairs of inputs of a group as token_table_int wants them: x[2j] and x[2j+1] hold inputs 2j and
// 2j+1 of the even and of the odd tokens. xt (g, 16) holds the even tokens before the odd ones.
static void token_pairs(const float *xt, const int32_t g, float scale, __m256i *x) {
	const __m256 s = _mm256_set1_ps(scale);
	for (int32_t j = 0; j < g; j += 2) {
#pragma GCC unroll 2
		for (int32_t h = 0; h < 2; h++) {
			const float *from = xt + 16 * j + 8 * h;
			const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(s, _mm256_load_ps(from)));
			const __m256i b = j + 1 < g ? _mm256_cvtps_epi32(_mm256_mul_ps(s, _mm256_load_ps(from + 16))) : _mm256_setzero_si256();
			x[j + h] = _mm256_blend_epi16(a, _mm256_slli_epi32(b, 16), 0xaa);
		}
	}
}

// add_products adds the products of eight pairs of int16.
INL __m256i add_products(__m256i sum, __m256i a, __m256i b) {
#if VW == 16
	__asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); // gcc copies sums of the intrinsic
	return sum;
#else
	return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
}

// token_table_int sets a table of integers for sixteen tokens, the high halves of the sums of products, E entries at a time.
INL void token_table_int(const int32_t *book, const __m256i *x, int16_t *table, const int32_t pairs, const int32_t E) {
	const __m256i half = _mm256_set1_epi32(1 << 15);
	for (int32_t p = 0; p < AQ_ENTRIES; p += E) {
		__m256i even[2], odd[2];
#pragma GCC unroll 2
		for (int32_t i = 0; i < E; i++) {
			even[i] = odd[i] = half;
		}
#pragma GCC unroll 4
		for (int32_t j = 0; j < pairs; j++) {
#pragma GCC unroll 2
			for (int32_t i = 0; i < E; i++) {
				const __m256i c = _mm256_set1_epi32(book[j * AQ_ENTRIES + p + i]);
				even[i] = add_products(even[i], x[2 * j], c);
				odd[i] = add_products(odd[i], x[2 * j + 1], c);
			}
		}
#pragma GCC unroll 2
		for (int32_t i = 0; i < E; i++) {
			_mm256_store_si256((__m256i *)(void *)(table + 16 * entry_at(p + i)),
				_mm256_blend_epi16(_mm256_srli_epi32(even[i], 16), odd[i], 0xaa));
		}
	}
}

static const int32_t even_odd[16] = {0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15};

// token_units sets scale and unit (16) for groups [group, end): the sum of their lookups fits 16 bits, and so do the inputs,
// which are multiplied with books in units of up to step.
static void token_units(const tokens_args *a, int32_t group, int32_t end, float step, float *scale, float *unit) {
	const weight *w = a->w;
	const int32_t g = w->info.in_group;
	float entries = 0;
	for (int32_t k = 0; k < w->info.books; k++) {
		entries += w->book_norm[k];
	}
	for (int32_t t = 0; t < 16; t++) {
		double bound = 0;
		vf most = v_zero();
		for (int32_t j = group; t < a->tokens && j < end; j++) {
			const float *x = a->x + t * a->ldx + (int64_t)j * g;
			vf sum = v_zero();
			for (int32_t i = 0; i < g; i += VW) {
				const vf v = i + VW <= g ? v_load(x + i) : v_loadn(x + i, g - i);
				sum = v_fma(v, v, sum);
				most = v_max(v_abs(v), most);
			}
			bound += sqrtf(sum4(v_fold(sum)));
		}
		bound *= entries / (double)(32767 - TOKEN_INT_SLACK);
		const double inputs = (double)step * v_hmax(most) * 65536 / 32766;
		bound = bound < inputs ? inputs : bound;
		scale[t] = bound > 1e-35 ? (float)(1 / bound) : 0; // zero for NaN: the unit carries it
		unit[t] = (float)bound;
	}
}

// flush_ints adds the integers, sixteen tokens for a row, to floats and clears them.
static void flush_ints(__m256i *sums, __m256 *floats, int32_t rows, const float *unit) {
	const __m256 u = _mm256_loadu_ps(unit), v = _mm256_loadu_ps(unit + 8);
	for (int32_t r = 0; r < rows; r++, floats += 2) {
		const __m256i s = sums[r];
		sums[r] = _mm256_setzero_si256();
		const __m256 a = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(s)));
		const __m256 b = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_extracti128_si256(s, 1)));
		floats[0] = _mm256_fmadd_ps(a, u, floats[0]);
		floats[1] = _mm256_fmadd_ps(b, v, floats[1]);
	}
}

static void tokens_int16(const tokens_args *a) {
	const weight *w = a->w;
	const int32_t g = w->info.in_group, K = w->info.books, lookups = w->groups * K, pairs = (g + 1) / 2;
	const int32_t unit_groups = max_i32(1, int_flush(g) / K);
	int16_t tables[TOKEN_LOOKUPS * AQ_ENTRIES * 16] __attribute__((aligned(64)));
	float xt[256 * 16] __attribute__((aligned(64))), scale[16], unit[16], step = 0;
	__m256i x[256];
	const int32_t rows = a->tiles * AQ_TILE;
	__m256i *sums = (__m256i *)(void *)a->workspace;
	__m256 *floats = (__m256 *)(void *)(sums + rows);
	memset(sums, 0, (size_t)rows * 3 * sizeof *sums);
	for (int32_t k = 0; k < K; k++) {
		step = w->book_step[k] > step ? w->book_step[k] : step;
	}
	int32_t group = -1, end = 0; // end: of the groups that the units are for
	for (int32_t q = 0, n; q < lookups; q += n) {
		if (q / K >= end) {
			if (end) {
				flush_ints(sums, floats, rows, unit);
			}
			end = min_i32(q / K + unit_groups, w->groups);
			token_units(a, q / K, end, step, scale, unit);
		}
		n = min_i32(lookups_at(w, q), end * K - q);
		for (int32_t i = 0; i < n; i++) {
			const int32_t k = (q + i) % K;
			if ((q + i) / K != group) {
				group = (q + i) / K;
				float s[16];
				for (int32_t t = 0; t < 16; t++) {
					s[t] = scale[even_odd[t]];
				}
				const float *from = a->x + (int64_t)group * g;
				gather_tokens(from, a->ldx, a->tokens, even_odd, s, g, xt, 16);
				gather_tokens(from, a->ldx, a->tokens, even_odd + 8, s + 8, g, xt + 8, 16);
			}
			token_pairs(xt, g, w->book_step[k] * 65536, x);
			const int32_t *book = w->book_pairs + (int64_t)k * pairs * AQ_ENTRIES;
			int16_t *table = tables + i * AQ_ENTRIES * 16;
			if (pairs == 4) {
				__m256i in_registers[8];
				memcpy(in_registers, x, sizeof in_registers);
				token_table_int(book, in_registers, table, 4, 1);
			} else {
				token_table_int(book, x, table, pairs, 2);
			}
		}
		add_lookups(a, q, n, tables, sums, true);
	}
	flush_ints(sums, floats, rows, unit);
	store_tokens(a, floats, 2, 0, true, true);
	store_tokens(a, floats + 1, 2, 8, true, true);
}
