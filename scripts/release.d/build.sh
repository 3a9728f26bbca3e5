# Sourced by release: builds the programs and the packages.
# shellcheck shell=bash disable=SC2154,SC2034

architectures=(amd64 arm64)
# These tools are built outside of this module, so that their dependencies do not become ours.
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
cyclonedx=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

need_for_build() {
	need_compiler
	need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu "compiles SQLite for arm64"
	need /usr/aarch64-linux-gnu/include/stdio.h libc6-dev-arm64-cross "C's header files for arm64"
	need readelf binutils "tells which C library a program asks for"
	need jq jq "sorts the list of what the program is made of"
}

# name_version sets the commit, its time in seconds, and the version.
name_version() {
	local tag
	commit=$(git -C "$root" rev-parse HEAD) || die "$root is no git clone, so there is no version"
	export SOURCE_DATE_EPOCH
	SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
	tag=$(git -C "$root" describe --tags --abbrev=0 --match 'v[0-9]*.[0-9]*.[0-9]*' 2>/dev/null) || tag=v0.0.0
	version=${tag#v}
	[[ $(git -C "$root" rev-parse -q --verify "$tag^{commit}") == "$commit" ]] ||
		version+=+git$(date -ud "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).${commit:0:12}
}

# build_release FOLDER builds everything in this new folder. The results are in its folder dist.
build_release() {
	local folder=$1 arch
	mkdir -p "$folder/dist"
	say "building $version in $folder"
	git clone -q --no-checkout "$root" "$folder/source"
	git -C "$folder/source" checkout -q --detach "$commit"
	for arch in "${architectures[@]}"; do
		compile "$folder" "$arch" dynamic "$folder/dist/popfetch-$version-linux-$arch"
		compile "$folder" "$arch" static "$folder/dist/popfetch-$version-linux-$arch-static"
	done
	make_bom "$folder" "$folder/dist/popfetch-$version.cdx.json"
	make_packages "$folder"
	(cd "$folder/dist" && sha256sum -- * >../SHA256SUMS && mv ../SHA256SUMS .)
}

# compile FOLDER ARCH dynamic|static FILE builds one program. Both kinds share the objects of SQLite.
# The static one has Go's resolver and Go's list of users, because the C library's would load others.
compile() {
	local folder=$1 arch=$2 kind=$3 file=$4 cc=gcc link=-Wl,-z,now tags=sqlite_omit_load_extension
	[[ $arch != arm64 ]] || cc=aarch64-linux-gnu-gcc
	[[ $(go env GOHOSTARCH) == amd64 || $arch != amd64 ]] || cc=x86_64-linux-gnu-gcc
	[[ $kind != static ]] || link=-static-pie tags+=,netgo,osusergo
	say "  $arch, $kind"
	(
		cd "$folder/source" || exit
		export GOOS=linux GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 GOFLAGS='' GOWORK=off GOEXPERIMENT=''
		export GOTOOLCHAIN CGO_ENABLED=1 CC=$cc
		GOTOOLCHAIN=$(sed -n 's/^toolchain //p' go.mod)
		export CGO_CFLAGS='-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2' CGO_LDFLAGS=''
		go build -trimpath -buildvcs=true -buildmode=pie -tags "$tags" -o "$file" \
			-ldflags "-s -w -X main.version=$version -linkmode external -extldflags '$link'" ./cmd/popfetch
	)
}

# tool NAME@VERSION prints where a tool is. It builds the tool the first time, which takes a minute.
tool() {
	local name=${1%@*} tools
	name=${name##*/}
	tools=${XDG_CACHE_HOME:-$HOME/.cache}/popfetch-tools/$name-${1##*@}
	if [[ ! -x $tools/$name ]]; then
		say "building $1" >&2
		(cd / && GOFLAGS='' GOBIN=$tools go install "$1" 2>&1 | { grep -v '^go: downloading' || true; }) >&2
	fi
	printf '%s' "$tools/$name"
}

# make_bom FOLDER FILE lists the modules of the program and their licences, in CycloneDX' format.
# SQLite's C code is a part of the module go-sqlite3.
make_bom() {
	GOFLAGS=-tags=sqlite_omit_load_extension GOOS=linux GOARCH=amd64 CGO_ENABLED=1 "$(tool "$cyclonedx")" app \
		-json -licenses -std -noserial -notimestamp -main cmd/popfetch "$1/source" >"$1/bom.json" 2>"$1/bom.log" ||
		{ cat "$1/bom.log" >&2 && die "no list of modules"; }
	jq --arg version "$version" --arg time "$(date -ud "@$SOURCE_DATE_EPOCH" +%FT%TZ)" \
		'.metadata.component.version = $version | .metadata.timestamp = $time | del(.metadata.tools[].hashes)' "$1/bom.json" >"$2"
}

# make_packages FOLDER makes the .deb and the .rpm of each architecture.
make_packages() {
	local folder=$1 stage=$1/stage arch
	stage_files "$folder/source" "$folder/dist/popfetch-$version-linux-$(go env GOHOSTARCH)-static" "$stage"
	for arch in "${architectures[@]}"; do
		cp "$folder/dist/popfetch-$version-linux-$arch" "$stage/popfetch"
		package "$stage" "$arch" "$version" deb "$folder/dist/popfetch_$version-1_$arch.deb"
		package "$stage" "$arch" "$version" rpm "$folder/dist/popfetch-$version-1.$(uname_of "$arch").rpm"
	done
}

uname_of() {
	case $1 in
	amd64) printf x86_64 ;;
	arm64) printf aarch64 ;;
	esac
}

# package STAGE ARCH VERSION deb|rpm FILE makes one package.
package() {
	local libc
	libc=$(readelf -W --dyn-syms "$1/popfetch" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1)
	(
		cd "$1" || exit
		package_arch=$2 package_version=$3 package_libc=${libc#GLIBC_} \
			"$(tool "$nfpm")" package -f nfpm.yaml -p "$4" -t "$5" >"$work/nfpm.log" || { cat "$work/nfpm.log" >&2 && exit 1; }
	)
}

# stage_files SOURCE PROGRAM STAGE lays out the files that packages have, as nfpm.yaml names them. The
# program prints the completions.
stage_files() {
	local source=$1 program=$2 stage=$3 from=$1/scripts/release.d page shell
	mkdir -p "$stage"/{man1,man5,completion,docs}
	cp -r "$from"/{nfpm.yaml,crontab.example,package} "$from"/systemd/{system,user,examples} "$source/config.example.toml" "$stage"
	mv "$stage/package/lintian-overrides" "$stage"
	for page in "$source"/man/*.[15]; do
		gzip -9n <"$page" >"$stage/man${page##*.}/${page##*/}.gz"
	done
	cp "$source"/README.md "$source"/docs/{installing,containers,providers,moving,monitoring,backup}.md \
		"$source"/docs/popfetch-events.schema.json "$stage/docs"
	gzip -9n <"$source/CHANGELOG.md" >"$stage/CHANGELOG.gz"
	for shell in bash fish zsh; do
		"$program" completion "$shell" >"$stage/completion/popfetch.$shell"
	done
	mv "$stage/completion/popfetch.zsh" "$stage/completion/_popfetch"
	cp "$source/LICENSE" "$stage/copyright"
	print_notices "$source" | gzip -9n >"$stage/NOTICES.gz"
	write_changelog >"$stage/changelog.yaml"
}

# print_notices SOURCE prints the licences of what the program contains: Go, and other modules.
print_notices() {
	local path dir file
	printf 'popfetch contains Go and the modules below. SQLite, in go-sqlite3, is in the public domain.\n'
	go -C "$1" list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/popfetch | sort -u >"$work/modules"
	printf 'Go %s\n' "$(go -C "$1" env GOROOT)" | cat - "$work/modules" | while read -r path dir; do
		for file in "$dir"/LICENSE* "$dir"/COPYING*; do
			[[ -f $file ]] || continue
			printf '\n=== %s, %s\n\n' "$path" "${file##*/}"
			cat "$file"
		done
	done
}

# write_changelog prints what nfpm makes the packages' own list of changes of. popfetch's list is in
# the packages too.
write_changelog() {
	cat <<-END
		- semver: "$version"
		  date: $(date -ud "@$SOURCE_DATE_EPOCH" +%FT%TZ)
		  packager: The popfetch developers <popfetch@users.noreply.github.com>
		  deb: {urgency: medium, distributions: [unstable]}
		  changes:
		    - note: See /usr/share/doc/popfetch/changelog.gz.
	END
}
