// Products: a weight times some rows of input. A linear op has one to four of them, which share their input; a mixture
// of experts has one for each expert and output, each with the rows that chose it. A product is computed by the method
// that is cheapest for its shape and number of rows:
//
//   METHOD_DENSE   few rows, dense weight: dot products straight from the stored rows. A unit is a run of weight rows.
//   METHOD_CODES   few rows, AQLM codes of more than 8 bits: entries are decoded and multiplied at once. Likewise.
//   METHOD_TABLES  few rows, AQLM tiles: tables of partial sums, looked up by code, for each row of input or for up to
//                  eight at once (lanes). A unit is a run of blocks for all weight rows and writes its own partial
//                  sums; a second phase adds them in a fixed order.
//   METHOD_TOKENS  many rows, AQLM tiles of long weights: tables whose entries are vectors over tokens. A unit is a
//                  vector's worth of input rows for a run of weight rows.
//   METHOD_PANEL8  many rows, AQLM, fast precision: a tile is decoded to bytes and multiplied with inputs that a phase
//                  before rounded to bytes. A unit is a tile.
//   METHOD_PANEL16 many rows, AQLM, precision auto: as METHOD_PANEL8 with words.
//   METHOD_CODES8  few rows, codes of more than 8 bits, fast precision: as METHOD_CODES, with entries rounded to bytes and
//                  inputs to bytes or 16 bits.
//   METHOD_PANEL   everything else: a tile of 64 weight rows is decoded to fp32 a column block at a time and multiplied
//                  with all rows. A unit is a tile. Serves every encoding, and is the plain fallback of every other.
//
// Tables cost 256 x g multiply-adds for each group and codebook however few rows the weight has, so short weights (the
// key and value projections of small models) are better decoded: see choose_method.
#include "aq.h"

enum { UNIT_BYTES_LEAST = 64 << 10, UNIT_BYTES_MOST = 512 << 10, REDUCE_ROWS = 1024, CHUNK_CYCLES = 20000,
	QUANTIZE_ROWS = 4, CODES_TOKENS = 4, COMMON_THREADS = 4 };

static int32_t gcd(int32_t a, int32_t b) {
	while (b) {
		const int32_t r = a % b;
		a = b;
		b = r;
	}
	return a;
}

// product_panel_cols returns the columns of a panel: about AQ_PANEL_COLS, in equal parts, whole groups, whole vectors
// and whole Q8_0 blocks.
int32_t product_panel_cols(const weight *w) {
	const int32_t cols = w->info.cols, parts = (cols + AQ_PANEL_COLS - 1) / AQ_PANEL_COLS;
	const int32_t group = w->info.encoding == AQ_ENCODING_AQLM ? w->info.in_group : 1;
	const int32_t step = group / gcd(group, 32) * 32;
	return (int32_t)round_up((cols + parts - 1) / parts, step);
}

// ---- choices ----------------------------------------------------------------------------------------------------------

// These follow from the layout, not from the books, whose memory does not exist yet when programs are laid out.
static bool has_tables(const program *p, const weight *w) { return w->layout == LAYOUT_TILES && p->k->tables[AQ_PRECISION_EXACT]; }

static bool takes(const program *p, bool in_auto) {
	return p->args.precision == AQ_PRECISION_FAST || (p->args.precision == AQ_PRECISION_AUTO && in_auto);
}

// table_cycles estimates tables of one token.
static double table_cycles(const program *p, const weight *w) {
	const double lookups = (double)w->groups * w->info.books;
	return lookups * ((double)w->tiles * AQ_TILE * p->k->cost_lookup[p->args.precision] +
		(double)AQ_ENTRIES * w->info.in_group * p->k->cost_entry[p->args.precision]);
}

// lanes_of returns the tokens in an entry of a table of tables_lanes.
static int32_t lanes_of(int32_t tokens) { return tokens <= 4 ? 4 : AQ_TABLE_LANES; }

// lanes_cycles estimates tables over tokens.
static double lanes_cycles(const program *p, const weight *w, int32_t tokens) {
	const double lookups = (double)w->groups * w->info.books;
	const int32_t i = lanes_of(tokens) == AQ_TABLE_LANES, sets = (tokens + AQ_TABLE_LANES - 1) / AQ_TABLE_LANES;
	return sets * lookups * ((double)w->tiles * AQ_TILE * p->k->cost_lanes[i] +
		(double)AQ_ENTRIES * w->info.in_group * p->k->cost_lanes_entry[i]);
}

// table_lanes returns the tokens in an entry if tables over tokens are the cheaper ones, else 0.
static int32_t table_lanes(const program *p, const weight *w, int32_t tokens) {
	return tokens > 1 && p->k->tables_lanes && !(p->args.precision != AQ_PRECISION_EXACT && p->k->fast_pairs) &&
			lanes_cycles(p, w, tokens) < tokens * table_cycles(p, w)
		? lanes_of(tokens)
		: 0;
}

static double panel_cycles(const program *p, const weight *w, int32_t tokens) {
	const double weights = (double)w->info.rows * w->info.cols;
	return weights * (w->info.books / 8.0 * p->k->cost_decode + tokens * p->k->cost_fma);
}

// fast_tokens says whether tables over tokens are those of the fast precision, which take more tokens at a time.
static bool fast_tokens(const program *p, int32_t tokens) {
	return p->k->tokens_fast && takes(p, p->k->auto_tokens) && tokens > p->k->tokens_step;
}

static int32_t tokens_step(const program *p, int32_t tokens) {
	return fast_tokens(p, tokens) ? p->k->tokens_fast_step : p->k->tokens_step;
}

static int32_t tokens_blocks(const program *p, int32_t tokens) {
	return (tokens + tokens_step(p, tokens) - 1) / tokens_step(p, tokens);
}

// tokens_runs returns the runs that a weight's rows are cut into: as many as fit the cache, and some for threads that had
// nothing to do otherwise. Every run builds the tables again. Where rows are cut does not change their sums, so this may depend
// on the number of threads; the choice of the method may not.
static int32_t tokens_runs(const program *p, const weight *w, int32_t tokens, int32_t threads) {
	const int32_t blocks = tokens_blocks(p, tokens), least = (w->info.rows + AQ_TOKENS_ROWS - 1) / AQ_TOKENS_ROWS;
	return max_i32(least, min_i32(w->info.rows / 1024, (threads + blocks - 1) / blocks));
}

// tokens_cycles estimates tables over tokens with the runs that a common number of threads needs.
static double tokens_cycles(const program *p, const weight *w, int32_t tokens) {
	const kernels *k = p->k;
	const bool fast = fast_tokens(p, tokens);
	const double lookup = fast ? k->cost_tokens_fast_lookup : k->cost_tokens_lookup;
	const double entry = fast ? k->cost_tokens_fast_entry : k->cost_tokens_entry;
	return (double)tokens_blocks(p, tokens) * w->groups * w->info.books * ((double)w->tiles * AQ_TILE * lookup +
		(double)tokens_runs(p, w, tokens, COMMON_THREADS) * AQ_ENTRIES * w->info.in_group * entry);
}

int64_t product_workspace(const program *p, const weight *w) {
	int64_t bytes = (p->k->panel8 && bytes_weight(p, w)) || words_weight(p, w) ? AQ_PANEL8_COLS * AQ_TILE : 0;
	if (bytes_weight(p, w) && codes_direct(w)) {
		bytes = max_i64(bytes, ((int64_t)w->info.cols / w->info.in_group + w->info.cols / AQ_BYTES_COLS + 1) * 64);
	}
	if (w->layout == LAYOUT_TILES && p->k->tokens) { // not book_t: there is no memory yet
		const int64_t rows = min_i32(AQ_TOKENS_ROWS + AQ_TILE, w->tiles * AQ_TILE);
		bytes = max_i64(bytes, rows * (fast_tokens(p, INT32_MAX) ? 96 : 32));
	}
	return bytes;
}

// table_chunks cuts the blocks of a weight into units of some ten microseconds, by shape only. Many tokens make larger
// units, and fewer of them, because each has partial sums for every row and token.
static int32_t table_chunks(const program *p, const weight *w, int32_t tokens) {
	const double chunks = table_cycles(p, w) / CHUNK_CYCLES;
	const int32_t most = min_i32(w->blocks, tokens > AQ_TABLE_LANES ? AQ_MAX_UNITS / 2 : AQ_MAX_UNITS);
	return chunks >= most ? most : max_i32(1, (int32_t)chunks);
}

// book_ready rounds the books of a weight at its first use, or finds their unit. It reports false for books that hold
// something else than numbers.
static bool book_ready(weight *w, _Atomic int32_t *known, bool (*round)(weight *w)) {
	int32_t state = atomic_load_explicit(known, memory_order_relaxed);
	if (state == BOOK_STALE) {
		state = round(w) ? BOOK_READY : BOOK_BROKEN;
		atomic_store_explicit(known, state, memory_order_relaxed);
	}
	return state == BOOK_READY;
}

static double panel16_cycles(const program *p, const weight *w, int32_t tokens) {
	const double weights = (double)w->info.rows * w->info.cols;
	return weights * (w->info.books / 8.0 * p->k->cost_decode16 + tokens * p->k->cost_madd16);
}

// choose_bytes sets the method of a weight of bytes_weight, where bytes have one.
static bool choose_bytes(const program *p, const weight *w, int32_t tokens, int32_t *method) {
	if (w->book_8 && codes_direct(w) && tokens <= p->k->bytes_tokens) {
		*method = METHOD_CODES8;
	} else if (p->k->panel8 && (w->book_8 || tokens > AQ_TABLE_TOKENS)) { // few rows keep the more accurate tables
		*method = METHOD_PANEL8;
	} else {
		return false;
	}
	weight *own = &p->weights[w - p->weights];
	return book_ready(own, &own->bytes_state, p->k->bytes_book);
}

static int32_t choose_method(const program *p, const weight *w, int32_t tokens) {
	if (w->info.encoding == AQ_ENCODING_DENSE) {
		return tokens <= AQ_DIRECT_TOKENS ? METHOD_DENSE : METHOD_PANEL;
	}
	int32_t method;
	if (bytes_weight(p, w) && choose_bytes(p, w, tokens, &method)) {
		return method;
	}
	if (p->k->codes && codes_direct(w) && tokens <= (words_weight(p, w) ? CODES_TOKENS : 2 * CODES_TOKENS)) {
		return METHOD_CODES;
	}
	method = METHOD_PANEL;
	double least = panel_cycles(p, w, tokens);
	if (has_tables(p, w) && tokens <= AQ_TABLE_TOKENS) {
		const double cycles = table_lanes(p, w, tokens) ? lanes_cycles(p, w, tokens) : tokens * table_cycles(p, w);
		if (cycles <= least) {
			method = METHOD_TABLES;
			least = cycles;
		}
	}
	const bool fast = fast_tokens(p, tokens), books = fast ? w->book_pairs != NULL : w->book_t != NULL; // of the precision
	if ((method == METHOD_PANEL || fast) && books && p->k->tokens && tokens > 1) {
		const double cycles = tokens_cycles(p, w, tokens);
		if (cycles < least) {
			method = METHOD_TOKENS;
			least = cycles;
		}
	}
	// Products of an op share their rounded inputs, so few tokens, which fast precision rounds otherwise, are not for words.
	const int32_t few = p->args.precision == AQ_PRECISION_FAST ? p->k->bytes_tokens : 1;
	weight *own = &p->weights[w - p->weights];
	if (tokens > few && words_weight(p, w) && panel16_cycles(p, w, tokens) < least &&
		book_ready(own, &own->words_state, p->k->words_book)) {
		method = METHOD_PANEL16;
	}
	return method;
}

// Partial sums of METHOD_TABLES: rows of (tiles*64) floats for each chunk.
static int64_t partial_rows(int32_t tokens, int32_t lanes) {
	return lanes ? (int64_t)(tokens + AQ_TABLE_LANES - 1) / AQ_TABLE_LANES * lanes : tokens;
}

static int64_t partial_floats(const program *p, const weight *w, int32_t tokens, int32_t lanes) {
	return table_chunks(p, w, tokens) * partial_rows(tokens, lanes) * w->tiles * AQ_TILE;
}

// product_partials returns the most that up to `tokens` tokens take.
int64_t product_partials(const program *p, const weight *w, int32_t tokens) {
	int64_t most = 0;
	for (int32_t t = 1; has_tables(p, w) && t <= min_i32(tokens, AQ_TABLE_TOKENS); t++) {
		most = max_i64(most, partial_floats(p, w, t, table_lanes(p, w, t)));
	}
	return most;
}

// direct_unit_rows returns the rows of a unit of METHOD_DENSE or METHOD_CODES: a sixteenth of the weight, but not so
// few that the start of a unit, which nobody has prefetched, counts, nor so many that a thread that is preempted in
// it holds the others up.
static int32_t direct_unit_rows(const weight *w) {
	// A code costs several times its bytes in codebook traffic.
	const int64_t bytes = w->layout == LAYOUT_ROWS ? w->row_bytes : (int64_t)w->groups * w->info.books * 8;
	const int64_t share = bytes * w->info.rows / 16;
	const int64_t unit = share < UNIT_BYTES_LEAST ? UNIT_BYTES_LEAST : share > UNIT_BYTES_MOST ? UNIT_BYTES_MOST : share;
	return (int32_t)round_up(max_i64(1, unit / bytes), 4);
}

void products_begin(program *p) { p->products = (product_list){.items = p->products.items}; }

// rounds says whether the inputs of a product are rounded.
static bool rounds(const product *o) {
	return o->method == METHOD_PANEL8 || o->method == METHOD_PANEL16 || o->method == METHOD_CODES8;
}

void product_add(program *p, product o) {
	product_list *list = &p->products;
	const weight *w = o.w;
	o.method = choose_method(p, w, o.tokens);
	o.first_unit = list->units;
	if (o.method == METHOD_TABLES) {
		const int64_t left = p->partials_floats - list->partials;
		o.lanes = table_lanes(p, w, o.tokens);
		o.lanes = partial_floats(p, w, o.tokens, o.lanes) <= left ? o.lanes : 0;
		if (partial_floats(p, w, o.tokens, o.lanes) > left) {
			o.method = METHOD_PANEL; // many experts at once
		} else {
			o.chunks = o.units = table_chunks(p, w, o.tokens);
			o.partial = p->partials + list->partials;
			list->partials += partial_floats(p, w, o.tokens, o.lanes);
		}
	}
	if (rounds(&o)) {
		list->rounded_rows = max_i32(list->rounded_rows, o.row + o.tokens);
	}
	if (o.method == METHOD_TOKENS) {
		o.chunks = tokens_runs(p, w, o.tokens, pool_threads(p->d->pool));
		o.units = o.chunks * tokens_blocks(p, o.tokens);
	} else if (o.method == METHOD_PANEL || o.method == METHOD_PANEL8 || o.method == METHOD_PANEL16) {
		o.units = (w->info.rows + AQ_TILE - 1) / AQ_TILE;
	} else if (o.method != METHOD_TABLES) {
		o.units = (w->info.rows + direct_unit_rows(w) - 1) / direct_unit_rows(w);
	}
	list->units += o.units;
	list->items[list->n++] = o;
}

// ---- units --------------------------------------------------------------------------------------------------------

static void dense_unit(program *p, const product *o, int32_t unit) {
	const int32_t rows = direct_unit_rows(o->w), first = unit * rows;
	const dense_args a = {.w = o->w->data + first * o->w->row_bytes, .row_bytes = o->w->row_bytes,
		.type = o->w->info.type, .cols = o->w->info.cols, .rows = min_i32(rows, o->w->info.rows - first),
		.x = o->x, .ldx = o->ldx, .tokens = o->tokens, .y = o->y + first, .ldy = o->ldy,
		.bias = o->bias ? o->bias + first : NULL};
	p->k->dense(&a);
}

static void codes_unit(program *p, const product *o, int32_t unit) {
	const int32_t rows = direct_unit_rows(o->w), first = unit * rows;
	const codes_args a = {.w = o->w, .row = first, .rows = min_i32(rows, o->w->info.rows - first), .x = o->x,
		.ldx = o->ldx, .tokens = o->tokens, .y = o->y + first, .ldy = o->ldy, .bias = o->bias ? o->bias + first : NULL};
	p->k->codes(&a);
}

static void codes8_unit(program *p, const product *o, int32_t unit, worker *worker) {
	const int32_t rows = direct_unit_rows(o->w), first = unit * rows;
	codes8_args a = {.w = o->w, .row = first, .rows = min_i32(rows, o->w->info.rows - first),
		.x = p->x8 + o->row * p->x8_ld, .ldx = p->x8_ld, .unit = p->x8_unit + o->row * (int64_t)p->x8_blocks,
		.x_bias = p->x8_bias + o->row * (int64_t)p->x8_blocks, .y = o->y + first, .ldy = o->ldy,
		.bias = o->bias ? o->bias + first : NULL, .tokens = o->tokens, .x_blocks = p->x8_blocks,
		.workspace = worker->workspace};
	p->k->codes8(&a);
}

static void table_unit(program *p, const product *o, int32_t unit, worker *worker) {
	const int64_t blocks = o->w->blocks, padded = (int64_t)o->w->tiles * AQ_TILE;
	table_args a = {.w = o->w, .x = o->x, .ldx = o->ldx, .tokens = o->tokens, .lanes = o->lanes,
		.y = o->partial + unit * partial_rows(o->tokens, o->lanes) * padded, .workspace = worker->workspace,
		.block = (int32_t)(blocks * unit / o->chunks), .block_end = (int32_t)(blocks * (unit + 1) / o->chunks)};
	if (o->lanes) {
		for (int32_t t = 0; t < o->tokens; t += AQ_TABLE_LANES) {
			a.x = o->x + t * o->ldx;
			a.tokens = min_i32(AQ_TABLE_LANES, o->tokens - t);
			p->k->tables_lanes(&a);
			a.y += padded * o->lanes;
		}
	} else {
		p->k->tables[p->args.precision](&a);
	}
}

static void panel_unit(program *p, const product *o, int32_t unit, worker *worker) {
	const weight *w = o->w;
	const int32_t first = unit * AQ_TILE, rows = min_i32(AQ_TILE, w->info.rows - first);
	const int32_t cols = w->info.cols, step = product_panel_cols(w);
	float *panel = (float *)(void *)worker->workspace;
	float row_scales[AQ_TILE];
	const float *scale = NULL;
	if (w->info.encoding == AQ_ENCODING_AQLM) {
		for (int32_t r = 0; r < rows; r++) {
			row_scales[r] = w->scales[(first + r) / w->info.out_group];
		}
		scale = row_scales;
	}
	for (int32_t col = 0; col < cols; col += step) {
		const int32_t n = min_i32(step, cols - col), padded = (int32_t)round_up(n, AQ_LANES);
		p->k->decode(w, first, rows, col, n, panel, p->panel_ld);
		for (int32_t r = 0; r < rows && n < padded; r++) {
			for (int32_t i = n; i < padded; i++) {
				panel[r * p->panel_ld + i] = 0;
			}
		}
		const gemm_args a = {.w = panel, .ldw = p->panel_ld, .x = o->x + col, .ldx = o->ldx, .y = o->y + first,
			.ldy = o->ldy, .scale = scale, .bias = o->bias ? o->bias + first : NULL, .cols = padded, .rows = rows,
			.tokens = o->tokens, .first = col == 0, .last = col + step >= cols};
		p->k->gemm(&a);
	}
}

static void int_panel_unit(program *p, const product *o, int32_t unit, worker *worker) {
	const int32_t first = unit * AQ_TILE;
	const panel8_args a = {.w = o->w, .row = first, .rows = min_i32(AQ_TILE, o->w->info.rows - first),
		.x = p->x8 + o->row * p->x8_ld, .ldx = p->x8_ld, .unit = p->x8_unit + o->row * (int64_t)p->x8_blocks,
		.x_bias = p->x8_bias + o->row * (int64_t)p->x8_blocks, .y = o->y + first, .ldy = o->ldy,
		.bias = o->bias ? o->bias + first : NULL, .tokens = o->tokens, .x_blocks = p->x8_blocks,
		.workspace = worker->workspace};
	if (o->method == METHOD_PANEL16) {
		p->k->panel16(&a);
	} else {
		p->k->panel8(&a);
	}
}

static void tokens_unit(program *p, const product *o, int32_t unit, worker *worker) {
	const int32_t step = tokens_step(p, o->tokens), first = unit / o->chunks * step, run = unit % o->chunks;
	const int32_t tile = (int32_t)((int64_t)o->w->tiles * run / o->chunks);
	const tokens_args a = {.w = o->w, .x = o->x + first * o->ldx, .ldx = o->ldx, .tokens = min_i32(step, o->tokens - first),
		.y = o->y + first * o->ldy + tile * AQ_TILE, .ldy = o->ldy, .bias = o->bias ? o->bias + tile * AQ_TILE : NULL,
		.tile = tile, .tiles = (int32_t)((int64_t)o->w->tiles * (run + 1) / o->chunks) - tile,
		.workspace = worker->workspace};
	if (fast_tokens(p, o->tokens)) {
		p->k->tokens_fast(&a);
	} else {
		p->k->tokens(&a);
	}
}

static void product_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)c;
	const product_list *list = &p->products;
	int32_t i = list->n - 1;
	while (unit < list->items[i].first_unit) {
		i--;
	}
	const product *o = &list->items[i];
	unit -= o->first_unit;
	switch (o->method) {
	case METHOD_DENSE:
		dense_unit(p, o, unit);
		break;
	case METHOD_CODES:
		codes_unit(p, o, unit);
		break;
	case METHOD_TABLES:
		table_unit(p, o, unit, worker);
		break;
	case METHOD_TOKENS:
		tokens_unit(p, o, unit, worker);
		break;
	case METHOD_CODES8:
		codes8_unit(p, o, unit, worker);
		break;
	case METHOD_PANEL8:
	case METHOD_PANEL16:
		int_panel_unit(p, o, unit, worker);
		break;
	default:
		panel_unit(p, o, unit, worker);
	}
}

// reduce_rows adds the partial sums of weight rows [from, to) for one input row.
static void reduce_rows(const product *o, int32_t t, int32_t from, int32_t to) {
	const int64_t padded = (int64_t)o->w->tiles * AQ_TILE;
	float sum[AQ_LANES];
	for (int32_t r = from; r < to; r += AQ_LANES) {
		const float *q = o->partial + t * padded + r;
		for (int32_t l = 0; l < AQ_LANES; l++) {
			sum[l] = q[l];
		}
		for (int32_t chunk = 1; chunk < o->chunks; chunk++) {
			q += o->tokens * padded;
			for (int32_t l = 0; l < AQ_LANES; l++) {
				sum[l] += q[l];
			}
		}
		float *y = o->y + t * o->ldy + r;
		for (int32_t l = 0; l < min_i32(AQ_LANES, to - r); l++) {
			y[l] = sum[l] * o->w->scales[r + l] + (o->bias ? o->bias[r + l] : 0);
		}
	}
}

// reduce_lanes adds the partial sums of weight rows [from, to) for up to eight input rows from t on.
static void reduce_lanes(const program *p, const product *o, int32_t t, int32_t from, int32_t to) {
	const int64_t padded = (int64_t)o->w->tiles * AQ_TILE, step = partial_rows(o->tokens, o->lanes) * padded;
	const int32_t lanes = o->lanes, n = min_i32(AQ_TABLE_LANES, o->tokens - t);
	for (int32_t r = from; r < to; r++) {
		const int64_t at = r / AQ_TILE * AQ_TILE + tile_byte(p->k->interleaved, r % AQ_TILE);
		const float *q = o->partial + t * padded + at * lanes;
		float sum[AQ_TABLE_LANES] = {0};
		for (int32_t chunk = 0; chunk < o->chunks; chunk++, q += step) {
			for (int32_t l = 0; l < lanes; l++) {
				sum[l] += q[l];
			}
		}
		for (int32_t l = 0; l < n; l++) {
			o->y[(t + l) * o->ldy + r] = sum[l] * o->w->scales[r] + (o->bias ? o->bias[r] : 0);
		}
	}
}

// reduce_run adds the partial sums of REDUCE_ROWS weight rows, for all products and input rows.
static void reduce_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)c;
	(void)worker;
	for (int32_t i = 0; i < p->products.n; i++) {
		const product *o = &p->products.items[i];
		const int32_t from = unit * REDUCE_ROWS, to = min_i32(from + REDUCE_ROWS, o->w->info.rows);
		for (int32_t t = 0; o->method == METHOD_TABLES && t < o->tokens; t += o->lanes ? AQ_TABLE_LANES : 1) {
			if (o->lanes) {
				reduce_lanes(p, o, t, from, to);
			} else {
				reduce_rows(o, t, from, to);
			}
		}
	}
}

// quantize_run rounds QUANTIZE_ROWS rows of input, those that a product wants.
static void quantize_run(program *p, const compiled_op *c, int32_t unit, worker *worker) {
	(void)c;
	(void)worker;
	const product_list *list = &p->products;
	for (int32_t r = unit * QUANTIZE_ROWS; r < min_i32((unit + 1) * QUANTIZE_ROWS, list->rounded_rows); r++) {
		for (int32_t i = 0; i < list->n; i++) {
			const product *o = &list->items[i];
			if (rounds(o) && r >= o->row && r < o->row + o->tokens) {
				(o->method == METHOD_PANEL16 ? p->k->quantize_words : p->k->quantize8)(o->x + (r - o->row) * o->ldx, o->w->info.cols, p->x8 + r * p->x8_ld,
					p->x8_unit + r * (int64_t)p->x8_blocks, p->x8_bias + r * (int64_t)p->x8_blocks);
				break;
			}
		}
	}
}

void products_quantize(program *p, job *out) {
	out->run = quantize_run;
	out->units = (p->products.rounded_rows + QUANTIZE_ROWS - 1) / QUANTIZE_ROWS;
	out->small = p->products.rounded_rows * p->x8_ld <= AQ_SMALL;
}

void products_multiply(program *p, job *out) {
	out->run = product_run;
	out->units = p->products.units;
}

void products_reduce(program *p, job *out) {
	int32_t rows = 0;
	int64_t floats = 0;
	for (int32_t i = 0; i < p->products.n; i++) {
		const product *o = &p->products.items[i];
		if (o->method == METHOD_TABLES) {
			rows = max_i32(rows, o->w->info.rows);
			floats += (int64_t)o->w->info.rows * o->tokens * o->chunks / 4;
		}
	}
	out->run = reduce_run;
	out->units = (rows + REDUCE_ROWS - 1) / REDUCE_ROWS;
	out->small = floats <= AQ_SMALL;
}
