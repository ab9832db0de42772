// What this machine is: the levels that processor and operating system can run, and the processor's name.
#include <string.h>

#include "aq.h"

#if defined(__x86_64__)
#include <cpuid.h>

// Bits of leaf 7, subleaf 0 (Intel SDM, CPUID); not every compiler's cpuid.h names them all. The compiler's own
// __builtin_cpu_supports is of no use: with some runtime libraries it knows no feature.
enum {
	B7_AVX2 = 1 << 5,
	B7_AVX512 = 1 << 16 | 1 << 17 | 1 << 30 | (int32_t)(1u << 31), // F, DQ, BW, VL
	C7_AVX512 = 1 << 1 | 1 << 11,                                  // VBMI, VNNI
	C1_OSXSAVE = 1 << 27,
	C1_AVX2 = 1 << 28 | 1 << 12 | 1 << 29, // AVX, FMA, F16C
};

// saved_state returns which registers the operating system saves for each thread (XCR0).
static uint32_t saved_state(void) {
	uint32_t low, high;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

static bool has(uint32_t bits, uint32_t all) { return (bits & all) == all; }

uint32_t machine_levels(void) {
	const uint32_t ymm = 1 << 1 | 1 << 2, zmm = ymm | 1 << 5 | 1 << 6 | 1 << 7;
	uint32_t levels = 1u << AQ_LEVEL_BASELINE;
	uint32_t a, b, c1 = 0, b7 = 0, c7 = 0, d;
	if (!__get_cpuid(1, &a, &b, &c1, &d) || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d) || !has(c1, C1_OSXSAVE)) {
		return levels;
	}
	const uint32_t saved = saved_state();
	if (has(saved, ymm) && has(c1, C1_AVX2) && has(b7, B7_AVX2)) {
		levels |= 1u << AQ_LEVEL_AVX2;
		if (has(saved, zmm) && has(b7, B7_AVX512) && has(c7, C7_AVX512)) {
			levels |= 1u << AQ_LEVEL_AVX512;
		}
	}
	return levels;
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
