// Internal types of the CPU kernel library.
//
//   api.c      the exported functions              program.c  compile: check, choose, lay out, allocate
//   error.c    the last error of a device          memory.c   arenas
//   machine.c  levels and name of the processor    wait.c     sleeping until a word changes
//   pool.c     threads and units of work           weight.c   weights: storage layouts, repacking at load
//   step.c     running a step                      op_*.c     what an op does in a step, cut into units of work
//   product.c  weights times rows, for op_linear.c and op_experts.c
//   level_*.c  the kernels, compiled once for each instruction set from the same headers (level.h lists them)
//
// A step is a sequence of phases. A phase is n units of work that may run in any order on any thread; an op has one
// or a few phases. How a phase is cut depends on shapes only and every output element is computed by one unit in a
// fixed order, so results do not depend on the number of threads.
#ifndef AQ_INTERNAL_H
#define AQ_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"

enum {
	AQ_ALIGN = 64,         // of every allocation and of every row that vectors are loaded from
	AQ_LANES = 16,         // floats of the widest vector: rows that kernels may read past are padded to it
	AQ_TILE = 64,          // weight rows handled together: a tile of codes, a panel
	AQ_LOOKUPS = 16,       // lookups of a tile between two table builds (LB groups x K codebooks)
	AQ_ENTRIES = 256,      // entries of a table
	AQ_TABLE_TOKENS = 16,  // tokens up to which tables are considered
	AQ_TABLE_LANES = 8,    // most tokens in an entry of a table
	AQ_TOKENS_ROWS = 8192, // rows of a run of tables over tokens: their sums fit the L2 cache
	AQ_DIRECT_TOKENS = 8,  // tokens up to which dense rows are multiplied without a panel
	AQ_PANEL_COLS = 768,   // columns of a panel, about: x rows and panel rows of a register tile fit the L1 cache
	AQ_PANEL8_COLS = 256,  // columns of a panel of bytes
	AQ_BYTES_TOKENS = 12,  // most tokens that are multiplied with bytes without a panel
	AQ_BYTES_COLS = 64,    // inputs that share a unit when they are rounded to bytes
	AQ_MAX_BOOKS = 16,
	AQ_MAX_UNITS = 32,     // chunks that the groups of a weight are cut into
	AQ_ATTN_ROWS = 32,     // query rows of an attention unit
	AQ_ATTN_CHUNK = 256,   // positions that are summed before partial results are merged
	AQ_KV_GROUP = 32,      // columns of a head that share a scale in Q8_0
	AQ_SMALL = 1 << 13     // phases that touch fewer floats are not worth waking a thread
};

typedef struct device device;
typedef struct program program;
typedef struct compiled_op compiled_op;

// ---- weights ------------------------------------------------------------------------------------------------------

enum {
	LAYOUT_NONE,   // vectors only
	LAYOUT_ROWS,   // dense rows as delivered
	LAYOUT_TILES,  // AQLM, one code a byte, tiles of 64 rows: see weight.c
	LAYOUT_CODES   // AQLM, codes (rows/og, groups, K) of one or two bytes, masked to the scheme's bits
};

typedef struct weight {
	aq_weight info;
	int32_t layout;
	int32_t groups;      // cols / in_group
	int32_t code_bytes;  // LAYOUT_CODES
	int32_t tiles;       // LAYOUT_TILES: 64-row tiles ...
	int32_t block;       // ... groups of a block ...
	int32_t blocks;      // ... and blocks
	int64_t row_bytes;   // LAYOUT_ROWS
	uint8_t *data;       // elements or codes
	float *book;         // codebooks (K, 2^B, og, g), or NULL if book16 is kept
	uint16_t *book16;    // the same in F16
	float *book_t;       // tables: codebooks transposed to (K, g, 256) in the order of the level's tables
	int32_t *book_pairs; // the same for tables of int16 products: (K, g/2 rounded up, 256) pairs, times ...
	float *book_step;    // ... (K) the value of 1
	float *book_norm;    // tables: (K) largest norm of an entry
	float *scales;       // (rows/og)
	int16_t *book_i;     // panels of bytes or words: codebooks as integers of book_unit, or ...
	uint8_t *book_8;     // ... as bytes, biased by 128 if the level has panels of bytes, else signed
	float book_unit;
	float words_unit, words_scale; // panels of words: that of book_i, and its inverse, which larger books are rounded with
	_Atomic uint16_t *tops; // panels of bytes of book_i: (tiles, column blocks, 64 rows) the largest sums of entries ...
	_Atomic uint8_t *tops_known; // ... (tiles) if found yet
	_Atomic int32_t bytes_state, words_state; // of what bytes and words have of the books: BOOK_*
	float *values;       // vectors: (cols)
	bool matrix;         // used by a linear op or an embedding
	bool vector;         // used by an op that wants a vector
} weight;

// What is derived from codes and codebooks for panels of bytes is made when it is first needed, because parts arrive in
// any order; delivered parts make it stale.
enum { BOOK_STALE, BOOK_READY, BOOK_BROKEN }; // broken: entries that are not numbers

// ---- kernels of a level -------------------------------------------------------------------------------------------

// One call multiplies a panel of weight rows with tokens: y[t][r] = sum_k w[r][k] x[t][k]. Rows of w are padded with
// zeros, rows of x with anything finite, to a multiple of the vector length.
typedef struct gemm_args {
	const float *w;     // (rows, ldw)
	const float *x;     // (tokens, ldx)
	float *y;           // (tokens, ldy)
	const float *scale; // (rows) or NULL, applied behind the last columns
	const float *bias;  // (rows) or NULL, likewise
	int64_t ldw, ldx, ldy;
	int32_t cols, rows, tokens;
	bool first, last;   // column blocks of the product: start at zero, finish with scale and bias
} gemm_args;

// Dense rows times a few tokens, without a panel.
typedef struct dense_args {
	const uint8_t *w;  // (rows, row_bytes)
	const float *x;    // (tokens, ldx)
	float *y;          // (tokens, ldy)
	const float *bias; // (rows) or NULL
	int64_t row_bytes, ldx, ldy;
	int32_t type, cols, rows, tokens;
} dense_args;

// AQLM rows stored as codes times a few tokens, without a panel; w is LAYOUT_CODES and codes_direct accepts it.
typedef struct codes_args {
	const weight *w;
	const float *x;    // (tokens, ldx)
	float *y;          // (tokens, ldy), row 0 is row `row` of w
	const float *bias; // (rows) or NULL
	int64_t ldx, ldy;
	int32_t row, rows, tokens;
} codes_args;

// Table kernel: partial sums of blocks [block, block_end) for every row: y[t][rows], or, of several tokens at once,
// y[order of bytes in a tile][lanes].
typedef struct table_args {
	const weight *w;
	const float *x;  // (tokens, ldx)
	float *y;        // (tokens, tiles*64) or (tiles*64, lanes), set
	void *workspace; // kernels.table_bytes
	int64_t ldx;
	int32_t block, block_end, tokens, lanes;
} table_args;

// Tables over tokens: a run of tiles times up to kernels.tokens_step (tokens_fast_step) tokens.
typedef struct tokens_args {
	const weight *w;
	const float *x;     // (tokens, ldx)
	float *y;           // (tokens, ldy), row 0 is the first of the run
	const float *bias;  // of the run's rows or NULL
	uint8_t *workspace; // sums: 32 bytes a row, fast: 96
	int64_t ldx, ldy;
	int32_t tokens, tile, tiles;
} tokens_args;

// A tile of AQLM rows times many tokens that were rounded to bytes or words, see bytes_weight and words_weight.
typedef struct panel8_args {
	const weight *w;
	const int8_t *x;       // (tokens, ldx) bytes, zero behind the last column
	const float *unit;     // (tokens, x_blocks) value of one, for AQ_BYTES_COLS columns
	const int32_t *x_bias; // (tokens, x_blocks) bytes: -128 times their sum
	float *y;              // (tokens, ldy), row 0 is row `row` of w
	const float *bias;     // (rows) or NULL
	uint8_t *workspace;    // AQ_PANEL8_COLS x AQ_TILE
	int64_t ldx, ldy;
	int32_t row, rows, tokens, x_blocks;
} panel8_args;

// AQLM rows of a weight with book_8 times a few tokens that were rounded; as in panel8_args.
typedef struct codes8_args {
	const weight *w;
	const int8_t *x;   // of the level's x8_bytes
	const float *unit;
	const int32_t *x_bias;
	float *y;          // (tokens, ldy), row 0 is row `row` of w
	const float *bias; // (rows) or NULL
	int64_t ldx, ldy;
	int32_t row, rows, tokens, x_blocks;
	uint8_t *workspace; // of several tokens on AVX-512: 64 bytes a group and a block of AQ_BYTES_COLS columns
	float correction[AQ_BYTES_TOKENS]; // (tokens) the kernel's
} codes8_args;

// Attention of query rows that share one KV head over positions [from, to), a running softmax that starts empty.
typedef struct attn_args {
	const float *q;      // (rows, pad)
	const int32_t *pos;  // (rows) position of each row; rows of one token are neighbours
	const int32_t *blocks; // KV block of each 32 positions
	const uint8_t *kv;   // KV cache
	int64_t block_bytes; // from one block to the next
	int64_t k, v;        // offsets of the head's keys and values in a block, see k_kv.h
	float *max, *sum;    // (rows) out
	float *acc;          // (rows, pad) out
	float *workspace;    // (rows, 32) scores
	float scale, cap;
	int32_t rows, dim, pad, from, to, window; // pad: dim padded
	int32_t type;        // of the cache
} attn_args;

typedef struct kernels {
	const char *name;
	bool interleaved;  // order of the rows in a tile: byte 4i+j holds row 16j+i, not row b at byte b
	bool book16;       // decodes F16 codebooks quickly
	bool pairs;        // precisions other than exact multiply pairs of int16, of book_pairs ...
	bool fast_pairs;   // ... and fast never needs book_t
	// Fast arithmetic that auto precision takes, because it was shown to keep perplexity: see backends/RATIONALE.md.
	bool auto_tokens;
	int64_t table_bytes;
	// Estimated cycles, for the choice between tables and panels: of a lookup and of a table entry for each input of a
	// group, by AQ_PRECISION_*; the same for four and for eight lanes; of decoding one code of eight inputs; of a
	// multiply-add.
	float cost_lookup[3], cost_entry[3], cost_lanes[2], cost_lanes_entry[2], cost_decode, cost_fma;

	void (*to_f32)(float *dst, const void *src, int32_t type, int64_t n);
	void (*norm)(float *out, const float *in, const float *gain, const float *bias, int32_t width, int32_t type,
		float eps, float plus);
	void (*glu)(float *out, const float *gate, const float *up, int32_t act, int64_t n);
	void (*add)(float *out, const float *x, const float *y, float scale, int64_t n);
	void (*scale)(float *out, const float *in, float scale, float cap, int64_t n);
	void (*rope)(float *x, const float *cos_sin, int32_t heads, int32_t dim, int32_t rotated, int32_t pairing);
	void (*decode)(const weight *w, int32_t row, int32_t rows, int32_t col, int32_t cols, float *panel, int64_t ld);
	void (*gemm)(const gemm_args *a);
	void (*dense)(const dense_args *a);
	void (*codes)(const codes_args *a); // NULL: the level decodes to panels only
	void (*kv_store)(uint8_t *keys, uint8_t *values, const float *k, const float *v, int32_t slot, int32_t dim,
		int32_t pad, int32_t type);
	void (*attention)(const attn_args *a);
	void (*merge)(float *max, float *sum, float *acc, float max2, float sum2, const float *acc2, int32_t n);
	void (*tables[3])(const table_args *a); // by AQ_PRECISION_*; NULL: the level has none
	void (*tables_lanes)(const table_args *a); // exact, up to 8 tokens at once; reads book_t
	const char *tables_name[3];
	// Tables over tokens, exact and, if the level has them, fast. Cycles of a lookup of a row, and of a table entry for
	// each input of a group, for a whole step of tokens.
	void (*tokens)(const tokens_args *a);
	void (*tokens_fast)(const tokens_args *a);
	int32_t tokens_step, tokens_fast_step;
	float cost_tokens_lookup, cost_tokens_entry, cost_tokens_fast_lookup, cost_tokens_fast_entry;
	// Entries as bytes, for the fast precision, in panels (if the level has them) and, up to bytes_tokens tokens and
	// bytes_books books, without. Inputs are rounded to x8_bytes bytes each. bytes_book NULL: the level has neither.
	void (*quantize8)(const float *x, int32_t cols, int8_t *q, float *unit, int32_t *bias);
	bool (*bytes_book)(weight *w);
	void (*panel8)(const panel8_args *a);
	void (*codes8)(codes8_args *a);
	int32_t x8_bytes, bytes_tokens, bytes_books;
	// Entries as words in panels, for precision auto, with inputs rounded to words. NULL: the level has none. Cycles as above.
	void (*quantize_words)(const float *x, int32_t cols, int8_t *q, float *unit, int32_t *bias);
	bool (*words_book)(weight *w);
	void (*panel16)(const panel8_args *a);
	float cost_decode16, cost_madd16;
} kernels;

const kernels *aq_level_baseline(void);
const kernels *aq_level_avx2(void);
const kernels *aq_level_avx512(void);
const kernels *aq_level_dotprod(void);

uint32_t machine_levels(void); // bit AQ_LEVEL_* is set where processor and operating system can run the level
const kernels *machine_kernels(int32_t level); // of a level that they can run
void machine_name(char name[AQ_NAME_BYTES]);   // of the processor, zero-terminated

// ---- threads ------------------------------------------------------------------------------------------------------

// A worker is a thread's identity in the pool and its workspace.
typedef struct worker {
	struct pool *pool;
	uint8_t *workspace;
	int32_t id;
} worker;

typedef struct job {
	void (*run)(program *p, const compiled_op *op, int32_t unit, worker *w);
	const compiled_op *op;
	int32_t units;
	bool small; // run on one thread
} job;

typedef struct pool pool;

// wait_word sleeps while *word is value, until wake_waiters; it may return early.
void wait_word(uint32_t *word, uint32_t value);
void wake_waiters(uint32_t *word);

// spin_pause gives a loop that waits for memory some ten cycles of rest. The arm64 hint for it, yield, takes no time on
// most processors; isb waits for the pipeline.
static inline void spin_pause(void) {
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

int32_t pool_open(pool **out, int32_t threads);
void pool_close(pool *p);
int32_t pool_threads(const pool *p);
// pool_run runs the phases that next yields until it returns false. next runs on one thread at a time; what it and
// the units wrote before is visible to it.
void pool_run(pool *p, program *ctx, bool (*next)(program *ctx, worker *w, job *out), uint8_t *workspaces,
	int64_t workspace_bytes);

// ---- memory -------------------------------------------------------------------------------------------------------

// An arena is laid out twice by the same code: first without memory, which only counts, then over it.
typedef struct arena {
	uint8_t *base;
	int64_t used;  // bytes given out
	int64_t mapped;
	bool overflow;
} arena;

void *arena_take(arena *a, int64_t count, int64_t bytes);
bool arena_map(arena *a, bool huge_pages); // maps a->used zeroed bytes and starts over
void arena_free(arena *a);

// ---- devices and programs -------------------------------------------------------------------------------------------

struct device {
	uint64_t magic;
	const kernels *k;
	pool *pool;
	int32_t level;
	_Atomic int32_t programs;
	atomic_flag error_lock;
	aq_error error;
};

// fail notes an error on the device and returns status.
int32_t fail(device *d, int32_t status, int64_t bytes, const char *format, ...) __attribute__((format(printf, 4, 5)));
// error_read copies the last error.
void error_read(device *d, aq_error *out);

enum { METHOD_DENSE, METHOD_CODES, METHOD_CODES8, METHOD_TABLES, METHOD_PANEL, METHOD_PANEL8, METHOD_PANEL16, METHOD_TOKENS }; // see product.c

// A product is a weight times some rows of input.
typedef struct product {
	const weight *w;
	const float *bias; // or NULL
	const float *x;    // (tokens, ldx), readable up to whole vectors of the weight's columns
	float *y;          // (tokens, ldy)
	float *partial;    // METHOD_TABLES: (chunks, tokens, tiles*64), or (chunks, ceil(tokens/8), tiles*64, lanes)
	int64_t ldx, ldy;
	int32_t row;       // of the op's input: products with the same rows share what is made of them
	int32_t tokens, method, chunks, lanes, first_unit, units;
} product;

// The products that one op multiplies in a phase.
typedef struct product_list {
	product *items; // as many as the op with the most has
	int32_t n, units;
	int32_t rounded_rows; // rows of input that some method rounds to bytes or words
	int64_t partials; // floats of program.partials in use
} product_list;

// Sines and cosines of a step, for one table of frequencies or for two, of short and of long sequences.
typedef struct rope_slot {
	int32_t weight, long_weight, limit, rotated;
	float factor;
	float *cos_sin; // (max_tokens, rotated): cosines, then sines
	uint64_t step;  // it holds
} rope_slot;

typedef struct attn_state {
	int32_t tile_tokens, head_split, tiles, chunks;
	bool split; // position chunks are separate units
} attn_state;

struct compiled_op {
	aq_op op;
	int32_t slot;     // rope slot
	int64_t kv_k, kv_v; // attention: offsets of the layer in a KV block
	int64_t kv_head;  // bytes from one KV head to the next
	int32_t dim_pad;  // attention: dim padded to whole vectors, or groups of Q8_0
};

struct program {
	uint64_t magic;
	device *d;
	const kernels *k;
	aq_compile_args args; // sizes; its pointers are not valid any more
	compiled_op *ops;
	aq_buffer *buffers;
	float **buffer_data;
	weight *weights;
	aq_kv_layer *layers;
	rope_slot *slots;
	int32_t n_slots;
	arena tables_mem, weight_mem, kv_mem, scratch_mem;

	uint8_t *kv;
	int64_t kv_block_bytes;

	uint8_t *workspaces;
	int64_t workspace_bytes; // of one thread
	int64_t panel_ld;
	float *xpad;      // (max rows, xpad_ld)
	int64_t xpad_ld;
	float *partials;
	int64_t partials_floats;
	int8_t *x8;       // (max rows, x8_ld) inputs rounded to bytes
	int64_t x8_ld;
	float *x8_unit;   // (max rows, x8_blocks)
	int32_t *x8_bias; // likewise
	int32_t x8_blocks;
	float *attn_partials;
	int64_t attn_partials_floats;
	int32_t *seq_tiles; // (max_seqs + 1) first attention tile of each sequence
	int32_t *token_pos; // (max_tokens) position of each token
	int32_t *token_seq; // (max_tokens) sequence of each token
	float *expert_inputs;  // (uses, cols padded) gathered rows of an experts op
	float *expert_results; // its gathered results, one output behind the other
	int32_t *uses;         // (uses) row * slots + slot, sorted by expert
	int32_t *use_starts;   // (experts + 2) first use of each expert

	// the step in progress
	uint64_t step;
	aq_run_args run;
	const int32_t *tokens, *blocks, *outputs;
	const aq_seq *seqs;
	int32_t op, op_end, phase;
	product_list products;
	attn_state attn;
};

int32_t program_compile(device *d, aq_compile_args *args);
void program_free(program *p);
void step_run(program *p, aq_run_args *args);

// weight_layout chooses the storage of w and takes its memory from a.
void weight_layout(program *p, weight *w, arena *a);
int32_t weight_write(program *p, const aq_write_args *args);
void weight_kernel_name(const program *p, const weight *w, char *name);

// Rows and pointers of operands in the current step.
static inline int32_t buffer_rows(const program *p, int32_t buffer) {
	return p->buffers[buffer].rows == AQ_ROWS_TOKEN ? p->run.n_tokens : p->run.n_outputs;
}
static inline float *ref_data(const program *p, aq_ref r) { return p->buffer_data[r.buffer] + r.offset; }
static inline int64_t ref_stride(const program *p, aq_ref r) { return p->buffers[r.buffer].width; }

// Plan functions set *out to phase number `phase` of the op, or return false behind the last one.
bool embed_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool norm_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool linear_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool rope_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool attention_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool glu_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool add_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool select_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool scale_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool route_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool experts_plan(program *p, const compiled_op *op, int32_t phase, job *out);
bool mix_plan(program *p, const compiled_op *op, int32_t phase, job *out);

// Products: an op lists them between products_begin and the phases products_quantize, products_multiply and
// products_reduce.
void products_begin(program *p);
void product_add(program *p, product o); // w, bias, x, y, their strides, row and tokens are set
void products_quantize(program *p, job *out);
void products_multiply(program *p, job *out);
void products_reduce(program *p, job *out);
// pad_row copies a row and sets what follows up to whole vectors to zero.
void pad_row(float *to, const float *from, int64_t cols);

// Sizes of scratch memory that op files need, for program.c.
int64_t product_partials(const program *p, const weight *w, int32_t tokens);
int32_t product_panel_cols(const weight *w);
int64_t product_workspace(const program *p, const weight *w); // bytes, besides panels of fp32
bool bytes_weight(const program *p, const weight *w);
bool words_weight(const program *p, const weight *w);
int64_t linear_partials(const program *p, const aq_op *op);
int32_t experts_uses(const program *p, const aq_op *op);
int64_t experts_partials(const program *p, const aq_op *op);
int64_t experts_results(const program *p, const aq_op *op);
int64_t attention_workspace(int32_t dim_pad);
int64_t attention_partials(const program *p, const aq_op *op);

// codes_direct says whether the codes kernel takes the weight: one or two codebooks, groups of 8 or 16 inputs.
static inline bool codes_direct(const weight *w) {
	return w->layout == LAYOUT_CODES && w->code_bytes == 2 && w->info.out_group == 1 && w->info.books <= 2 &&
		(w->info.in_group == 8 || w->info.in_group == 16);
}

static inline int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
static inline int32_t min_i32(int32_t a, int32_t b) { return a < b ? a : b; }
static inline int32_t max_i32(int32_t a, int32_t b) { return a > b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

// Row of a tile that byte b of a tile's run of codes belongs to.
static inline int32_t tile_row(bool interleaved, int32_t b) { return interleaved ? (b & 3) << 4 | b >> 2 : b; }
static inline int32_t tile_byte(bool interleaved, int32_t r) { return interleaved ? (r & 15) << 2 | r >> 4 : r; }

#endif
