// Arenas: the few large allocations of a program. Each is one anonymous mapping, so pages that are never touched
// cost nothing, the rest is zero, and freeing is one call.
#define _GNU_SOURCE
#include "aq.h"

enum { LARGEST_PAGE = 64 << 10 }; // of the systems we run on: only whole pages can be given back

#if defined(_WIN32)
#include <windows.h>

// Large pages need a right that users don't have. Pages are charged against memory and page file when they are taken.
static void *pages_take(int64_t bytes, bool huge_pages) {
	(void)huge_pages;
	return VirtualAlloc(NULL, (size_t)bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

static void pages_free(void *start, int64_t bytes) {
	(void)bytes;
	VirtualFree(start, 0, MEM_RELEASE);
}

#else
#include <sys/mman.h>

static void *map_pages(int64_t bytes) {
	void *m = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return m == MAP_FAILED ? NULL : m;
}

static void pages_free(void *start, int64_t bytes) { munmap(start, (size_t)bytes); }

static void *pages_take(int64_t bytes, bool huge_pages) {
	const int64_t huge = 2 << 20;
	if (!huge_pages || bytes < 4 * huge) {
		return map_pages(bytes);
	}
	// Room to start on a huge page, without which the kernel cannot use the first and last ones.
	const int64_t room = bytes + huge;
	uint8_t *m = map_pages(room);
	if (!m) {
		return NULL;
	}
	uint8_t *start = (uint8_t *)round_up((int64_t)(intptr_t)m, huge);
	if (start > m) {
		pages_free(m, start - m);
	}
	if (start + bytes < m + room) {
		pages_free(start + bytes, m + room - start - bytes);
	}
#ifdef MADV_HUGEPAGE
	madvise(start, (size_t)bytes, MADV_HUGEPAGE);
#endif
	return start;
}
#endif

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
	if (a->overflow) {
		return false;
	}
	a->mapped = round_up(a->used ? a->used : AQ_ALIGN, LARGEST_PAGE);
	a->base = pages_take(a->mapped, huge_pages);
	a->used = 0;
	return a->base != NULL;
}

void arena_free(arena *a) {
	if (a->base) {
		pages_free(a->base, a->mapped);
	}
	*a = (arena){0};
}
