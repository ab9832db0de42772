// The exported functions: they check handles and sizes and leave the work to the other files.
#include <stdlib.h>
#include <string.h>

#include "aq.h"

#ifndef AQ_BUILD_ID
#define AQ_BUILD_ID "unknown"
#endif

static const uint64_t device_magic = 0x6171756966657264, program_magic = 0x6171756966657270;

// Errors of aq_open, which has no device to keep them.
static device no_device = {.error_lock = ATOMIC_FLAG_INIT};

static device *device_of(uint64_t handle) {
	device *d = (device *)(uintptr_t)handle;
	return d && d->magic == device_magic ? d : NULL;
}

static program *program_of(uint64_t handle) {
	program *p = (program *)(uintptr_t)handle;
	return p && p->magic == program_magic ? p : NULL;
}

int32_t aq_last_error(aq_error *args) {
	if (args->size != sizeof *args) {
		return AQ_STATUS_INVALID;
	}
	device *d = args->device ? device_of(args->device) : &no_device;
	if (!d) {
		return AQ_STATUS_INVALID;
	}
	error_read(d, args);
	return AQ_STATUS_OK;
}

// ---- library and device ---------------------------------------------------------------------------------------------

int32_t aq_abi(aq_abi_info *args) {
	if (args->size != sizeof *args) {
		return AQ_STATUS_INVALID;
	}
	static const uint32_t sizes[] = {sizeof(aq_ref), sizeof(aq_op), sizeof(aq_buffer), sizeof(aq_weight),
		sizeof(aq_kv_layer), sizeof(aq_seq), sizeof(aq_abi_info), sizeof(aq_open_args), sizeof(aq_close_args),
		sizeof(aq_info_args), sizeof(aq_compile_args), sizeof(aq_program_args), sizeof(aq_write_args),
		sizeof(aq_run_args), sizeof(aq_read_args), sizeof(aq_copy_args), sizeof(aq_block_args),
		sizeof(aq_kernel_args), sizeof(aq_error)};
	args->version = AQ_ABI_VERSION;
	uint64_t hash = 0xcbf29ce484222325;
	for (const char *s = AQ_OP_NAMES; *s; s++) {
		hash = (hash ^ (uint8_t)*s) * 0x100000001b3;
	}
	args->op_hash = hash;
	memset(args->build_id, 0, sizeof args->build_id);
	memcpy(args->build_id, AQ_BUILD_ID, sizeof AQ_BUILD_ID - 1 < 31 ? sizeof AQ_BUILD_ID - 1 : 31);
	args->structs = sizeof sizes / sizeof *sizes;
	memset(args->struct_sizes, 0, sizeof args->struct_sizes);
	memcpy(args->struct_sizes, sizes, sizeof sizes);
	return AQ_STATUS_OK;
}

// best_level returns the highest of the levels in a set of bits: their numbers ascend.
static int32_t best_level(uint32_t levels) { return 31 - __builtin_clz(levels); }

int32_t aq_open(aq_open_args *args) {
	if (args->size != sizeof *args) {
		return AQ_STATUS_INVALID;
	}
	const uint32_t have = machine_levels();
	const int32_t level = args->level == AQ_LEVEL_BEST ? best_level(have) : args->level;
	if (level < 0 || level >= AQ_LEVEL_COUNT || args->threads < 1 || args->threads > 1024) {
		return fail(&no_device, AQ_STATUS_INVALID, 0, "level %d with %d threads", level, args->threads);
	}
	if (!(have & 1u << level)) {
		return fail(&no_device, AQ_STATUS_UNSUPPORTED, 0, "this processor cannot run level %d", level);
	}
	device *d = calloc(1, sizeof *d);
	if (!d) {
		return fail(&no_device, AQ_STATUS_MEMORY, sizeof *d, "device");
	}
	d->level = level;
	d->k = machine_kernels(level);
	atomic_flag_clear(&d->error_lock);
	int32_t status = pool_open(&d->pool, args->threads);
	if (status) {
		free(d);
		return fail(&no_device, status, 0, "starting %d threads", args->threads);
	}
	d->magic = device_magic;
	args->device = (uint64_t)(uintptr_t)d;
	return AQ_STATUS_OK;
}

int32_t aq_close(aq_close_args *args) {
	device *d = args->size == sizeof *args ? device_of(args->device) : NULL;
	if (!d) {
		return AQ_STATUS_INVALID;
	}
	if (atomic_load(&d->programs)) {
		return fail(d, AQ_STATUS_INVALID, 0, "%d programs are still open", atomic_load(&d->programs));
	}
	pool_close(d->pool);
	d->magic = 0;
	free(d);
	return AQ_STATUS_OK;
}

int32_t aq_info(aq_info_args *args) {
	device *d = args->device ? device_of(args->device) : NULL;
	if (args->size != sizeof *args || (args->device && !d)) {
		return AQ_STATUS_INVALID;
	}
	args->threads = d ? pool_threads(d->pool) : 0;
	args->level = d ? d->level : 0;
	args->levels = machine_levels();
	machine_name(args->processor);
	return AQ_STATUS_OK;
}

// ---- programs -------------------------------------------------------------------------------------------------------

int32_t aq_compile(aq_compile_args *args) {
	device *d = args->size == sizeof *args ? device_of(args->device) : NULL;
	if (!d) {
		return AQ_STATUS_INVALID;
	}
	args->program = 0;
	int32_t status = program_compile(d, args);
	if (status == AQ_STATUS_OK && args->program) {
		((program *)(uintptr_t)args->program)->magic = program_magic;
		atomic_fetch_add(&d->programs, 1);
	}
	return status;
}

int32_t aq_program_free(aq_program_args *args) {
	program *p = args->size == sizeof *args ? program_of(args->program) : NULL;
	if (!p) {
		return AQ_STATUS_INVALID;
	}
	atomic_fetch_sub(&p->d->programs, 1);
	p->magic = 0;
	program_free(p);
	return AQ_STATUS_OK;
}

int32_t aq_write(aq_write_args *args) {
	program *p = args->size == sizeof *args ? program_of(args->program) : NULL;
	if (!p) {
		return AQ_STATUS_INVALID;
	}
	if (args->weight < 0 || args->weight >= p->args.n_weights || args->rows < 0 || args->first < 0 || !args->data) {
		return fail(p->d, AQ_STATUS_INVALID, 0, "write to weight %d", args->weight);
	}
	return weight_write(p, args);
}

int32_t aq_run(aq_run_args *args) {
	program *p = args->size == sizeof *args ? program_of(args->program) : NULL;
	if (!p) {
		return AQ_STATUS_INVALID;
	}
	if (args->n_tokens < 1 || args->n_tokens > p->args.max_tokens || args->n_seqs < 1 ||
		args->n_seqs > p->args.max_seqs || args->n_outputs < 0 || args->n_outputs > p->args.max_outputs ||
		args->op_from < 0 || args->op_from > args->op_to || args->op_to > p->args.n_ops) {
		return fail(p->d, AQ_STATUS_INVALID, 0, "step of %d tokens, %d sequences, %d outputs", args->n_tokens,
			args->n_seqs, args->n_outputs);
	}
	step_run(p, args);
	return AQ_STATUS_OK;
}

int32_t aq_read(aq_read_args *args) {
	program *p = args->size == sizeof *args ? program_of(args->program) : NULL;
	if (!p) {
		return AQ_STATUS_INVALID;
	}
	if (args->buffer < 0 || args->buffer >= p->args.n_buffers || args->rows < 0 ||
		args->rows > buffer_rows(p, args->buffer)) {
		return fail(p->d, AQ_STATUS_INVALID, 0, "read of %d rows of buffer %d", args->rows, args->buffer);
	}
	memcpy((void *)(uintptr_t)args->data, p->buffer_data[args->buffer],
		(size_t)args->rows * (size_t)p->buffers[args->buffer].width * sizeof(float));
	return AQ_STATUS_OK;
}

int32_t aq_copy(aq_copy_args *args) {
	program *p = args->size == sizeof *args ? program_of(args->program) : NULL;
	if (!p) {
		return AQ_STATUS_INVALID;
	}
	if (args->dst < 0 || args->dst >= p->args.kv_blocks || args->src < 0 || args->src >= p->args.kv_blocks) {
		return fail(p->d, AQ_STATUS_INVALID, 0, "copy of KV block %d to %d of %d", args->src, args->dst, p->args.kv_blocks);
	}
	if (args->dst != args->src) {
		memcpy(p->kv + args->dst * p->kv_block_bytes, p->kv + args->src * p->kv_block_bytes, (size_t)p->kv_block_bytes);
	}
	return AQ_STATUS_OK;
}

// block_of returns where a KV block lies; NULL, with status, if the arguments break a rule.
static uint8_t *block_of(const aq_block_args *args, int32_t *status) {
	program *p = args->size == sizeof *args ? program_of(args->program) : NULL;
	*status = AQ_STATUS_INVALID;
	if (!p) {
		return NULL;
	}
	if (args->block < 0 || args->block >= p->args.kv_blocks || args->bytes != p->kv_block_bytes || !args->data) {
		*status = fail(p->d, AQ_STATUS_INVALID, 0, "%ld bytes of KV block %d of %d, a block has %ld", (long)args->bytes,
			args->block, p->args.kv_blocks, (long)p->kv_block_bytes);
		return NULL;
	}
	*status = AQ_STATUS_OK;
	return p->kv + args->block * p->kv_block_bytes;
}

int32_t aq_block_read(aq_block_args *args) {
	int32_t status;
	const uint8_t *from = block_of(args, &status);
	if (from) {
		memcpy((void *)(uintptr_t)args->data, from, (size_t)args->bytes);
	}
	return status;
}

int32_t aq_block_write(aq_block_args *args) {
	int32_t status;
	uint8_t *to = block_of(args, &status);
	if (to) {
		memcpy(to, (const void *)(uintptr_t)args->data, (size_t)args->bytes);
	}
	return status;
}

int32_t aq_kernel(aq_kernel_args *args) {
	program *p = args->size == sizeof *args ? program_of(args->program) : NULL;
	if (!p || args->weight < 0 || args->weight >= p->args.n_weights) {
		return AQ_STATUS_INVALID;
	}
	weight_kernel_name(p, &p->weights[args->weight], args->name);
	return AQ_STATUS_OK;
}
