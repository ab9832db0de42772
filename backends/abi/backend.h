// The C ABI between aquifer and a kernel library.
//
// Every function takes one pointer to a struct whose first field is the struct's size, and returns an aq_status.
// There are only fixed-width integers, padding is spelled out, addresses travel as uint64_t. The library keeps no
// pointer it is given after the call returns, calls nothing back, prints nothing, reads no environment and never
// ends the process. package abi (Go) mirrors this file; a test compares both field by field.
//
// Conventions of runtime/plan apply: matrices are row-major, activation buffers are (rows, width) float32.
#ifndef AQ_BACKEND_H
#define AQ_BACKEND_H

#include <stdint.h>

#if defined(_WIN32)
#define AQ_API __declspec(dllexport)
#else
#define AQ_API __attribute__((visibility("default")))
#endif

enum {
	AQ_ABI_VERSION = 3,
	AQ_KV_LAYOUT = 1,    // changes whenever the bytes of a KV block come to mean something else (csrc/k_kv.h)
	AQ_KV_BLOCK = 32,    // positions in a KV block
	AQ_NAME_BYTES = 64,  // of a kernel or processor name, zero-terminated
	AQ_ERROR_BYTES = 256 // of an error text, zero-terminated
};

// aq_status is what every function returns. The text behind a failure is in aq_last_error.
enum {
	AQ_STATUS_OK = 0,
	AQ_STATUS_INVALID = 1,     // an argument breaks a rule
	AQ_STATUS_UNSUPPORTED = 2, // a valid request that this library has no kernel for
	AQ_STATUS_MEMORY = 3,      // an allocation failed; aq_error.bytes says how much was asked for
	AQ_STATUS_SYSTEM = 4       // the operating system refused something else, such as a thread
};

// Op kinds, plan.Kind.
enum {
	AQ_OP_EMBED = 0,
	AQ_OP_NORM = 1,
	AQ_OP_LINEAR = 2,
	AQ_OP_ROPE = 3,
	AQ_OP_ATTENTION = 4,
	AQ_OP_GLU = 5,
	AQ_OP_ADD = 6,
	AQ_OP_SELECT = 7,
	AQ_OP_SCALE = 8,
	AQ_OP_ROUTE = 9,
	AQ_OP_EXPERTS = 10,
	AQ_OP_MIX = 11,
	AQ_OP_COUNT = 12
};

// The names of the op kinds in order, joined by spaces: aq_abi_info.op_hash is the FNV-1a hash of this text.
#define AQ_OP_NAMES "embed norm linear rope attention glu add select scale route experts mix"

// Element types, plan.DType.
enum {
	AQ_DTYPE_F32 = 0,
	AQ_DTYPE_F16 = 1,
	AQ_DTYPE_BF16 = 2,
	AQ_DTYPE_I8 = 3,
	AQ_DTYPE_I16 = 4,
	AQ_DTYPE_I32 = 5,
	AQ_DTYPE_Q8_0 = 6,
	AQ_DTYPE_COUNT = 7
};

enum { AQ_ROWS_TOKEN = 0, AQ_ROWS_OUTPUT = 1 };                                        // plan.Rows
enum { AQ_ENCODING_DENSE = 0, AQ_ENCODING_AQLM = 1 };                                  // plan.Encoding
enum { AQ_PART_ELEMENTS = 0, AQ_PART_CODES = 1, AQ_PART_CODEBOOKS = 2, AQ_PART_SCALES = 3 }; // plan.Part
enum { AQ_NORM_RMS = 0, AQ_NORM_LAYER = 1 };                                           // plan.NormType
enum { AQ_ROPE_HALF = 0, AQ_ROPE_NEIGHBOURS = 1 };                                     // plan.RopePairing
enum { AQ_ACT_SILU = 0, AQ_ACT_GELU_TANH = 1, AQ_ACT_GELU_ERF = 2 };                   // plan.Activation
enum { AQ_PRECISION_EXACT = 0, AQ_PRECISION_FAST = 1, AQ_PRECISION_AUTO = 2 };         // backends.Precision
// Levels of all architectures, a higher one with a higher number.
enum {
	AQ_LEVEL_BEST = 0,
	AQ_LEVEL_BASELINE = 1, // what every processor of the architecture has
	AQ_LEVEL_AVX2 = 2,
	AQ_LEVEL_AVX512 = 3,
	AQ_LEVEL_DOTPROD = 4, // arm64
	AQ_LEVEL_COUNT = 5
};
enum { AQ_COMPILE_MEASURE = 1 }; // aq_compile_args.flags: only fill in the memory sizes

// ---- the plan's tables ------------------------------------------------------------------------------------------

// aq_ref names columns of a buffer, plan.Ref; buffer -1 is the absent operand.
typedef struct aq_ref {
	int32_t buffer;
	int32_t offset;
} aq_ref;

// aq_op is one op record, plan.Op; the op set is described there.
typedef struct aq_op {
	uint16_t kind;
	uint16_t flags;
	aq_ref in[4];
	aq_ref out[4];
	int32_t w[8];
	int32_t i[8];
	float f[4];
} aq_op;

// aq_buffer is an activation buffer, plan.Buffer.
typedef struct aq_buffer {
	int32_t rows; // AQ_ROWS_*
	int32_t width;
} aq_buffer;

// aq_weight describes a weight, plan.WeightInfo.
typedef struct aq_weight {
	int32_t rows;
	int32_t cols;
	uint8_t encoding;  // AQ_ENCODING_*
	uint8_t type;      // dense: of the elements
	uint8_t codes;     // AQLM: element types of the parts
	uint8_t codebooks;
	uint8_t scales;
	uint8_t reserved[3];
	int32_t books;     // AQLM: the scheme
	int32_t bits;
	int32_t in_group;
	int32_t out_group;
} aq_weight;

// aq_kv_layer is what an attention layer keeps for each position, plan.KVLayer.
typedef struct aq_kv_layer {
	int32_t heads;
	int32_t dim;
} aq_kv_layer;

// aq_seq is the share of one sequence in a step, backends.Run.
typedef struct aq_seq {
	int32_t pos;
	int32_t n;
	int32_t block;  // index of its first entry in aq_run_args.blocks
	int32_t blocks; // entries
	int32_t length; // tokens known of the sequence, at least pos + n
} aq_seq;

// ---- arguments of the functions ---------------------------------------------------------------------------------

typedef struct aq_abi_info {
	uint32_t size;
	uint32_t version;    // out: AQ_ABI_VERSION
	uint64_t op_hash;    // out
	char build_id[32];   // out, zero-terminated
	uint32_t structs;    // out: entries of struct_sizes in use
	uint32_t struct_sizes[19]; // out: sizeof each struct of this file, in file order
} aq_abi_info;

typedef struct aq_open_args {
	uint32_t size;
	int32_t threads; // at least 1, the calling thread included
	int32_t level;   // AQ_LEVEL_*
	int32_t reserved;
	uint64_t device; // out
} aq_open_args;

typedef struct aq_close_args {
	uint32_t size;
	int32_t reserved;
	uint64_t device; // without programs
} aq_close_args;

typedef struct aq_info_args {
	uint32_t size;
	int32_t threads; // out
	int32_t level;   // out
	uint32_t levels; // out: bit AQ_LEVEL_* is set where this machine can run the level
	uint64_t device; // 0: only levels and processor
	char processor[AQ_NAME_BYTES]; // out
} aq_info_args;

// aq_compile checks the tables, chooses kernels and allocates. Weights are undefined and the KV cache is zero.
typedef struct aq_compile_args {
	uint32_t size;
	uint32_t flags; // AQ_COMPILE_*
	uint64_t device;
	uint64_t ops;     // const aq_op *
	uint64_t buffers; // const aq_buffer *
	uint64_t weights; // const aq_weight *
	uint64_t layers;  // const aq_kv_layer *
	int32_t n_ops;
	int32_t n_buffers;
	int32_t n_weights;
	int32_t n_layers;
	int32_t logits;   // buffer or -1
	int32_t features; // buffer or -1
	int32_t vocab;
	int32_t max_pos;
	int32_t precision; // AQ_PRECISION_*
	int32_t kv_type;   // AQ_DTYPE_F32, AQ_DTYPE_F16 or AQ_DTYPE_Q8_0
	int32_t kv_blocks;
	int32_t max_tokens;
	int32_t max_seqs;
	int32_t max_outputs;
	int64_t weight_bytes;  // out
	int64_t kv_bytes;      // out
	int64_t scratch_bytes; // out
	int64_t kv_block_bytes; // out: of one KV block
	uint64_t program;      // out
} aq_compile_args;

typedef struct aq_program_args {
	uint32_t size;
	int32_t reserved;
	uint64_t program;
} aq_program_args;

// aq_write delivers rows of one part of a weight. Calls for disjoint rows may run at the same time.
typedef struct aq_write_args {
	uint32_t size;
	int32_t weight;
	int32_t part; // AQ_PART_*
	int32_t first;
	int32_t rows;
	int32_t reserved;
	uint64_t program;
	uint64_t data;
	int64_t bytes;
} aq_write_args;

// aq_run runs ops [op_from, op_to) of a step. op_from > 0 continues the step of the previous call. The caller has
// checked the step (backends.Step.Check).
typedef struct aq_run_args {
	uint32_t size;
	int32_t n_tokens;
	int32_t n_seqs;
	int32_t n_outputs;
	int32_t op_from;
	int32_t op_to;
	uint64_t program;
	uint64_t tokens;  // const int32_t *
	uint64_t seqs;    // const aq_seq *
	uint64_t blocks;  // const int32_t *
	uint64_t outputs; // const int32_t *
	uint64_t logits;   // out: const float *, (n_outputs, vocab), valid until the next aq_run
	uint64_t features; // out: likewise, 0 without features
} aq_run_args;

// aq_read copies rows of a buffer.
typedef struct aq_read_args {
	uint32_t size;
	int32_t buffer;
	int32_t rows;
	int32_t reserved;
	uint64_t program;
	uint64_t data; // float *, (rows, width)
} aq_read_args;

// aq_copy copies a KV block.
typedef struct aq_copy_args {
	uint32_t size;
	int32_t dst;
	int32_t src;
	int32_t reserved;
	uint64_t program;
} aq_copy_args;

// aq_block_read copies a KV block out, aq_block_write in. Blocks of programs with the same kv_type and layers lie alike.
typedef struct aq_block_args {
	uint32_t size;
	int32_t block;
	uint64_t program;
	uint64_t data; // uint8_t *
	int64_t bytes; // kv_block_bytes
} aq_block_args;

// aq_kernel names the kernel chosen for a weight.
typedef struct aq_kernel_args {
	uint32_t size;
	int32_t weight;
	uint64_t program;
	char name[AQ_NAME_BYTES]; // out
} aq_kernel_args;

// aq_last_error describes the last failure of a device or of its programs; device 0: of aq_open.
typedef struct aq_error {
	uint32_t size;
	int32_t status; // out
	uint64_t device;
	int64_t bytes;  // out: of a failed allocation
	char text[AQ_ERROR_BYTES]; // out
} aq_error;

AQ_API int32_t aq_abi(aq_abi_info *args);
AQ_API int32_t aq_open(aq_open_args *args);
AQ_API int32_t aq_close(aq_close_args *args);
AQ_API int32_t aq_info(aq_info_args *args);
AQ_API int32_t aq_compile(aq_compile_args *args);
AQ_API int32_t aq_program_free(aq_program_args *args);
AQ_API int32_t aq_write(aq_write_args *args);
AQ_API int32_t aq_run(aq_run_args *args);
AQ_API int32_t aq_read(aq_read_args *args);
AQ_API int32_t aq_copy(aq_copy_args *args);
AQ_API int32_t aq_block_read(aq_block_args *args);
AQ_API int32_t aq_block_write(aq_block_args *args);
AQ_API int32_t aq_kernel(aq_kernel_args *args);
AQ_API int32_t aq_last_error(aq_error *args);

#endif
