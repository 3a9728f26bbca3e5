# Sourced by interop: fetches from one server in every way, and notes each result.
# shellcheck shell=bash disable=SC2154,SC1003

host=pop.example.org
password=tanstaaf

# The columns of the second table. A mechanism is its word for the key auth.
mechanisms=(external oauthbearer xoauth2 gssapi scram-sha-256 scram-sha-1 plain login user ntlm cram-md5 apop)

# result KIND WAY COLUMN VALUE notes one result.
result() { printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$title" "$2" "$3" "$4" >>"$results"; }

# fault TEXT notes what must not be.
fault() {
	result fault "$way" '' "$1"
	printf '%s, %s: %s\n' "$title" "$way" "$1" >&2
	[[ -z ${case:-} ]] || tail -n 12 "$case/output" >&2 || true
	[[ ! -s $work/curl.errors ]] || cat "$work/curl.errors" >&2
}

# judge_way LABEL TLS PORT runs all cases over one way to reach the server.
judge_way() {
	way=$1 tls=$2 port=$3
	fill
	judge_keep
	judge_delete
	local mechanism
	judge_auto
	for mechanism in "${mechanisms[@]}"; do
		judge_login "$mechanism"
	done
}

# judge_keep fetches all messages, fetches again, and compares them with those of mpop and with the
# originals.
judge_keep() {
	new_case keep never
	run_case 0
	outcome keep "$(came)" "$given"
	run_case 0
	outcome twice "$(($(came) - given))" 0
	by_mpop "$case/mpop"
	outcome 'as mpop' "$(same "$case/Maildir" between_sessions "$case/mpop" between_sessions)" "$given"
	unchanged
	(($(left) == given)) || fault "after keep, the server has $(left) messages"
}

# judge_delete fetches and deletes all messages.
judge_delete() {
	new_case delete delivered
	run_case 0
	outcome delete "$(came)" "$given"
	(($(left) == 0)) || fault "after delete, the server still has $(left) messages"
}

# outcome COLUMN GOT WANT notes a result, which must be the number WANT.
outcome() {
	if (($2 == $3)); then
		result fetch "$way" "$1" yes
	else
		result fetch "$way" "$1" "$2 of $3"
		is_known "$1" || fault "$1: $2 messages, want $3"
	fi
}

# judge_auto logs in without the key auth. It sets offered to the mechanisms of SASL that the server
# announces, greeting to its greeting, and has_user to whether USER is announced.
judge_auto() {
	new_case auto never
	run_case 0
	local trace=$case/output
	greeting=$(sed -n '0,/^[^<]*< +OK/s/^[^<]*< //p' "$trace")
	offered=$(sed -n 's/^[^<]*< SASL *//p' "$trace" | tail -n 1)
	has_user=$(grep -cE '< (USER\b|-ERR)' "$trace" || true)
	result login "$way" auto "$(taken)"
	[[ -z $(lacking) ]] || result login "$way" besides "$(lacking)"
}

# taken prints the name of the mechanism that popfetch used last.
taken() { sed -nE 's/^[^>]*> (AUTH ([A-Z0-9-]+)|(USER|APOP) ).*/\2\3/p' "$case/output" | tail -n 1; }

# lacking prints the mechanisms that the server announces and popfetch lacks.
lacking() {
	local name
	for name in $offered; do
		[[ " ${mechanisms[*]^^} " == *" ${name%-PLUS} "* ]] || printf '%s ' "$name"
	done | sed 's/ $//'
}

# offers MECHANISM reports whether the server offers it here. After STLS, the timestamp for APOP
# came before TLS, so popfetch does not use it.
offers() {
	case $1 in
	user) ((has_user)) ;;
	apop) [[ $tls != starttls && $greeting == *'<'*'@'*'>'* ]] ;;
	*) [[ " ${offered^^} " == *" ${1^^} "* ]] ;;
	esac
}

# judge_login MECHANISM logs in with the right and with a wrong password. popfetch must end with 0
# and with 77. It refuses some mechanisms without TLS. EXTERNAL may be announced only to a client that
# has shown a certificate.
judge_login() {
	[[ $tls != none || $1 != @(external|oauthbearer|xoauth2|ntlm) ]] || return 0
	[[ $1 == external ]] || offers "$1" || return 0
	local right wrong value=yes
	new_case "$1" never "$1" wrong
	wrong=$(status_of)
	new_case "$1" never "$1"
	right=$(status_of)
	[[ $1 != external ]] || grep -q '< SASL .*EXTERNAL' "$case/output" || return 0
	[[ $(taken) != *-PLUS ]] || value='yes, bound'
	[[ $(taken) == "${1^^}"?(-PLUS) ]] || fault "$1: popfetch took $(taken)"
	if ((right != 0)); then
		value="no ($right)"
		is_known "$1" || fault "$1: exit status $right with the right password"
	fi
	if ((wrong == 0)); then
		value+=', with any password'
		is_known "$1" || fault "$1: the server takes a wrong password"
	elif ((wrong != 77)); then
		value+=", wrong password: $wrong"
		is_known "$1" || fault "$1: exit status $wrong with a wrong password"
	fi
	result login "$way" "$1" "$value"
}

# is_known COLUMN reports whether the server's file explains why a result is not as it should be.
is_known() { [[ " ${known[*]/%/ |} " == *" $way $1 |"* ]]; }

# new_case NAME DELETE [MECHANISM [wrong]] makes an empty folder and a configuration, and signs in.
new_case() {
	case=$work/cases/$title/${way// /-}-$1
	rm -rf "$case"
	mkdir -p "$case/Maildir/new"
	{
		printf 'state_dir = "%s/state"\n\n[account.alice]\nserver = "%s:%s"\ntls = "%s"\nuser = "alice"\n' "$case" "$host" "$port" "$tls"
		[[ $tls == none ]] || printf 'tls_ca = "%s/ca.pem"\n' "$work"
		printf 'delete = "%s"\nmaildir = "%s/Maildir"\n' "$2" "$case"
		[[ -z ${3:-} ]] || printf 'auth = "%s"\n' "$3"
		credential "${3:-}" "${4:-right}"
	} >"$case/config.toml"
	chmod 600 "$case/config.toml"
	sign_in "${3:-}" "${4:-right}"
}

# credential MECHANISM right|wrong prints the keys with what the account logs in with. The server's
# sign_in gets tokens and tickets.
credential() {
	case $1-$2 in
	external-*) printf 'tls_cert = "%s/%s.pem"\ntls_key = "%s/%s.key"\n' "$work" "$2-client" "$work" "$2-client" ;;
	oauthbearer-* | xoauth2-*) oauth_table ;;
	gssapi-*) ;;
	*-wrong) printf 'password = "wrong"\n' ;;
	*) printf 'password = "%s"\n' "$password" ;;
	esac
}

# run_case STATUS runs popfetch once. Its exit status must be STATUS.
run_case() {
	local status
	status=$(status_of)
	((status == $1)) || fault "exit status $status, want $1"
}

# status_of runs popfetch once and prints its exit status.
status_of() {
	local status=0
	timeout 120 "$work/popfetch" --config "$case/config.toml" --once -vv >"$case/output" 2>&1 || status=$?
	printf '%d' "$status"
}

# came prints the number of messages in the Maildir.
came() { find "$case/Maildir/new" -type f | wc -l; }

# same FOLDER COMMAND FOLDER COMMAND prints how many messages are in both folders, each behind the
# command that follows its folder.
same() { comm -12 <(odd_sums "$1" "$2") <(odd_sums "$3" "$4") | wc -l; }

# odd_sums FOLDER COMMAND prints the SHA-256 of each message behind the command. Line ends may be LF
# or CRLF, and the last one may be missing, because POP3 has no other line end than CRLF.
odd_sums() {
	local file
	find "$1" -type f | while read -r file; do
		LC_ALL=C sed -e 's/\r$//' -e '$a\' "$file" | "$2" | sha256sum
	done | sort
}

# without_fields PATTERN passes a message on without these fields of its header.
without_fields() {
	LC_ALL=C awk -v drop="^($1):" '
		$0 == "" { body = 1 }
		!body && !/^[ \t]/ { dropped = tolower($0) ~ drop }
		body || !dropped'
}

# unchanged compares with the originals, and says how they are changed.
unchanged() {
	local strictly undone
	strictly=$(same "$case/Maildir" cat "$work/mail" cat)
	undone=$(same "$case/Maildir" undo "$work/mail" cat)
	if ((strictly == given)); then
		result fetch "$way" 'as given' yes
	elif ((undone == given && strictly == 0)); then
		result fetch "$way" 'as given' "yes, but $changes"
	elif ((undone == given)); then
		result fetch "$way" 'as given' "$strictly of $given; in the others $changes"
	else
		result fetch "$way" 'as given' "$undone of $given"
		fault "$undone of $given messages are as they were given"
	fi
}

# by_mpop FOLDER fetches all messages into a Maildir with mpop, which is no relative of popfetch.
by_mpop() {
	mkdir -p "$1"/{cur,new,tmp}
	cat >"$case/mpoprc" <<-END
		account default
		host $host
		port $port
		user alice
		password $password
		auth user
		keep on
		uidls_file $case/uidls
		received_header off
		delivery maildir $1
		tls $([[ $tls == none ]] && echo off || echo on)
		tls_starttls $([[ $tls == starttls ]] && echo on || echo off)
		$([[ $tls == none ]] || printf 'tls_trust_file %s' "$work/ca.pem")
	END
	chmod 600 "$case/mpoprc"
	timeout 120 mpop --file="$case/mpoprc" --quiet >"$work/log" 2>&1 || fault "mpop fails: $(tail -n 1 "$work/log")"
}

# left prints how many messages the server lists for curl.
left() { curl_pop3 / | grep -c '^[0-9]' || true; }

curl_pop3() {
	local scheme=pop3 protected=()
	[[ $tls != implicit ]] || scheme=pop3s
	[[ $tls != starttls ]] || protected=(--ssl-reqd)
	curl --silent --show-error --max-time 60 --cacert "$work/ca.pem" "${protected[@]}" \
		--user "alice:$password" "$scheme://$host:$port$1" 2>"$work/curl.errors"
}

# make_authority makes the server's certificate and two for clients: alice's, and one that a
# stranger has signed.
make_authority() {
	local name
	for name in ca stranger; do
		openssl req -x509 -nodes -days 90 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj "/CN=$name" \
			-keyout "$work/$name.key" -out "$work/$name.pem" 2>/dev/null
	done
	make_certificate server "/CN=$host" ca
	make_certificate right-client '/CN=alice' ca
	make_certificate wrong-client '/CN=alice' stranger
	cat "$work/server.key" "$work/server.pem" >"$work/server-both.pem"
	chmod 644 "$work"/server*
}

# make_certificate NAME SUBJECT ISSUER
make_certificate() {
	openssl req -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj "$2" -keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null
	openssl x509 -req -days 90 -in "$work/$1.csr" -CA "$work/$3.pem" -CAkey "$work/$3.key" -CAcreateserial \
		-extfile <(printf 'subjectAltName=DNS:%s\n' "$host") -out "$work/$1.pem" 2>/dev/null
}

# The servers' files use the functions below.

# give_mbox fills alice's mbox as a mail transfer agent does: with LF, and From_ lines quoted.
give_mbox() {
	local file
	for file in "$work"/mail/*; do
		printf 'From bob@example.org Tue Mar 31 09:00:00 2026\n'
		LC_ALL=C sed -e 's/\r$//' -e 's/^>*From />&/' -e '$a\' "$file"
		printf '\n'
	done >/var/mail/alice
	chown alice:mail /var/mail/alice
	chmod 660 /var/mail/alice
}

# give_maildir FOLDER fills a Maildir of alice. Servers list its messages in the order of the names.
give_maildir() {
	local file
	mkdir -p "$1"/{cur,new,tmp}
	for file in "$work"/mail/*; do
		cp "$file" "$1/new/17000000${file##*/}.$EPOCHREALTIME.made"
	done
	chown -R alice:alice "$1"
}

# give_smtp PORT sends the messages by SMTP.
give_smtp() {
	local file
	for file in "$work"/mail/*; do
		with_crlf "$file" | curl --silent --show-error --mail-from bob@example.org --mail-rcpt alice@example.org \
			--upload-file - "smtp://127.0.0.1:$1" || die "the server does not take ${file##*/}"
	done
}

# with_crlf FILE prints a message with the line ends of the network.
with_crlf() { LC_ALL=C sed -e 's/\r$//' -e 's/$/\r/' "$1"; }
