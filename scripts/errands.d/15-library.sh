# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='A library'
ahead='popfetch alone has one: pop3 is a package for Go. The others are programs only; another program has to run them and to read what they print. docs/library.md compares pop3 with other libraries.'

popfetch() {
	note 'a program that lists a maildrop and saves it; ~/popfetch is a clone'
	file save/main.go <"$root/scripts/errands.d/save/main.go"
	printf '%s\n' 'module example.org/save' "go $(sed -n 's/^go //p' "$root/go.mod")" 'require github.com/popfetch/popfetch v0.0.0' \
		'replace github.com/popfetch/popfetch => ../popfetch' | file save/go.mod
	ln -s "$root" "$home/popfetch"
	took in_save 'cd save; go build' 'go build'
	[[ -x $home/save/save ]] || die 'the program of errand 15 was not built'
	try 'save/save'
	try 'ls'
}

# in_save runs the go command of this script's user, who has the modules. They were checked against
# go.sum when they came, and there is no network here.
in_save() { (cd "$home/save" && GOFLAGS='-mod=mod -buildvcs=false' GOPROXY=off GOSUMDB=off sh -c "$1" </dev/null); }

mpop() { note 'there is none'; }

fetchmail() { note 'there is none'; }

getmail() { note 'there is none'; }

fdm() { note 'there is none'; }
