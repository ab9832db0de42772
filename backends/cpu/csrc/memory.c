// Arenas: the few large allocations of a program. Each is one anonymous mapping, so pages that are never touched
// cost nothing, the rest is zero, and freeing is one call.
#define _GNU_SOURCE
#include <sys/mman.h>

#include "aq.h"

enum { LARGEST_PAGE = 64 << 10 }; // of the systems we run on: only whole pages can be given back

void *arena_take(arena *a, int64_t count, int64_t bytes) {
	int64_t n, end;
	if (__builtin_mul_overflow(count, bytes, &n) || __builtin_add_overflow(n, AQ_ALIGN - 1, &n) ||
		__builtin_add_overflow(a->used, n & -AQ_ALIGN, &end) || end > INT64_MAX / 4) {
		a->overflow = true;
		return NULL;
	}
	void *p = a->base ? a->base + a->used : NULL;
	a->used = end;
	return p;
}

bool arena_map(arena *a, bool huge_pages) {
	const int64_t huge = 2 << 20;
	if (a->overflow) {
		return false;
	}
	if (a->used == 0) {
		a->used = AQ_ALIGN;
	}
	a->mapped = round_up(a->used, LARGEST_PAGE);
	if (huge_pages && a->mapped >= 4 * huge) {
		// Room to start on a huge page, without which the kernel cannot use the first and last ones.
		int64_t room = a->mapped + huge;
		uint8_t *m = mmap(NULL, (size_t)room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (m == MAP_FAILED) {
			return false;
		}
		uint8_t *start = (uint8_t *)round_up((int64_t)(intptr_t)m, huge);
		if (start > m) {
			munmap(m, (size_t)(start - m));
		}
		if (start + a->mapped < m + room) {
			munmap(start + a->mapped, (size_t)(m + room - start - a->mapped));
		}
#ifdef MADV_HUGEPAGE
		madvise(start, (size_t)a->mapped, MADV_HUGEPAGE);
#endif
		a->base = start;
	} else {
		void *m = mmap(NULL, (size_t)a->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (m == MAP_FAILED) {
			return false;
		}
		a->base = m;
	}
	a->used = 0;
	return true;
}

void arena_free(arena *a) {
	if (a->base) {
		munmap(a->base, (size_t)a->mapped);
	}
	*a = (arena){0};
}
