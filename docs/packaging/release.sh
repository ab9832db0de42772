# shellcheck shell=bash
# The release: build.sh reads this file for its verb release, and every function of build.sh is there. Two releases of one
# commit with the same tools are equal byte by byte. docs/packaging/README.md says what is in one.

RELEASE=bin/release
PLATFORMS=(linux/amd64 linux/arm64 darwin/arm64 darwin/amd64 windows/amd64)
PACKAGING=docs/packaging

# release_version is what the files are called: the tag without its v, or where there is none 0 and the commit.
release_version() {
	local described
	described=$(version)
	case $described in
	v[0-9]*) say "${described#v}" ;;
	[0-9]*.*) say "$described" ;;
	*) say "0~git.$described" ;;
	esac
}

# The compiler of a release is zig for all platforms, this one too: its libraries load with any C library since 2014, those
# of this machine's gcc need this machine's.
release_compilers() {
	zig_cc linux_amd64 || die "a release needs zig, which compiles for every platform: pip install ziglang"
	# shellcheck disable=SC2317
	need_cc_for() { zig_cc "$1"; }
}

# glibc_of FILE... is the newest version of the C library that any of them needs.
glibc_of() {
	readelf -V "$@" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -V | tail -n 1
}

# third_party lists the licences of what the executable of GOOS and GOARCH contains.
third_party() {
	local path version dir file
	say "aquifer contains the following software. The model inside is SmolLM2-135M-Instruct by Hugging Face, Apache-2.0."
	go list -deps -tags "$TAGS" -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' . | LC_ALL=C sort -u |
		while read -r path version dir; do
			printf '\n==== %s %s\n' "$path" "$version"
			for file in "$dir"/LICEN[SC]E* "$dir"/COPYING* "$dir"/NOTICE* "$dir"/PATENTS*; do
				[ ! -f "$file" ] || { say "" && cat "$file"; }
			done
		done
	printf '\n==== Go\n\n'
	cat "$(go env GOROOT)/LICENSE"
}

# manuals DIR and completions DIR are the same for all platforms.
manuals() {
	mkdir -p "$1"
	go test -tags "$TAGS" -count=1 -run '^TestManual$' ./runtime/cli -args -man "$PWD/$1" >/dev/null
}

completions() {
	mkdir -p "$1"
	"$2" completion bash >"$1/aquifer.bash"
	"$2" completion zsh >"$1/_aquifer"
	"$2" completion fish >"$1/aquifer.fish"
	"$2" completion powershell >"$1/aquifer.ps1"
}

# pack DIR OUT makes an archive that depends on nothing but the files: a .zip or a .tar.gz.
pack() {
	find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	rm -f "$2"
	case $2 in
	*.zip) (cd "${1%/*}" && find "${1##*/}" -type f | LC_ALL=C sort | TZ=UTC zip -q -X -@ "$OLDPWD/$2") ;;
	*) tar -C "${1%/*}" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u+rw,go-w,a+rX \
		--mtime="@$SOURCE_DATE_EPOCH" -cf - "${1##*/}" | gzip -n >"$2" ;;
	esac
}

# debian PLATFORM_DIR ARCH OUT
debian() {
	local from=$1 root=$RELEASE/tmp/deb_$2 shell size
	rm -rf "$root"
	mkdir -p "$root"/DEBIAN "$root"/usr/{bin,lib/systemd/system,lib/sysusers.d} "$root"/etc/default \
		"$root"/usr/share/{man/man1,doc/aquifer,bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
	install -m 755 "$from/aquifer" "$root/usr/bin/aquifer"
	install -m 644 $PACKAGING/aquifer.service "$root/usr/lib/systemd/system/"
	install -m 644 $PACKAGING/aquifer.sysusers "$root/usr/lib/sysusers.d/aquifer.conf"
	install -m 640 $PACKAGING/aquifer.default "$root/etc/default/aquifer"
	install -m 644 "$from"/man/*.1 "$root/usr/share/man/man1/"
	gzip -n -9 "$root"/usr/share/man/man1/*.1
	shell=$from/completions
	install -m 644 "$shell/aquifer.bash" "$root/usr/share/bash-completion/completions/aquifer"
	install -m 644 "$shell/_aquifer" "$root/usr/share/zsh/vendor-completions/_aquifer"
	install -m 644 "$shell/aquifer.fish" "$root/usr/share/fish/vendor_completions.d/aquifer.fish"
	cat "$from/LICENSE" "$from/THIRD_PARTY.txt" >"$root/usr/share/doc/aquifer/copyright"
	install -m 755 $PACKAGING/postinst $PACKAGING/prerm "$root/DEBIAN/"
	say /etc/default/aquifer >"$root/DEBIAN/conffiles"
	size=$(du -k -s --apparent-size "$root" | cut -f 1)
	cat >"$root/DEBIAN/control" <<-CONTROL
		Package: aquifer
		Version: $(release_version)
		Architecture: $2
		Maintainer: aquifer <aquifer@localhost>
		Installed-Size: $size
		Depends: libc6 (>= $(glibc_of "$from/aquifer" "$KERNELS/lib/linux_$2/libaquifer.so"))
		Recommends: ca-certificates
		Section: science
		Priority: optional
		Description: runs AQLM-compressed language models and answers OpenAI clients
		 Pulls models from Hugging Face, chats on a terminal and serves the OpenAI API.
		 It carries its kernels and a small model. The service aquifer is not started by
		 itself: systemctl enable --now aquifer.
	CONTROL
	chmod -R go-w "$root"
	dpkg-deb --root-owner-group -Zgzip -b "$root" "$3" >/dev/null
}

# template IN OUT fills in the version, the address and the check sums of the archives.
template() {
	local text platform file
	text=$(<"$1")
	text=${text//@VERSION@/$2}
	text=${text//@URL@/${RELEASE_URL:-https://example.org/aquifer/$2}}
	for platform in "${PLATFORMS[@]}"; do
		platform=${platform/\//_}
		for file in "$RELEASE/aquifer_$2_$platform".{tar.gz,zip}; do
			[ ! -f "$file" ] || text=${text//@SHA_$platform@/$(sha256sum "$file" | cut -d ' ' -f 1)}
		done
	done
	case $text in *@SHA_*) die "$1 names a platform that was not built" ;; esac
	say "$text"
}

# release_platform PLATFORM VERSION builds one and packs it.
release_platform() {
	local os=${1%/*} arch=${1#*/} dir=$RELEASE/${1/\//_} name=aquifer_$2_${1/\//_} out
	export GOOS=$os GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 GOFLAGS=-mod=readonly
	compile ""
	out=$BINARY
	[ "$1" = "$(go env GOHOSTOS)/$(go env GOHOSTARCH)" ] || out=${BINARY}_${os}_$arch$(go env GOEXE)
	rm -rf "$dir" && mkdir -p "$dir"
	cp "$out" "$dir/aquifer$(go env GOEXE)"
	cp LICENSE README.md "$dir/"
	third_party >"$dir/THIRD_PARTY.txt"
	cp -r $RELEASE/tmp/completions "$dir/completions"
	[ "$os" = windows ] || cp -r $RELEASE/tmp/man "$dir/man"
	GOOS='' GOARCH='' go tool -modfile=.ci/release.mod cyclonedx-gomod bin -json -noserial -notimestamp -licenses -version "$2" \
		-output "$RELEASE/$name.cdx.json" "$dir/aquifer$(go env GOEXE)" 2>/dev/null
	rm -rf "$RELEASE/tmp/$name" && cp -r "$dir" "$RELEASE/tmp/$name"
	case $os in
	windows) pack "$RELEASE/tmp/$name" "$RELEASE/$name.zip" ;;
	*) pack "$RELEASE/tmp/$name" "$RELEASE/$name.tar.gz" ;;
	esac
	if [ "$os" = linux ]; then
		if command -v dpkg-deb >/dev/null && command -v readelf >/dev/null; then
			debian "$dir" "$arch" "$RELEASE/aquifer_$2_$arch.deb"
		else
			note "SKIP the Debian package: no dpkg-deb and readelf"
		fi
	fi
}

release_all() {
	local version platform file
	need_go
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
	export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
	version=$(release_version)
	rm -rf $RELEASE && mkdir -p $RELEASE/tmp
	compile ""
	completions $RELEASE/tmp/completions "$BINARY"
	manuals $RELEASE/tmp/man
	release_compilers
	for platform in "${PLATFORMS[@]}"; do
		note "$platform"
		(release_platform "$platform" "$version")
	done
	mkdir -p $RELEASE/winget
	template $PACKAGING/aquifer.rb.in "$version" >$RELEASE/aquifer.rb
	for file in "$PACKAGING"/winget/*.in; do
		template "$file" "$version" >"$RELEASE/winget/$(basename "$file" .in)"
	done
	rm -rf $RELEASE/tmp
	(cd $RELEASE && find . -maxdepth 1 -type f -name 'aquifer*' | sed 's|^\./||' | sort | xargs sha256sum >SHA256SUMS)
	(cd $RELEASE && find . -mindepth 1 -maxdepth 2 -type f \( -name 'aquifer' -o -name 'aquifer.exe' -o -path './aquifer_*' \) -printf '%s %P\n' | sort -k 2 |
		awk '{ printf "%9.1f MB  %s\n", $1 / 1e6, $2 }')
	say "in $RELEASE; ./build.sh release run starts what can run here"
}

# release_twice builds the commit once more, elsewhere, and compares.
release_twice() {
	local other
	[ -f $RELEASE/SHA256SUMS ] || release_all
	other=$(mktemp -d)
	git clone -q --no-hardlinks . "$other/aquifer"
	(cd "$other/aquifer" && ./build.sh release >/dev/null)
	diff $RELEASE/SHA256SUMS "$other/aquifer/$RELEASE/SHA256SUMS" && say "equal: $(wc -l <$RELEASE/SHA256SUMS) files, built in two places"
	rm -rf "$other"
}

# release_run starts the executables of all platforms for which this machine has one, or an emulator.
release_run() {
	local platform dir wine failed=
	[ -f $RELEASE/SHA256SUMS ] || die "no release; ./build.sh release makes one"
	(cd $RELEASE && sha256sum --quiet -c SHA256SUMS)
	for platform in "${PLATFORMS[@]}"; do
		dir=$PWD/$RELEASE/${platform/\//_}
		case $platform in
		"$(go env GOHOSTOS)/$(go env GOHOSTARCH)") release_start "$platform" "$dir/aquifer" || failed=1 ;;
		linux/arm64)
			if command -v qemu-aarch64 >/dev/null; then
				release_start "$platform" qemu-aarch64 -cpu neoverse-n1 -L /usr/aarch64-linux-gnu "$dir/aquifer" || failed=1
			else
				say "$platform: not run, no qemu-aarch64"
			fi
			;;
		windows/amd64)
			if windows_machine; then
				release_start "$platform" "$wine" "$dir/aquifer.exe" || failed=1
			else
				say "$platform: not run, no wine64 and zig"
			fi
			;;
		*) say "$platform: not run, there is no such machine here" ;;
		esac
	done
	[ -z "$failed" ]
}

# release_start PLATFORM COMMAND... lets a program say its version, what it finds, and a word.
release_start() {
	local platform=$1 home text
	shift
	home=$(mktemp -d)
	text=$(HF_HOME=$home HF_ENDPOINT=http://127.0.0.1:1 "$@" --version && HF_HOME=$home HF_ENDPOINT=http://127.0.0.1:1 "$@" doctor | grep -E '^(chosen|backend)' &&
		HF_HOME=$home "$@" run --temperature 0 -n 8 "Why is the sky blue?" 2>/dev/null) || {
		say "$platform: FAILED"
		return 1
	}
	if [ "$platform" = linux/amd64 ] && grep -qw avx2 /proc/cpuinfo && [[ $text = *"level baseline"* ]]; then
		say "$platform: FAILED: the kernels do not see what this processor can do"
		return 1
	fi
	printf '%s:\n' "$platform"
	printf '%s\n' "$text" | tr -d '\r' | sed 's/^/    /'
	rm -rf "$home"
}
