# Sourced by release: tests programs and packages. Everything runs in namespaces of its own, without
# a network. The scripts in the folder inside run there.
# shellcheck shell=bash disable=SC2154

release_d=$root/scripts/release.d
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

need_for_test() {
	((EUID == 0)) || die "the test installs packages in namespaces of its own; run it as root"
	need_compiler
	need unshare util-linux "makes namespaces"
	need ip iproute2 "makes loopback usable in a network of its own"
	need debootstrap debootstrap "makes a small Debian"
	need lintian lintian "checks the .deb"
	need rpm rpm "checks the .rpm"
	need readelf binutils "tells what a program is built for"
	need qemu-aarch64-static qemu-user-static "runs programs for arm64"
	need dnsmasq dnsmasq-base "answers questions for names"
	need jq jq "reads the list of what the program is made of"
}

# test_release DIST tests everything in this folder.
test_release() {
	local dist=$1 test
	[[ -e $dist/SHA256SUMS ]] || die "there is no $dist; run scripts/release first"
	build_servers
	for test in checksums bom programs resolver lintian rpm container debian; do
		run_test "$test" "$dist"
	done
}

# run_test NAME DIST runs test_NAME in a shell of its own, because set -e has no effect in a function
# whose status is tested.
run_test() {
	local began=$SECONDS status=0
	say "== $1"
	set +e
	(
		set -e
		trap end_machine EXIT
		"test_$1" "$2"
	)
	status=$?
	set -e
	((status == 0)) || die "the test $1 failed after $((SECONDS - began)) s"
	say "== $1: passed, $((SECONDS - began)) s"
}

# build_servers builds the POP3 server of the tests, so that it runs without any library.
build_servers() {
	(cd "$root" && CGO_ENABLED=0 go build -o "$work/listserver" ./scripts/listserver)
}

# only PATTERN... prints the one file that the pattern matches.
only() {
	[[ $# == 1 && -f $1 ]] || die "not exactly one file: $*"
	printf '%s' "$1"
}

test_checksums() {
	(cd "$1" && sha256sum --quiet -c SHA256SUMS)
	local listed
	listed=$(wc -l <"$1/SHA256SUMS")
	(($(find "$1" -type f ! -name SHA256SUMS | wc -l) == listed)) || die "SHA256SUMS does not name every file"
}

# test_bom compares the list of modules with what the program says of itself.
test_bom() {
	local bom program
	bom=$(only "$1"/*.cdx.json)
	program=$(only "$1"/*-linux-amd64)
	diff <(jq -r '.components[] | select(.name != "std") | "\(.name) \(.version)"' "$bom" | sort) \
		<(go version -m "$program" | awk '$1 == "dep" { print $2, $3 }' | sort)
	jq -e '.bomFormat == "CycloneDX" and .metadata.component.version != ""' "$bom" >/dev/null
}

test_programs() {
	local program machine file
	for program in "$1"/*-linux-{amd64,arm64}{,-static}; do
		file=${program##*/}
		machine='X86-64'
		[[ $program != *arm64* ]] || machine=AArch64
		readelf -h "$program" | grep -qE "Machine:.*$machine\$" || die "$file is not for $machine"
		if [[ $program == *-static ]]; then
			! readelf -lW "$program" | grep -q INTERP || die "$file is not static"
		else
			readelf -dW "$program" | grep -q BIND_NOW || die "$file does not bind at once"
		fi
		case $program in
		*arm64) qemu-aarch64-static -L /usr/aarch64-linux-gnu "$program" --version ;;
		*arm64-static) qemu-aarch64-static "$program" --version ;;
		*) "$program" --version ;;
		esac
	done
}

# test_resolver runs the static program where there is no library, and a name server on loopback.
test_resolver() {
	local bare=$work/bare
	mkdir -p "$bare/etc"
	cp "$(only "$1"/*-linux-amd64-static)" "$bare/popfetch"
	printf 'nameserver 127.0.0.1\n' >"$bare/etc/resolv.conf"
	unshare -mn "$release_d/inside/resolver" "$bare" "$work/listserver"
}

# test_lintian fails at an error or a warning that lintian-overrides does not explain.
test_lintian() {
	lintian --allow-root --fail-on error,warning "$1"/*.deb
}

test_rpm() {
	local file installed arch
	for file in "$1"/*.rpm; do
		rpm -K --nosignature "$file"
		installed=$work/rpm/${file##*/}
		mkdir -p "$installed"
		rpm --root "$installed" --initdb
		rpm --force-debian --root "$installed" --nodeps --noscripts --ignorearch -i "$file"
		rpm --root "$installed" -qlp "$file" >"$work/rpm/list"
		! grep -vE '^/(usr/(bin|lib/systemd|share)|etc/popfetch)(/|$)' "$work/rpm/list" || die "${file##*/} has these files"
		for arch in x86_64 aarch64; do
			[[ $file != *."$arch".rpm ]] || grep -qF "${arch/x86_64/X86-64}" <(readelf -h "$installed/usr/bin/popfetch" | sed s/AArch64/aarch64/) ||
				die "${file##*/} has a program for another machine"
		done
		rpm --force-debian --root "$installed" -e --noscripts popfetch
		[[ ! -e $installed/usr/bin/popfetch ]] || die "${file##*/} was not removed"
	done
}

# small_debian FOLDER makes a small Debian there. The first time it downloads the packages.
small_debian() {
	local folder=$1 cache=${XDG_CACHE_HOME:-$HOME/.cache}/popfetch-tools/bookworm.tar
	if [[ ! -e $cache ]]; then
		say "downloading a small Debian"
		mkdir -p "${cache%/*}"
		debootstrap --variant=minbase --include=ca-certificates,dbus,libpam-systemd,procmail,systemd-sysv \
			bookworm "$work/debootstrap" >"$work/debootstrap.log" || { tail "$work/debootstrap.log" && die "debootstrap failed"; }
		tar -C "$work/debootstrap" -cf "$cache.new" .
		mv "$cache.new" "$cache"
		rm -rf "$work/debootstrap"
	fi
	mkdir -p "$folder"
	tar -C "$folder" -xf "$cache"
}

# test_debian installs, uses, upgrades, removes and purges the .deb in a Debian that has been booted.
test_debian() {
	local debian=$work/debian
	small_debian "$debian"
	mkdir -p "$debian"/test/{older,newer}
	older_deb "$1" "$debian/test/older/popfetch_0_amd64.deb"
	cp "$(only "$1"/*_amd64.deb)" "$debian/test/newer"
	cp "$work/listserver" "$release_d/inside/debian" "$root/docs/installing.md" "$debian/test"
	boot_machine "$debian"
	in_machine /test/debian
}

# older_deb DIST FILE makes a .deb with the same program and an older version.
older_deb() {
	local opened=$work/older
	mkdir "$opened"
	dpkg-deb -R "$(only "$1"/*_amd64.deb)" "$opened"
	sed -i 's/^Version: .*/Version: 0.0.0~older-1/' "$opened/DEBIAN/control"
	dpkg-deb -b --root-owner-group "$opened" "$2" >"$work/dpkg-deb.log"
}

machine=

# boot_machine FOLDER starts the folder's systemd in namespaces of its own.
boot_machine() {
	local tries
	unshare -mpuinCf --kill-child "$release_d/inside/boot" "$1" >"$work/boot.log" 2>&1 &
	machine=$!
	for ((tries = 0; tries < 600; tries++)); do
		machine_init=$(pgrep -P "$machine") || true
		# "running" or "degraded"; is-system-running fails at the second
		[[ $machine_init ]] && in_machine systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded' && return
		sleep 0.1
	done
	cat "$work/boot.log" >&2
	die "the small Debian did not boot"
}

in_machine() {
	nsenter -t "$machine_init" -m -p -u -i -n -C env -i PATH="$path" LC_ALL=C.UTF-8 "$@"
}

# end_machine ends all processes of the machine: the kernel kills a namespace with its first one.
end_machine() {
	[[ ! $machine ]] || kill -9 "$machine" 2>/dev/null || true
	machine=
}

# test_container carries out the steps of the Containerfile, and runs the result as an engine would.
test_container() {
	local program
	program=$(only "$1"/*-linux-amd64-static)
	small_debian "$work/files"
	build_image "$1" "${program##*/}" "$release_d/container/Containerfile" "$work/image"
	unshare -mnpf --mount-proc --kill-child "$release_d/inside/container" "$work/image" "$work/listserver"
}

# build_image CONTEXT PROGRAM CONTAINERFILE FOLDER makes an image as an engine does. It knows only the
# instructions that the Containerfile has, and ends the script at any other. What the instructions
# say of running the image is written to FOLDER.run.
build_image() {
	local context=$1 program=$2 file=$3 image=$4 stage='' word rest line
	: >"$image.run"
	while read -r line; do
		read -r word rest <<<"$line"
		rest=${rest//"\${PROGRAM}"/$program}
		case $word in
		FROM)
			stage=$work/files
			if [[ $rest == scratch ]]; then
				stage=$image
				mkdir "$stage"
			else
				[[ $rest == docker.io/library/debian:bookworm-slim\ AS\ files ]] || die "$file: unknown image: $rest"
			fi
			;;
		RUN) run_step_of_image "$stage" "$rest" ;;
		COPY) copy_into_image "$context" "$stage" "$rest" ;;
		WORKDIR) mkdir -p "$stage$rest" && printf 'WORKDIR\t%s\n' "$rest" >>"$image.run" ;;
		ARG) [[ $rest == PROGRAM ]] || die "$file: unknown argument: $rest" ;;
		ENV | USER | VOLUME | STOPSIGNAL | ENTRYPOINT | HEALTHCHECK) printf '%s\t%s\n' "$word" "$rest" >>"$image.run" ;;
		*) die "$file: the test knows no $word" ;;
		esac
	done < <(grep -vE '^(#|$)' "$file")
}

# run_step_of_image FOLDER COMMAND runs a command in the small Debian, with this machine's network.
run_step_of_image() {
	cp -L /etc/resolv.conf "$1/etc/resolv.conf"
	unshare -mpf --kill-child "$release_d/inside/step" "$1" "$2" >"$work/step.log" 2>&1 || { cat "$work/step.log" >&2 && die "RUN $2 failed"; }
}

# copy_into_image CONTEXT STAGE WORDS carries out COPY for one file, or for the contents of a folder.
copy_into_image() {
	local from=$1 stage=$2 owner=0:0 mode='' word words=()
	for word in $3; do
		case $word in
		--from=files) from=$work/files ;;
		--chown=*) owner=${word#*=} ;;
		--chmod=*) mode=${word#*=} ;;
		--*) die "COPY: the test knows no $word" ;;
		*) words+=("$word") ;;
		esac
	done
	((${#words[@]} == 2)) || die "COPY: not two words: $3"
	mkdir -p "$(dirname "$stage${words[1]}")"
	cp -rL "$from/${words[0]}" "$stage${words[1]}"
	chown -R "$owner" "$stage${words[1]}"
	[[ ! $mode ]] || chmod "$mode" "$stage${words[1]}"
}
