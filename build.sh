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
RACE=(./runtime/engine ./runtime/sched ./runtime/chat/... ./runtime/cli ./runtime/store/... ./runtime/vfs ./api ./api/openai ./api/sse)

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
		cc=$candidate
		if "$cc" --version | grep -qi clang; then
			return
		fi
		version=$("$cc" -dumpfullversion 2>/dev/null || "$cc" -dumpversion)
		if ! older "$version" "$GCC_NEEDED"; then
			return
		fi
		note "$cc $version is too old"
		cc=
	done
	die "no usable C compiler: install gcc $GCC_NEEDED or newer, or clang (Debian, Ubuntu: apt-get install gcc libc6-dev)"
}

# ---- kernels ---------------------------------------------------------------------------------------------------

# One library for each operating system and architecture that has kernels. Inside it the level is chosen at run
# time, so every file is compiled for the oldest machine except those whose name ends in a level.
kernel_target() {
	case "$(go env GOHOSTOS)/$(go env GOHOSTARCH)" in
	linux/amd64) say linux_amd64 ;;
	esac
}

level_flags() {
	case $1 in
	*_avx2.c) say "-mavx2 -mfma -mf16c" ;;
	*_avx512.c) say "-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi -mavx512vnni" ;;
	esac
}

CFLAGS=(-std=c11 -O3 -g0 -fPIC -fvisibility=hidden -fno-math-errno -Wall -Wextra -pthread)

# compile_kernels DIR FLAG...: every source to an object file in DIR.
compile_kernels() {
	local dir=$1 source
	shift
	mkdir -p "$dir"
	for source in "$KERNELS"/csrc/*.c; do
		say "$(level_flags "$source") -c $source -o $dir/$(basename "$source" .c).o"
	done | xargs -P "$(getconf _NPROCESSORS_ONLN)" -L 1 "$cc" "${CFLAGS[@]}" "$@" -I$KERNELS/csrc -Ibackends/abi
}

build_kernels() {
	local target dir out stamp id
	target=$(kernel_target)
	if [ -z "$target" ]; then
		note "no kernels for $(go env GOHOSTOS)/$(go env GOHOSTARCH) yet: aquifer will use its pure Go backend"
		return
	fi
	need_cc
	dir=bin/kernels/$target
	out=$KERNELS/lib/libaquifer_$target.so
	stamp=$KERNELS/lib/libaquifer_$target.id
	# The id names sources, compiler and flags: equal ids mean equal libraries, and a change of any rebuilds.
	id=$({
		"$cc" --version | head -n 1
		say "${CFLAGS[@]}"
		declare -f level_flags
		find $KERNELS/csrc backends/abi -name '*.[ch]' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
	} | sha256sum | cut -c 1-16)
	if [ -f "$out" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$id" ]; then
		return
	fi
	note "compiling kernels with $cc"
	rm -rf "$dir"
	compile_kernels "$dir" "-DAQ_BUILD_ID=\"$id\""
	"$cc" -shared -Wl,--build-id=none -Wl,-z,now -Wl,-z,noexecstack -Wl,--no-undefined -s \
		-o "$dir/lib.so" "$dir"/*.o -lm -pthread
	mv "$dir/lib.so" "$out"
	say "$id" >"$stamp"
}

# ---- verbs -----------------------------------------------------------------------------------------------------

version() { git describe --tags --always --dirty 2>/dev/null || say dev; }

ready() {
	need_go
	build_kernels
}

# compile TAG builds the executable; the tag may be empty.
compile() {
	ready
	go build -trimpath -buildvcs=false -tags "$TAGS,$1" \
		-ldflags "-s -w -buildid= -X aquifer/runtime/cli.version=$(version)" -o $BINARY .
}

do_build() { compile "${1:-}"; }

do_run() {
	compile ""
	exec $BINARY run "$@"
}

tool() { go tool -modfile=.ci/tools.mod "$@"; }

do_lint() {
	ready
	local unformatted
	unformatted=$(tool gofumpt -l .)
	[ -z "$unformatted" ] || die "not formatted; run: go tool -modfile=.ci/tools.mod gofumpt -w ." "$unformatted"
	go vet -tags $TAGS ./...
	tool staticcheck -tags $TAGS ./...
	# Warnings are errors here and not in a build: a compiler we have not seen must not stop one.
	if [ -n "$(kernel_target)" ]; then
		need_cc
		compile_kernels bin/lint -Werror
	fi
	if command -v shellcheck >/dev/null; then
		shellcheck build.sh .ci/run
	else
		note "SKIP shellcheck: not installed"
	fi
}

# Vet covers the packages with files for single platforms; the others were vetted for this one. That also spares
# compiling the client libraries of the tests three times.
do_cross() {
	local target
	ready
	for target in "${CROSS[@]}"; do
		export GOOS=${target%/*} GOARCH=${target#*/}
		go build -tags $TAGS ./...
		go vet -tags $TAGS ./backends/... ./runtime/cli
	done
}

# Of backends/cpu only the tests of its Go side's concurrency: the conformance suite compares with the Go reference,
# which takes a quarter of an hour under the race detector, and the race detector does not see into C.
do_race() {
	ready
	need_cc
	export CGO_ENABLED=1 CC=$cc
	go test -short -race -tags $TAGS "${RACE[@]}"
	go test -short -race -tags $TAGS -run '^Test(Pool|Progress|CloseOrder|Memory)' ./backends/cpu
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
	for step in lint cross race units; do
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
		sed -n 's/^build.sh: SKIP /  /p' $logs/lint.log
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

do_clean() { rm -rf bin $KERNELS/lib/*.so $KERNELS/lib/*.id; }

do_help() {
	cat <<'HELP'
usage: ./build.sh VERB

  build [TAG]   build bin/aquifer with its kernels; the tag nomodel leaves the embedded model out
  run [ARGS]    build if needed, then aquifer run ARGS: ./build.sh run "Why is the sky blue?"
  test          everything that can run here: lint, cross, race and units
  lint          gofumpt, go vet, staticcheck, shellcheck
  cross         build and vet for the other platforms
  race          the concurrent packages under the race detector
  units         all Go tests: units, goldens, conformance, fuzz seeds, clients
  bench [ARGS]  Go benchmarks, then aquifer bench ARGS
  fuzz [TIME]   every fuzz target for TIME each, 60s unless given
  clean         remove what build.sh made
HELP
}

verb=${1:-help}
[ $# -eq 0 ] || shift
case $verb in
build | run | test | lint | cross | race | units | bench | fuzz | clean | help) "do_$verb" "$@" ;;
*)
	do_help >&2
	die "unknown verb: $verb"
	;;
esac
