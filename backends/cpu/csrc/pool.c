// The thread pool. Threads claim units of the current phase from one atomic word and the thread that finishes the
// last unit prepares the next phase, so there is no barrier that every thread must reach: one that sleeps or was
// preempted between units delays nobody, and the serial work between two phases costs one hand-over, not two.
//
// word = phase number << 32 | units not yet claimed; END instead of units when the run is over. That the end is part
// of the word matters: the caller may return and start the next run as soon as it sees it, so the thread that ends a
// run must not write anything behind it. A claim is a compare-and-swap of the whole word, so a thread
// that looks at an old phase cannot take a unit of a new one; between claim and completion the phase cannot end,
// which keeps the job's description stable for its readers.
//
// Idle threads spin for some microseconds, then yield, then sleep on the phase number (wait.c). The prototype with a
// classical sense-reversing barrier lost up to 10 ms whenever a thread was preempted next to it.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "aq.h"

enum { STACK_BYTES = 512 << 10, SPINS_QUIET = 400, SPINS_YIELD = 100 };

static const uint32_t END = 1u << 31;

struct pool {
	_Alignas(128) _Atomic uint64_t word;
	_Alignas(128) _Atomic int32_t done;     // units finished in this phase
	_Alignas(128) _Atomic int32_t sleepers; // threads in, or about to enter, wait_word
	_Atomic bool quit;
	job now;
	arena memory; // of this struct
	program *ctx;
	bool (*next)(program *ctx, worker *w, job *out);
	int32_t threads, started;
	pthread_mutex_t turn; // of the programs that share the pool
	pthread_t *ids; // (threads - 1)
	worker *workers;
};

// The phase number is the upper half of word on these little-endian machines.
static uint32_t *phase_word(pool *p) { return (uint32_t *)(void *)&p->word + 1; }

static void publish(pool *p, uint32_t units) {
	uint64_t phase = (atomic_load_explicit(&p->word, memory_order_relaxed) >> 32) + 1;
	atomic_store(&p->word, phase << 32 | units);
	// Sequentially consistent on both sides: either the sleeper sees the new phase or we see the sleeper.
	if (atomic_load(&p->sleepers) > 0) {
		wake_waiters(phase_word(p));
	}
}

// lead prepares the next phase; the caller is the only thread between phases.
static void lead(pool *p, worker *w) {
	job next;
	if (p->next(p->ctx, w, &next)) {
		p->now = next;
		atomic_store_explicit(&p->done, 0, memory_order_relaxed);
		publish(p, (uint32_t)next.units);
	} else {
		publish(p, END);
	}
}

// work claims units until the run is over (the caller's thread) or the pool closes (the others).
static void work(pool *p, worker *w, bool caller) {
	int32_t idle = 0;
	for (;;) {
		uint64_t word = atomic_load_explicit(&p->word, memory_order_acquire);
		uint32_t left = (uint32_t)word;
		if (left > 0 && left != END) {
			if (!atomic_compare_exchange_weak(&p->word, &word, word - 1)) {
				continue;
			}
			idle = 0;
			const int32_t units = p->now.units;
			p->now.run(p->ctx, p->now.op, units - (int32_t)left, w);
			if (atomic_fetch_add(&p->done, 1) == units - 1) {
				lead(p, w);
			}
			continue;
		}
		if (caller ? left == END : atomic_load(&p->quit)) {
			return;
		}
		if (++idle <= SPINS_QUIET) {
			spin_pause();
		} else if (idle <= SPINS_QUIET + SPINS_YIELD) {
			sched_yield();
		} else {
			atomic_fetch_add(&p->sleepers, 1);
			// quit is set before the phase changes, so a sleeper that missed it wakes up at once.
			if (atomic_load(&p->word) == word) {
				wait_word(phase_word(p), (uint32_t)(word >> 32));
			}
			atomic_fetch_sub(&p->sleepers, 1);
			idle = 0;
		}
	}
}

static void *worker_main(void *arg) {
	worker *w = arg;
	work(w->pool, w, false);
	return NULL;
}

// Workers block all signals: the Go runtime must see them on its own threads only. Windows has none to block.
#if defined(_WIN32)
typedef int32_t signals;
static void signals_block(signals *old) { *old = 0; }
static void signals_restore(const signals *old) { (void)old; }
#else
#include <signal.h>
typedef sigset_t signals;
static void signals_block(signals *old) {
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
}
static void signals_restore(const signals *old) { pthread_sigmask(SIG_SETMASK, old, NULL); }
#endif

static int start_workers(pool *p) {
	signals old;
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);
	if (err) {
		return err;
	}
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	signals_block(&old);
	while (!err && p->started < p->threads - 1) {
		err = pthread_create(&p->ids[p->started], &attr, worker_main, &p->workers[p->started + 1]);
		p->started += !err;
	}
	signals_restore(&old);
	pthread_attr_destroy(&attr);
	return err;
}

int32_t pool_open(pool **out, int32_t threads) {
	arena memory = {0};
	arena_take(&memory, 1, sizeof(pool));
	if (!arena_map(&memory, false)) {
		return AQ_STATUS_MEMORY;
	}
	pool *p = arena_take(&memory, 1, sizeof(pool)); // of whole pages, hence aligned for its atomics
	*p = (pool){.memory = memory, .threads = threads, .word = END};
	pthread_mutex_init(&p->turn, NULL);
	p->ids = calloc((size_t)threads, sizeof *p->ids);
	p->workers = calloc((size_t)threads, sizeof *p->workers);
	if (!p->ids || !p->workers) {
		pool_close(p);
		return AQ_STATUS_MEMORY;
	}
	for (int32_t i = 0; i < threads; i++) {
		p->workers[i] = (worker){.pool = p, .id = i};
	}
	if (start_workers(p)) {
		pool_close(p);
		return AQ_STATUS_SYSTEM;
	}
	*out = p;
	return AQ_STATUS_OK;
}

void pool_close(pool *p) {
	atomic_store(&p->quit, true);
	publish(p, END);
	wake_waiters(phase_word(p));
	for (int32_t i = 0; i < p->started; i++) {
		pthread_join(p->ids[i], NULL);
	}
	pthread_mutex_destroy(&p->turn);
	free(p->ids);
	free(p->workers);
	arena memory = p->memory;
	arena_free(&memory);
}

int32_t pool_threads(const pool *p) { return p->threads; }

void pool_run(pool *p, program *ctx, bool (*next)(program *, worker *, job *), uint8_t *workspaces,
	int64_t workspace_bytes) {
	pthread_mutex_lock(&p->turn);
	// Other threads read these behind a claim, which cannot succeed before the first publish.
	p->ctx = ctx;
	p->next = next;
	for (int32_t i = 0; i < p->threads; i++) {
		p->workers[i].workspace = workspaces + i * workspace_bytes;
	}
	lead(p, &p->workers[0]);
	work(p, &p->workers[0], true);
	pthread_mutex_unlock(&p->turn);
}
