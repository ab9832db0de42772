#!/usr/bin/env bash
# The only build entry of aquifer. It needs Go and a C compiler, nothing else; `./build.sh help` lists the verbs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

GO_NEEDED=1.26
GCC_NEEDED=11
BINARY=bin/aquifer
KERNELS=backends/cpu
TAGS=nomsgpack
CROSS=(linux/arm64 darwin/arm64 windows/amd64)
RACE=(./runtime/engine ./runtime/host ./runtime/kv/... ./runtime/sched ./runtime/chat/... ./runtime/cli ./runtime/store/... ./runtime/vfs ./api ./api/openai ./api/sse)

export CGO_ENABLED=0

say() { printf '%s\n' "$*"; }
note() { printf 'build.sh: %s\n' "$*" >&2; }
die() {
	note "$@"
	exit 1
}

# older A B: version A is lower than version B.
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# ---- what the build needs ------------------------------------------------------------------------------------

need_go() {
	command -v go >/dev/null || die "Go is missing: install Go $GO_NEEDED or newer from https://go.dev/dl and put it in PATH"
	local have
	have=$(go env GOVERSION 2>/dev/null) ||
		die "the installed Go cannot provide Go $GO_NEEDED: install $GO_NEEDED or newer from https://go.dev/dl"
	have=${have#go}
	if older "${have%%[!0-9.]*}" "$GO_NEEDED"; then
		die "Go $have is too old: install Go $GO_NEEDED or newer from https://go.dev/dl"
	fi
}

# need_cc sets cc to a C compiler that knows every instruction set we compile for.
need_cc() {
	local candidate version
	for candidate in ${CC:-gcc clang cc}; do
		command -v "$candidate" >/dev/null || continue
		cc=("$candidate")
		if "$candidate" --version | grep -qi clang; then
			return
		fi
		version=$("$candidate" -dumpfullversion 2>/dev/null || "$candidate" -dumpversion)
		if ! older "$version" "$GCC_NEEDED"; then
			return
		fi
		note "$candidate $version is too old"
	done
	die "no usable C compiler: install gcc $GCC_NEEDED or newer, or clang (Debian, Ubuntu: apt-get install gcc libc6-dev)"
}

# need_cc_for TARGET sets cc to a C compiler for a kernel target, which may be that of another machine.
need_cc_for() {
	if [ "$1" = "$(host_target)" ]; then
		need_cc
	elif ! cross_cc "$1"; then
		die "no C compiler for $1: install zig (pip install ziglang)$(gcc_hint "$1")"
	fi
}

# cross_cc TARGET sets cc to a compiler for another machine: gcc for Linux, else zig, which has the headers and
# libraries of all. It fails where there is none.
cross_cc() {
	local gcc=
	case $1 in
	linux_amd64) gcc=x86_64-linux-gnu-gcc ;;
	linux_arm64) gcc=aarch64-linux-gnu-gcc ;;
	esac
	if [ -n "$gcc" ] && command -v "$gcc" >/dev/null; then
		cc=("$gcc")
	else
		zig_cc "$1"
	fi
}

# zig_cc TARGET sets cc to zig. For Linux it asks for an old C library, so that the kernels load wherever Go runs.
zig_cc() {
	local zig
	if command -v zig >/dev/null; then
		zig=(zig)
	elif python3 -m ziglang version >/dev/null 2>&1; then
		zig=(python3 -m ziglang)
	else
		return 1
	fi
	case $1 in
	linux_amd64) cc=("${zig[@]}" cc -target x86_64-linux-gnu.2.17) ;;
	linux_arm64) cc=("${zig[@]}" cc -target aarch64-linux-gnu.2.17) ;;
	darwin_amd64) cc=("${zig[@]}" cc -target x86_64-macos.11.0) ;;
	darwin_arm64) cc=("${zig[@]}" cc -target aarch64-macos.11.0) ;;
	windows_amd64) cc=("${zig[@]}" cc -target x86_64-windows-gnu) ;;
	*) return 1 ;;
	esac
}

gcc_hint() {
	if [ "$1" = linux_arm64 ]; then
		say " or aarch64-linux-gnu-gcc (Debian, Ubuntu: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross)"
	fi
}

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# ---- kernels ---------------------------------------------------------------------------------------------------

# One library for each operating system and architecture that has kernels. Inside it the level is chosen at run
# time, so every file is compiled for the oldest machine except those whose name ends in a level.
target_of() {
	case $1 in
	linux/amd64 | linux/arm64 | darwin/amd64 | darwin/arm64 | windows/amd64) say "${1/\//_}" ;;
	esac
}

# library_of TARGET: where the Go package finds it.
library_of() {
	local suffix=so
	case $1 in
	darwin_*) suffix=dylib ;;
	windows_*) suffix=dll ;;
	esac
	say "$KERNELS/lib/$1/libaquifer.$suffix"
}

host_target() { target_of "$(go env GOHOSTOS)/$(go env GOHOSTARCH)"; }

# kernel_target is what we build for: this machine, unless GOOS or GOARCH say otherwise.
kernel_target() { target_of "$(go env GOOS)/$(go env GOARCH)"; }

# kernel_sources TARGET: all sources but the levels of other architectures.
kernel_sources() {
	local source
	for source in "$KERNELS"/csrc/*.c; do
		case $1/${source##*/} in
		*_arm64/level_baseline.c | *_arm64/level_avx*.c | *_amd64/level_neon.c | *_amd64/level_dotprod.c) ;;
		*) say "$source" ;;
		esac
	done
}

level_flags() {
	case $1 in
	*_avx2.c) say "-mavx2 -mfma -mf16c" ;;
	*_avx512.c) say "-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi -mavx512vnni" ;;
	*_dotprod.c)
		case ${cc[*]} in
		*zig*) say "-mcpu=generic+v8_2a+dotprod" ;;
		*) say "-march=armv8.2-a+dotprod" ;;
		esac
		;;
	esac
}

# link_flags TARGET
link_flags() {
	case $1 in
	linux_*) say -Wl,--build-id=none -Wl,-z,now -Wl,-z,noexecstack -Wl,--no-undefined -s -lm -pthread ;;
	windows_*) say -s -lapi-ms-win-core-synch-l1-2-0 -pthread ;;
	esac
}

CFLAGS=(-std=c11 -O3 -g0 -fPIC -fvisibility=hidden -fno-math-errno -Wall -Wextra -pthread)

# compile_kernels TARGET DIR FLAG...: every source of the target to an object file in DIR, with $cc.
compile_kernels() {
	local target=$1 dir=$2 source
	shift 2
	mkdir -p "$dir"
	kernel_sources "$target" | while read -r source; do
		say "$(level_flags "$source") -c $source -o $dir/$(basename "$source" .c).o"
	done | xargs -P "$(getconf _NPROCESSORS_ONLN)" -L 1 "${cc[@]}" "${CFLAGS[@]}" "$@" -I$KERNELS/csrc -Ibackends/abi
}

# link_kernels TARGET DIR makes a library, in DIR, of the object files there.
link_kernels() {
	# shellcheck disable=SC2046
	"${cc[@]}" -shared -o "$2/$(basename "$(library_of "$1")")" "$2"/*.o $(link_flags "$1")
}

# build_kernels TARGET makes the library that the Go package embeds.
build_kernels() {
	local target=$1 dir out stamp id
	if [ -z "$target" ]; then
		note "no kernels for $(go env GOOS)/$(go env GOARCH) yet: aquifer will use its pure Go backend"
		return
	fi
	need_cc_for "$target"
	dir=bin/kernels/$target
	out=$(library_of "$target")
	stamp=bin/kernels/$target.id
	# The id names sources, compiler and flags: equal ids mean equal libraries, and a change of any rebuilds.
	id=$({
		"${cc[@]}" --version | head -n 1
		say "${CFLAGS[@]}"
		declare -f level_flags link_flags kernel_sources
		find $KERNELS/csrc backends/abi -name '*.[ch]' | LC_ALL=C sort | xargs tail -n +1
	} | sha256 | cut -c 1-16)
	if [ -f "$out" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$id" ]; then
		return
	fi
	note "compiling kernels for $target with ${cc[*]}"
	rm -rf "$dir" "$stamp"
	compile_kernels "$target" "$dir" "-DAQ_BUILD_ID=\"$id\""
	link_kernels "$target" "$dir"
	mv "$dir/${out##*/}" "$out"
	say "$id" >"$stamp"
}

# ---- verbs -----------------------------------------------------------------------------------------------------

version() { git describe --tags --always --dirty 2>/dev/null || say dev; }

ready() {
	need_go
	build_kernels "$(kernel_target)"
}

# compile TAG builds the executable; the tag may be empty. One for another machine is named after it.
compile() {
	local out=$BINARY
	ready
	if [ "$(go env GOOS)/$(go env GOARCH)" != "$(go env GOHOSTOS)/$(go env GOHOSTARCH)" ]; then
		out=${BINARY}_$(go env GOOS)_$(go env GOARCH)$(go env GOEXE)
	fi
	go build -trimpath -buildvcs=false -tags "$TAGS,$1" \
		-ldflags "-s -w -buildid= -X aquifer/runtime/cli.version=$(version)" -o "$out" .
}

do_build() { compile "${1:-}"; }

do_run() {
	compile ""
	exec $BINARY run "$@"
}

tool() { go tool -modfile=.ci/tools.mod "$@"; }

do_lint() {
	ready
	local unformatted script target
	unformatted=$(tool gofumpt -l .)
	[ -z "$unformatted" ] || die "not formatted; run: go tool -modfile=.ci/tools.mod gofumpt -w ." "$unformatted"
	go vet -tags $TAGS ./...
	tool staticcheck -tags $TAGS ./...
	# Warnings are errors here and not in a build: a compiler we have not seen must not stop one.
	for target in "$(host_target)" linux_arm64; do
		if [ -z "$target" ] || { [ "$target" != "$(host_target)" ] && ! cross_cc "$target"; }; then
			note "SKIP compiling kernels with warnings as errors for ${target:-this machine}: none, or no compiler for them"
			continue
		fi
		need_cc_for "$target"
		compile_kernels "$target" "bin/lint/$target" -Werror
	done
	if command -v python3 >/dev/null; then
		for script in docs/bench/*.py testdata/*.py; do
			python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$script"
		done
	else
		note "SKIP checking Python scripts: python3 is not installed"
	fi
	if command -v shellcheck >/dev/null; then
		shellcheck -x build.sh .ci/run docs/packaging/release.sh docs/packaging/postinst docs/packaging/prerm
	else
		note "SKIP shellcheck: not installed"
	fi
}

# Vet covers the packages with files for single platforms; the others were vetted for this one.
do_cross() {
	local target
	ready
	for target in "${CROSS[@]}"; do
		export GOOS=${target%/*} GOARCH=${target#*/}
		go build -tags $TAGS ./...
		go vet -tags $TAGS ./backends/... ./runtime/cli ./runtime/vfs
	done
}

# Of backends/cpu only the tests of its Go side's concurrency: the conformance suite compares with the Go reference,
# which takes a quarter of an hour under the race detector, and the race detector does not see into C.
do_race() {
	ready
	need_cc
	export CGO_ENABLED=1 CC=${cc[0]}
	go test -short -race -tags $TAGS "${RACE[@]}"
	go test -short -race -tags $TAGS -run '^Test(Pool|Progress|CloseOrder|Memory)' ./backends/cpu
}

# What of the tests of backends/cpu runs by default under an emulator of arm64 for a level: every op, encoding and way
# to store a weight, and the small tests. On arm64 fast is the same as exact.
arm64_selection() {
	local c=TestConformance/^$1\$/3_threads
	local IFS='|'
	local tests=(
		Test{BlockLayout,Kernels,NoAbort,OpenRefuses,CompileRefuses,CloseOrder,Memory,Garbage}
		"$c/^(linear|aqlm)\$/././exact" "$c/^(ops|attention|blocks|nonfinite|program)\$"
		"$c/experts/(route|mix|broken)" "$c/experts/product/-34x160/exact" "$c/models/traced-[0-3]" "$c/models/random-[37]/exact"
	)
	say "${tests[*]}"
}

# The kernels of arm64 on another machine: cross-compiled, and run under an emulator of a processor without dot
# products and of one with them.
do_arm64() {
	local processors=(cortex-a53 neoverse-n1) levels=(baseline dotprod) args=("$@")
	local dir=$PWD/bin/arm64 needed i pids=() failed=
	need_go
	if [ "$(host_target)" = linux_arm64 ]; then
		note "SKIP arm64: this machine is one, units tests its kernels"
		return
	fi
	for needed in aarch64-linux-gnu-gcc qemu-aarch64; do
		if ! command -v $needed >/dev/null; then
			note "SKIP arm64: no $needed (Debian, Ubuntu: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"
			return
		fi
	done
	build_kernels linux_arm64
	GOOS=linux GOARCH=arm64 go test -c -tags $TAGS -o "$dir/cpu.test" ./backends/cpu
	for i in 0 1; do
		case ${1:-} in
		"") args=(-test.short -test.run "$(arm64_selection "${levels[i]}")") ;;
		all) args=(-test.short -test.timeout 0) ;;
		esac
		(cd $KERNELS && qemu-aarch64 -cpu "${processors[i]}" -L /usr/aarch64-linux-gnu "$dir/cpu.test" -test.v "${args[@]}") \
			>"$dir/${processors[i]}.log" 2>&1 &
		pids[i]=$!
	done
	for i in 0 1; do
		wait "${pids[i]}" || failed="$failed ${processors[i]}"
		say "== ${processors[i]}"
		cat "$dir/${processors[i]}.log"
	done
	for i in 0 1; do
		say "${processors[i]}: $(grep -c -- '--- PASS' "$dir/${processors[i]}.log") passed," \
			"$(grep -c -- '--- FAIL' "$dir/${processors[i]}.log") failed"
	done
	[ -z "$failed" ]
}

# The conformance suite over kernels in which undefined behaviour (misaligned loads, overflows, bounds) is a trap.
do_sanitize() {
	local target dir=$PWD/bin/sanitize out
	ready
	target=$(kernel_target)
	[ -n "$target" ] || die "no kernels for this machine"
	out=$(library_of "$target")
	need_cc
	compile_kernels "$target" "$dir" -O1 -DAQ_BUILD_ID='"sanitize"' -fsanitize=undefined \
		-fno-sanitize=float-cast-overflow,float-divide-by-zero -fsanitize-undefined-trap-on-error
	link_kernels "$target" "$dir"
	say "{\"Replace\": {\"$PWD/$out\": \"$dir/${out##*/}\"}}" >"$dir/overlay.json"
	go test -tags $TAGS -short -overlay "$dir/overlay.json" -run "${1:-.}" ./backends/cpu
}

# windows_machine sets wine, with a prefix of its own. Before version 9 wine lacks the library that Go takes random numbers
# from; zig makes a stand-in.
windows_machine() {
	local system
	[ "$(host_target)" = linux_amd64 ] && zig_cc windows_amd64 || return
	wine=$(command -v wine64 || command -v /usr/lib/wine/wine64 || command -v wine) || return
	export WINEPREFIX=$PWD/bin/wine WINEDEBUG=-all
	mkdir -p "$WINEPREFIX"
	timeout 120 "$wine" cmd /c ver >/dev/null 2>&1 || return
	system=$WINEPREFIX/drive_c/windows/system32
	if ! [ -e "$system/bcryptprimitives.dll" ]; then
		printf '%s\n' '#include <windows.h>' '#include <ntsecapi.h>' \
			'__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) { return RtlGenRandom(p, (ULONG)n); }' >"$WINEPREFIX/prng.c"
		"${cc[@]}" -shared -o "$system/bcryptprimitives.dll" "$WINEPREFIX/prng.c" -ladvapi32 || return
	fi
}

# The kernels of Windows under wine: opened, called, the same for any number of threads, AQLM's products at AVX2 compared with
# the reference; or all tests; or those of a pattern.
do_windows() {
	local wine dir=$PWD/bin/windows
	local selection=${1:-TestConformance/^avx2\$/3_threads/^aqlm\$|^Test(Block|Close|Compile|Kernels|Memory|Open|Threads)}
	[ "$selection" != all ] || selection='TestConformance//3_threads|^Test([^C]|Cl|Comp)'
	need_go
	if ! windows_machine; then
		note "SKIP windows: needs linux/amd64, wine (Debian, Ubuntu: apt-get install wine64) and zig (pip install ziglang)"
		return
	fi
	build_kernels windows_amd64
	GOOS=windows GOARCH=amd64 go test -c -tags $TAGS -o "$dir/" ./backends/cpu ./backends/internal/dl
	(cd backends/internal/dl && "$wine" "$dir/dl.test.exe" -test.v)
	(cd $KERNELS && "$wine" "$dir/cpu.test.exe" -test.short -test.v -test.timeout 5m -test.run "$selection")
}

do_units() {
	ready
	go test -v -shuffle=on -tags $TAGS ./...
}

# skips prints every skipped test of a verbose log with the reason it gave, which stands where the test ran.
skips() {
	awk '/^=== (RUN|NAME|CONT) /   { test = $3 }
	     /^ +[^ ]+\.go:[0-9]+: / { reason[test] = $0; sub(/^ +[^ ]+: /, "", reason[test]) }
	     /^ *--- SKIP: /          { print "  " $3 ": " ($3 in reason ? reason[$3] : "no reason given") }' "$@" | sort -u
}

do_test() {
	local logs=bin/test step start failed=
	compile ""
	rm -rf $logs && mkdir -p $logs
	for step in lint cross race units arm64 windows; do
		start=$SECONDS
		if ./build.sh "$step" >"$logs/$step.log" 2>&1; then
			say "$step: passed, $((SECONDS - start)) s" | tee -a $logs/summary
		else
			say "$step: FAILED, $((SECONDS - start)) s" | tee -a $logs/summary
			failed="$failed $step"
		fi
	done
	for step in $failed; do
		printf '\n---- %s ----\n' "$step"
		grep -vE '^=== |^ *--- PASS|^PASS$|^ok ' "$logs/$step.log" || true
	done
	printf '\nskipped:\n'
	{
		skips $logs/units.log
		sed -n 's/^build.sh: SKIP /  /p' $logs/lint.log $logs/arm64.log $logs/windows.log
	} | grep . || say "  nothing"
	printf '\npackages:\n'
	grep -E '^(ok|FAIL|\?)[[:space:]]' $logs/units.log || true
	[ -z "$failed" ]
}

do_bench() {
	compile ""
	go test -run '^$' -bench . -benchmem -tags $TAGS ./... | grep -v '\[no test files\]'
	$BINARY bench "$@"
}

do_bench_peers() {
	command -v python3 >/dev/null || die "bench-peers needs python3 with pip, cmake and a C++ compiler"
	compile ""
	PYTHONDONTWRITEBYTECODE=1 python3 docs/bench/peers.py "$@"
}

# Long jobs against the whole program with the embedded model; what they check and measure stands in soak_test.go and
# load_test.go.
do_soak() {
	ready
	go test -tags $TAGS -count=1 -timeout 0 -v -run '^TestSoak$' -soak "${1:-30m}" .
}

do_load() {
	ready
	go test -tags $TAGS -count=1 -timeout 0 -v -run '^TestLoad$' -load "${1:-self}" -load-rounds "${2:-3}" .
}

do_fuzz() {
	local time=${1:-60s} package target
	ready
	for package in $(go list -tags $TAGS ./...); do
		for target in $(go test -tags $TAGS -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
			say "$package $target, $time"
			go test -tags $TAGS -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
		done
	done
}

# Many answers held to random schemas and tools; the tests do a few hundred of them.
do_generations() {
	ready
	AQUIFER_TEST_GENERATIONS=${1:-10000} go test -v -count 1 -timeout 0 -tags $TAGS -run '^TestGenerations$' ./api/apitest
}

do_release() {
	# shellcheck source=docs/packaging/release.sh
	. docs/packaging/release.sh
	case ${1:-all} in
	all | twice | run) "release_${1:-all}" ;;
	*) die "unknown: release $1; it is release, release twice or release run" ;;
	esac
}

do_clean() { rm -rf bin $KERNELS/lib/*/libaquifer.*; }

do_help() {
	cat <<'HELP'
usage: ./build.sh VERB

  build [TAG]   build bin/aquifer with its kernels; the tag nomodel leaves the embedded model out
  run [ARGS]    build if needed, then aquifer run ARGS: ./build.sh run "Why is the sky blue?"
  test          everything that can run here: lint, cross, race, units, arm64 and windows
  lint          gofumpt, go vet, staticcheck, shellcheck
  cross         build and vet for the other platforms
  race          the concurrent packages under the race detector
  units         all Go tests: units, goldens, conformance, fuzz seeds, clients
  sanitize      the kernels' tests with undefined behaviour trapped
  windows [all] the kernels of Windows under wine, compiled by zig: a selection, all, or what a pattern of tests says
  arm64 [all]   the kernels of arm64 under an emulator: a selection, all short tests (half an hour), or what test
                flags say: ./build.sh arm64 -test.run TestGolden
  bench [ARGS]  Go benchmarks, then aquifer bench ARGS
  bench-peers   aquifer beside llama.cpp, in rounds; downloads and builds that first: bench-peers --help
  soak [TIME]   a server and clients of all kinds, more than it takes, for 30m unless given; nothing may be left
  load [SERVERS [ROUNDS]]
                throughput and first tokens with 1 to 16 clients, beside other servers: self,NAME=http://HOST:PORT/v1
  release       archives, packages, bills of material and check sums for all platforms, into bin/release; release twice
                compares with a second build elsewhere, release run starts what can run here
  fuzz [TIME]   every fuzz target for TIME each, 60s unless given
  generations [N]
                N answers to random schemas and tools at temperature 1.5, 10000 unless given
  clean         remove what build.sh made
HELP
}

verb=${1:-help}
[ $# -eq 0 ] || shift
case $verb in
build | run | test | lint | cross | race | units | arm64 | windows | sanitize | bench | bench-peers | soak | load | fuzz | generations | release | clean | help) "do_${verb//-/_}" "$@" ;;
*)
	do_help >&2
	die "unknown verb: $verb"
	;;
esac
