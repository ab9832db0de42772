// How weights are stored, and how delivered rows get there.
//
// Dense rows stay as they are. AQLM codes of up to 8 bits in groups of one row are stored in tiles ("T64"):
//
//   [blocks][tiles][block groups x K books][64 rows], one byte a code
//
// A block is as many groups as give about 16 lookups a row. One table kernel visit of a (block, tile) reads 1 KB in
// sequence, the tables of a block fit the L1 cache, and 64 codes of one (group, book) are one vector of indices.
// Rows are padded to 64 and groups to whole blocks; padding codes are 0 and meet inputs of 0. Other levels read the
// same bytes in another order of rows (tile_row), chosen so that their sums come out in natural order.
//
// Codebooks are kept twice: (K, entries, g) for decoding, in F16 if they came so and the level converts quickly (half
// the cache lines), and transposed to (K, g, 256) fp32 for building tables, in which the order of entries is free: table kernels want entry 4i+j of 64 in lane i of vector j (interleaved levels).
//
// All other AQLM weights (more bits, groups of several rows) keep their codes in file order, masked to the scheme's
// bits so that no delivered byte can index outside a codebook.
#include <math.h>
#include <string.h>

#include "aq.h"

static int64_t book_entries(const weight *w) { return (int64_t)1 << w->info.bits; }
static int64_t entry_floats(const weight *w) { return (int64_t)w->info.out_group * w->info.in_group; }

static int64_t dense_row_bytes(const aq_weight *i) {
	switch (i->type) {
	case AQ_DTYPE_F32:
		return (int64_t)i->cols * 4;
	case AQ_DTYPE_Q8_0:
		return (int64_t)i->cols / 32 * 34;
	default:
		return (int64_t)i->cols * 2;
	}
}

static void layout_aqlm(const program *p, weight *w, arena *a) {
	const aq_weight *i = &w->info;
	w->groups = i->cols / i->in_group;
	const int64_t values = i->books * book_entries(w) * entry_floats(w);
	if (i->bits <= 8 && i->out_group == 1) {
		w->layout = LAYOUT_TILES;
		w->tiles = (int32_t)round_up(i->rows, AQ_TILE) / AQ_TILE;
		w->block = min_i32(max_i32(1, AQ_LOOKUPS / i->books), w->groups);
		w->blocks = (w->groups + w->block - 1) / w->block;
		w->data = arena_take(a, (int64_t)w->blocks * w->tiles, (int64_t)w->block * i->books * AQ_TILE);
		if (p->k->tables[AQ_PRECISION_EXACT]) {
			if (p->k->pairs && p->args.precision != AQ_PRECISION_EXACT) {
				w->book_pairs = arena_take(a, (int64_t)i->books * ((i->in_group + 1) / 2), AQ_ENTRIES * 4);
				w->book_step = arena_take(a, i->books, 4);
			}
			if (!(p->k->fast_pairs && p->args.precision == AQ_PRECISION_FAST)) {
				w->book_t = arena_take(a, (int64_t)i->books * i->in_group, AQ_ENTRIES * 4);
			}
			w->book_norm = arena_take(a, i->books, 4);
		}
	} else {
		w->layout = LAYOUT_CODES;
		w->code_bytes = i->bits <= 8 ? 1 : 2;
		w->data = arena_take(a, (int64_t)(i->rows / i->out_group) * w->groups, (int64_t)i->books * w->code_bytes);
	}
	if (i->codebooks == AQ_DTYPE_F16 && p->k->book16) {
		w->book16 = arena_take(a, values, 2);
	} else {
		w->book = arena_take(a, values, 4);
	}
	w->scales = arena_take(a, i->rows / i->out_group, 4);
	if (words_weight(p, w) && w->layout == LAYOUT_TILES) {
		w->book_i = arena_take(a, values, 2);
	}
	if (bytes_weight(p, w)) {
		if (w->layout == LAYOUT_CODES) {
			w->book_8 = arena_take(a, values, 1);
		} else {
			w->book_i = arena_take(a, values, 2);
			const int64_t blocks = (i->cols + AQ_PANEL8_COLS - 1) / AQ_PANEL8_COLS;
			w->tops = arena_take(a, w->tiles * blocks, AQ_TILE * sizeof *w->tops);
			w->tops_known = arena_take(a, w->tiles, sizeof *w->tops_known);
		}
	}
}

void weight_layout(program *p, weight *w, arena *a) {
	w->layout = LAYOUT_NONE;
	if (w->info.encoding == AQ_ENCODING_AQLM) {
		layout_aqlm(p, w, a);
		return;
	}
	if (w->vector) {
		w->values = arena_take(a, w->info.cols, 4);
	}
	if (w->matrix) {
		w->layout = LAYOUT_ROWS;
		w->row_bytes = dense_row_bytes(&w->info);
		// Kernels may prefetch, but never read, past the last row.
		w->data = arena_take(a, w->info.rows, w->row_bytes);
	}
}

// bytes_weight says whether the weight's books are kept as bytes or for panels of bytes, too: if it has enough rows for that
// to matter. Panels want groups of one row and whole runs of eight inputs that fit a column block.
bool bytes_weight(const program *p, const weight *w) {
	const aq_weight *i = &w->info;
	if (!p->k->bytes_book || p->args.precision != AQ_PRECISION_FAST || i->encoding != AQ_ENCODING_AQLM ||
		i->rows < AQ_TILE || (i->bits > 8 && i->books > p->k->bytes_books)) {
		return false;
	}
	return p->k->panel8 ? i->out_group == 1 && i->in_group % 8 == 0 && AQ_BYTES_COLS % i->in_group == 0
		: codes_direct(w);
}

// words_weight says likewise whether many tokens meet panels of words: in precision auto, and in fast where bytes have none.
bool words_weight(const program *p, const weight *w) {
	const aq_weight *i = &w->info;
	const bool wanted = p->args.precision == AQ_PRECISION_AUTO || (p->args.precision == AQ_PRECISION_FAST && !p->k->panel8);
	return p->k->panel16 && wanted && i->encoding == AQ_ENCODING_AQLM && i->rows >= AQ_TILE &&
		i->out_group == 1 && i->in_group % 8 == 0 && AQ_BYTES_COLS % i->in_group == 0;
}

// ---- writing ------------------------------------------------------------------------------------------------------

static int32_t wrong_size(const program *p, const aq_write_args *args, int32_t rows, int64_t row_bytes) {
	if (args->first > rows - args->rows || args->bytes != args->rows * row_bytes) {
		return fail(p->d, AQ_STATUS_INVALID, 0, "weight %d, part %d: rows %d to %d of %d with %ld bytes of %ld",
			args->weight, args->part, args->first, args->first + args->rows, rows, (long)args->bytes,
			(long)(args->rows * row_bytes));
	}
	return AQ_STATUS_OK;
}

static void write_tiles(const program *p, weight *w, const uint8_t *src, int32_t first, int32_t rows) {
	const int32_t lookups = w->block * w->info.books, row_codes = w->groups * w->info.books;
	const uint8_t mask = (uint8_t)(book_entries(w) - 1);
	uint8_t byte_of[AQ_TILE];
	for (int32_t r = 0; r < AQ_TILE; r++) {
		byte_of[r] = (uint8_t)tile_byte(p->k->interleaved, r);
	}
	for (int32_t r = first; r < first + rows;) {
		// The rows of one tile go block by block, so that the bytes written stay in the L1 cache.
		const int32_t tile = r / AQ_TILE, end = min_i32((tile + 1) * AQ_TILE, first + rows);
		for (int32_t b = 0; b < w->blocks; b++) {
			uint8_t *dst = w->data + ((int64_t)b * w->tiles + tile) * lookups * AQ_TILE;
			const int32_t from = b * lookups, n = min_i32(lookups, row_codes - from);
			for (int32_t i = r; i < end; i++) {
				const uint8_t *s = src + (int64_t)(i - first) * row_codes + from;
				uint8_t *d = dst + byte_of[i % AQ_TILE];
				for (int32_t q = 0; q < n; q++) {
					d[q * AQ_TILE] = s[q] & mask;
				}
			}
		}
		r = end;
	}
}

static void write_codes(weight *w, const uint8_t *src, int32_t first, int32_t rows) {
	const int64_t row_codes = (int64_t)w->groups * w->info.books, n = rows * row_codes;
	const uint32_t mask = (uint32_t)book_entries(w) - 1;
	if (w->code_bytes == 1) {
		uint8_t *dst = w->data + first * row_codes;
		for (int64_t i = 0; i < n; i++) {
			dst[i] = (uint8_t)(src[i] & mask);
		}
		return;
	}
	uint16_t *dst = (uint16_t *)(void *)w->data + first * row_codes;
	for (int64_t i = 0; i < n; i++) {
		uint16_t c;
		memcpy(&c, src + 2 * i, 2);
		dst[i] = (uint16_t)(c & mask);
	}
}

// transpose_book fills book_t or book_pairs, and what belongs to them, for one book.
static void transpose_book(const program *p, weight *w, int32_t book) {
	const int32_t g = w->info.in_group, entries = (int32_t)book_entries(w);
	const int64_t from = (int64_t)book * entries * g;
	double largest = 0;
	float top = 0, src[256]; // the largest group
	for (int32_t pass = 0; pass < 2; pass++) {
		// The first pass finds the largest numbers, the second stores.
		const float inv = top > 0 && top < INFINITY ? 32767 / top : 0;
		for (int32_t e = 0; e < entries; e++) {
			const int64_t at = from + (int64_t)e * g;
			const int32_t to = p->k->interleaved ? (e & ~63) | (e & 3) << 4 | (e & 63) >> 2 : e;
			double norm = 0;
			p->k->to_f32(src, w->book16 ? (const void *)(w->book16 + at) : w->book + at,
				w->book16 ? AQ_DTYPE_F16 : AQ_DTYPE_F32, g);
			for (int32_t j = 0; j < g; j++) {
				const float v = src[j], size = v < 0 ? -v : v;
				norm += (double)v * v;
				top = size > top ? size : top;
				if (pass && w->book_t) {
					w->book_t[((int64_t)book * g + j) * AQ_ENTRIES + to] = v;
				}
				if (pass && w->book_pairs) {
					int16_t *pair = (int16_t *)(w->book_pairs + ((int64_t)book * ((g + 1) / 2) + j / 2) * AQ_ENTRIES + to);
					pair[j % 2] = (int16_t)__builtin_rintf(v == v ? v * inv : 0);
				}
			}
			// A NaN must win, so that it reaches the results.
			largest = norm <= largest ? largest : norm;
		}
	}
	w->book_norm[book] = (float)__builtin_sqrt(largest);
	if (w->book_step) {
		w->book_step[book] = top / 32767;
	}
}

// forget makes stale what was derived from the parts of a weight.
static void forget(weight *w) {
	atomic_store_explicit(&w->bytes_state, BOOK_STALE, memory_order_relaxed);
	atomic_store_explicit(&w->words_state, BOOK_STALE, memory_order_relaxed);
	for (int32_t t = 0; w->tops && t < w->tiles; t++) {
		atomic_store_explicit(&w->tops_known[t], 0, memory_order_relaxed);
	}
}

static int32_t write_aqlm(program *p, weight *w, const aq_write_args *args, const uint8_t *data) {
	const aq_weight *i = &w->info;
	int32_t status;
	forget(w);
	if (args->part == AQ_PART_CODES) {
		const int64_t row_bytes = (int64_t)w->groups * i->books * (i->bits <= 8 ? 1 : 2);
		status = wrong_size(p, args, i->rows / i->out_group, row_bytes);
		if (!status && w->layout == LAYOUT_TILES) {
			write_tiles(p, w, data, args->first, args->rows);
		} else if (!status) {
			write_codes(w, data, args->first, args->rows);
		}
		return status;
	}
	if (args->part == AQ_PART_CODEBOOKS) {
		const int64_t n = book_entries(w) * entry_floats(w);
		status = wrong_size(p, args, i->books, n * (i->codebooks == AQ_DTYPE_F32 ? 4 : 2));
		if (status) {
			return status;
		}
		if (w->book16) {
			memcpy(w->book16 + args->first * n, data, (size_t)args->bytes);
		} else {
			p->k->to_f32(w->book + args->first * n, data, i->codebooks, args->rows * n);
		}
		for (int32_t b = args->first; w->book_norm && b < args->first + args->rows; b++) {
			transpose_book(p, w, b);
		}
		return AQ_STATUS_OK;
	}
	if (args->part == AQ_PART_SCALES) {
		status = wrong_size(p, args, i->rows / i->out_group, i->scales == AQ_DTYPE_F32 ? 4 : 2);
		if (!status) {
			p->k->to_f32(w->scales + args->first, data, i->scales, args->rows);
		}
		return status;
	}
	return fail(p->d, AQ_STATUS_INVALID, 0, "weight %d has no part %d", args->weight, args->part);
}

int32_t weight_write(program *p, const aq_write_args *args) {
	weight *w = &p->weights[args->weight];
	const uint8_t *data = (const uint8_t *)(uintptr_t)args->data;
	if (w->info.encoding == AQ_ENCODING_AQLM) {
		return write_aqlm(p, w, args, data);
	}
	if (args->part != AQ_PART_ELEMENTS) {
		return fail(p->d, AQ_STATUS_INVALID, 0, "weight %d has no part %d", args->weight, args->part);
	}
	const int64_t row_bytes = dense_row_bytes(&w->info);
	int32_t status = wrong_size(p, args, w->info.rows, row_bytes);
	if (status || args->rows == 0) {
		return status;
	}
	if (w->values) {
		p->k->to_f32(w->values, data, w->info.type, w->info.cols);
	}
	if (w->layout == LAYOUT_ROWS) {
		memcpy(w->data + args->first * row_bytes, data, (size_t)args->bytes);
	}
	return AQ_STATUS_OK;
}

// ---- names ----------------------------------------------------------------------------------------------------------

typedef struct text {
	char *at, *end;
} text;

static void put(text *t, const char *s) {
	while (*s && t->at < t->end) {
		*t->at++ = *s++;
	}
	*t->at = 0;
}

static void put_number(text *t, int32_t n) {
	char digits[12];
	char *d = digits + sizeof digits - 1;
	*d = 0;
	do {
		*--d = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	put(t, d);
}

void weight_kernel_name(const program *p, const weight *w, char *name) {
	static const char *types[] = {"f32", "f16", "bf16", "i8", "i16", "i32", "q8_0"};
	text t = {name, name + AQ_NAME_BYTES - 1};
	if (w->info.encoding == AQ_ENCODING_DENSE) {
		put(&t, w->layout == LAYOUT_NONE ? "vector " : "dense ");
		put(&t, types[w->info.type]);
	} else {
		put(&t, "aqlm ");
		put_number(&t, w->info.books);
		put(&t, "x");
		put_number(&t, w->info.bits);
		put(&t, "g");
		put_number(&t, w->info.in_group);
		if (w->info.out_group > 1) {
			put(&t, "og");
			put_number(&t, w->info.out_group);
		}
		if (w->book_norm) {
			put(&t, " tables ");
			put(&t, p->k->tables_name[p->args.precision]);
		} else {
			put(&t, p->k->codes && codes_direct(w) ? " codes" : " panel");
			put(&t, w->book_8 ? " bytes" : w->book16 ? " f16" : " fp32");
		}
	}
	put(&t, " ");
	put(&t, p->k->name);
}
