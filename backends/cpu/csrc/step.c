// Running a step: ops become phases of units, see aq.h. Phases too small to share run on the thread that prepares
// them, so the norms, rotations and sums between two matrix products of a single token cost no hand-over.
#include "aq.h"

static bool (*const plans[AQ_OP_COUNT])(program *, const compiled_op *, int32_t, job *) = {
	[AQ_OP_EMBED] = embed_plan, [AQ_OP_NORM] = norm_plan, [AQ_OP_LINEAR] = linear_plan,
	[AQ_OP_ROPE] = rope_plan, [AQ_OP_ATTENTION] = attention_plan, [AQ_OP_GLU] = glu_plan,
	[AQ_OP_ADD] = add_plan, [AQ_OP_SELECT] = select_plan, [AQ_OP_SCALE] = scale_plan,
	[AQ_OP_ROUTE] = route_plan, [AQ_OP_EXPERTS] = experts_plan, [AQ_OP_MIX] = mix_plan,
};

static bool next_phase(program *p, worker *w, job *out) {
	const bool alone = pool_threads(p->d->pool) == 1;
	while (p->op < p->op_end) {
		const compiled_op *op = &p->ops[p->op];
		job j = {.op = op};
		if (!plans[op->op.kind](p, op, p->phase, &j)) {
			p->op++;
			p->phase = 0;
			continue;
		}
		p->phase++;
		if (j.units > 1 && !j.small && !alone) {
			*out = j;
			return true;
		}
		for (int32_t u = 0; u < j.units; u++) {
			j.run(p, op, u, w);
		}
	}
	return false;
}

void step_run(program *p, aq_run_args *args) {
	p->run = *args;
	p->tokens = (const int32_t *)(uintptr_t)args->tokens;
	p->blocks = (const int32_t *)(uintptr_t)args->blocks;
	p->outputs = (const int32_t *)(uintptr_t)args->outputs;
	p->seqs = (const aq_seq *)(uintptr_t)args->seqs;
	if (args->op_from == 0) {
		p->step++; // what is cached for a step is stale
	}
	int32_t t = 0;
	for (int32_t s = 0; s < args->n_seqs; s++) {
		for (int32_t i = 0; i < p->seqs[s].n && t < args->n_tokens; i++, t++) {
			p->token_pos[t] = p->seqs[s].pos + i;
			p->token_seq[t] = s;
		}
	}
	p->op = args->op_from;
	p->op_end = args->op_to;
	p->phase = 0;
	pool_run(p->d->pool, p, next_phase, p->workspaces, p->workspace_bytes);
	args->logits = p->args.logits < 0 ? 0 : (uint64_t)(uintptr_t)p->buffer_data[p->args.logits];
	args->features = p->args.features < 0 ? 0 : (uint64_t)(uintptr_t)p->buffer_data[p->args.features];
}
