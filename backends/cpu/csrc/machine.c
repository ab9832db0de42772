// What this machine is: the levels that processor and operating system can run, and the processor's name.
#include <string.h>

#include "aq.h"

#if defined(__x86_64__)
#include <cpuid.h>

uint32_t machine_levels(void) {
	__builtin_cpu_init();
	uint32_t bits = 1u << AQ_LEVEL_BASELINE;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
		uint32_t a, b, c, d;
		if (__get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C) {
			bits |= 1u << AQ_LEVEL_AVX2;
		}
	}
	if (bits & 1u << AQ_LEVEL_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni")) {
		bits |= 1u << AQ_LEVEL_AVX512;
	}
	return bits;
}

const kernels *machine_kernels(int32_t level) {
	switch (level) {
	case AQ_LEVEL_AVX512:
		return aq_level_avx512();
	case AQ_LEVEL_AVX2:
		return aq_level_avx2();
	default:
		return aq_level_baseline();
	}
}

void machine_name(char name[AQ_NAME_BYTES]) {
	uint32_t r[13] = {0}; // brand string of 48 bytes, zero behind it
	if (__get_cpuid_max(0x80000000, NULL) >= 0x80000004) {
		for (uint32_t i = 0; i < 3; i++) {
			__get_cpuid(0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
		}
	}
	memset(name, 0, AQ_NAME_BYTES);
	memcpy(name, r, sizeof r);
}

#elif defined(__aarch64__)

const kernels *machine_kernels(int32_t level) {
	return level == AQ_LEVEL_DOTPROD ? aq_level_dotprod() : aq_level_baseline();
}

#if defined(__linux__)
#include <sys/auxv.h>

// Bits of AT_HWCAP. The kernel sets one only if every core of the machine has the feature.
enum { CAP_CPUID = 1 << 11, CAP_DOTPROD = 1 << 20 };

static bool has_dotprod(void) { return getauxval(AT_HWCAP) & CAP_DOTPROD; }

// Linux has no name for the processor. It lets programs read the identification register instead, that of the core
// they happen to run on: implementer in the top byte, part in bits 4 to 15.
void machine_name(char name[AQ_NAME_BYTES]) {
	static const struct {
		uint16_t part;
		const char *name;
	} arm[] = {{0xd03, "Cortex-A53"}, {0xd05, "Cortex-A55"}, {0xd07, "Cortex-A57"}, {0xd08, "Cortex-A72"},
		{0xd09, "Cortex-A73"}, {0xd0a, "Cortex-A75"}, {0xd0b, "Cortex-A76"}, {0xd0c, "Neoverse N1"},
		{0xd0d, "Cortex-A77"}, {0xd40, "Neoverse V1"}, {0xd41, "Cortex-A78"}, {0xd46, "Cortex-A510"},
		{0xd49, "Neoverse N2"}, {0xd4f, "Neoverse V2"}, {0xd80, "Cortex-A520"}, {0xd81, "Cortex-A720"},
		{0xd84, "Neoverse V3"}, {0xd8e, "Neoverse N3"}};
	memset(name, 0, AQ_NAME_BYTES);
	if (!(getauxval(AT_HWCAP) & CAP_CPUID)) {
		strcpy(name, "arm64");
		return;
	}
	uint64_t id;
	__asm__("mrs %0, midr_el1" : "=r"(id));
	const uint32_t implementer = id >> 24 & 0xff, part = id >> 4 & 0xfff;
	for (size_t i = 0; implementer == 'A' && i < sizeof arm / sizeof *arm; i++) {
		if (arm[i].part == part) {
			strcpy(name, arm[i].name);
			return;
		}
	}
	static const char hex[] = "0123456789abcdef";
	strcpy(name, "arm64, implementer 0x.., part 0x...");
	for (int32_t i = 0; i < 2; i++) {
		name[21 + i] = hex[implementer >> (4 - 4 * i) & 15];
	}
	for (int32_t i = 0; i < 3; i++) {
		name[32 + i] = hex[part >> (8 - 4 * i) & 15];
	}
}

#elif defined(__APPLE__)
#include <sys/sysctl.h>

static bool has_dotprod(void) {
	int32_t has = 0;
	size_t size = sizeof has;
	return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, NULL, 0) == 0 && has;
}

void machine_name(char name[AQ_NAME_BYTES]) {
	size_t size = AQ_NAME_BYTES - 1;
	memset(name, 0, AQ_NAME_BYTES);
	if (sysctlbyname("machdep.cpu.brand_string", name, &size, NULL, 0)) {
		strcpy(name, "arm64");
	}
}
#endif

uint32_t machine_levels(void) {
	return 1u << AQ_LEVEL_BASELINE | (has_dotprod() ? 1u << AQ_LEVEL_DOTPROD : 0);
}
#endif
