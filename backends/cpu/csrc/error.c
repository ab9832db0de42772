// The last error of a device: its text is put together without stdio, and read and written under a lock, because
// weights are loaded by several threads.
#include <stdarg.h>
#include <string.h>

#include "aq.h"

// The library has no stdio, so messages are put together here. Only what they use is understood: %d, %ld and %s.
static void format_text(char *out, int32_t size, const char *format, va_list args) {
	char *end = out + size - 1;
	for (const char *f = format; *f && out < end; f++) {
		if (*f != '%') {
			*out++ = *f;
			continue;
		}
		f++;
		if (*f == 's') {
			for (const char *s = va_arg(args, const char *); *s && out < end;) {
				*out++ = *s++;
			}
			continue;
		}
		int64_t v = *f == 'l' ? va_arg(args, long) : va_arg(args, int);
		f += *f == 'l';
		char digits[20];
		int32_t n = 0;
		for (uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v; u || n == 0; u /= 10) {
			digits[n++] = (char)('0' + u % 10);
		}
		if (v < 0) {
			*out++ = '-';
		}
		while (n > 0 && out < end) {
			*out++ = digits[--n];
		}
	}
	*out = 0;
}

static void lock_error(device *d) {
	while (atomic_flag_test_and_set_explicit(&d->error_lock, memory_order_acquire)) {
		spin_pause();
	}
}

int32_t fail(device *d, int32_t status, int64_t bytes, const char *format, ...) {
	va_list args;
	va_start(args, format);
	lock_error(d);
	d->error.status = status;
	d->error.bytes = bytes;
	format_text(d->error.text, AQ_ERROR_BYTES, format, args);
	atomic_flag_clear_explicit(&d->error_lock, memory_order_release);
	va_end(args);
	return status;
}

void error_read(device *d, aq_error *out) {
	lock_error(d);
	out->status = d->error.status;
	out->bytes = d->error.bytes;
	memcpy(out->text, d->error.text, sizeof out->text);
	atomic_flag_clear_explicit(&d->error_lock, memory_order_release);
}
