// Sleeping until another thread changes a word: a futex on Linux, WaitOnAddress on Windows, elsewhere a mutex and a
// condition that all waiters of the process share. The latter wakes threads that nobody meant, which look at their words
// and sleep again; it is for macOS, whose own wait on an address is no public interface before version 14.4.
#define _GNU_SOURCE
#include "aq.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void wait_word(uint32_t *word, uint32_t value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }

void wake_waiters(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0); }

#elif defined(_WIN32)
#include <windows.h>

void wait_word(uint32_t *word, uint32_t value) { WaitOnAddress(word, &value, sizeof value, INFINITE); }

void wake_waiters(uint32_t *word) { WakeByAddressAll(word); }

#else
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void wait_word(uint32_t *word, uint32_t value) {
	pthread_mutex_lock(&lock);
	if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) {
		pthread_cond_wait(&changed, &lock);
	}
	pthread_mutex_unlock(&lock);
}

// The lock is taken so that no waiter is between its look at the word and its sleep.
void wake_waiters(uint32_t *word) {
	(void)word;
	pthread_mutex_lock(&lock);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}
#endif
