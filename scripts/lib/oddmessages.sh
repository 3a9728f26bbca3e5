# Sourced by interop: messages with what servers and programs often change.
# shellcheck shell=bash

# odd_messages FOLDER writes one message a file.
odd_messages() {
	mkdir -p "$1"
	{ odd_header plain && printf 'An ordinary message.\n'; } >"$1/01"
	{ odd_header eight-bit && printf 'UTF-8: na\303\257ve \342\202\254. Latin 1: \344\366\374 \377.\n'; } >"$1/02"
	{ odd_header 'header in Latin 1: gr\374n' && printf 'The subject has an octet above 127.\n'; } >"$1/03"
	{ odd_header 'longest line' && odd_line 998 && odd_line 997; } >"$1/04"
	{ odd_header 'line beyond the limit' && odd_line 20000 && printf 'after it\n'; } >"$1/05"
	{ odd_header dots && printf '.\n..\n.a dot\n...\n \n.\n'; } >"$1/06"
	{ odd_header 'no end of line' && printf 'The last line has no line end'; } >"$1/07"
	{ odd_header 'line ends of the network' && printf 'one\ntwo\n'; } | sed 's/$/\r/' >"$1/08"
	odd_header 'empty body' >"$1/09"
	{ odd_header twin && printf 'The next message is the same.\n'; } >"$1/10"
	cp "$1/10" "$1/11"
	{ odd_header 'like replies' && printf '+OK 3 messages\n-ERR no\nFrom the start of a line\n>From a quoted one\n'; } >"$1/12"
	{ odd_header 'spaces   ' && printf 'at the end:   \n\ttab\t\n\n\n'; } >"$1/13"
	{ odd_header large && head -c 1600000 /dev/zero | openssl enc -aes-128-ctr -pass pass:odd -nosalt -pbkdf2 -iter 1 2>/dev/null | base64 -w 76; } >"$1/14"
}

# odd_header SUBJECT prints a header and the empty line. printf expands SUBJECT.
odd_header() {
	printf 'Received: from a.example.org by b.example.net with ESMTP;\n\tTue, 31 Mar 2026 09:00:00 +0000\n'
	printf 'From: Bob <bob@example.org>\nTo: alice@example.org\n'
	# shellcheck disable=SC2059
	printf "Subject: $1\n"
	printf 'Message-ID: <%s@example.org>\nDate: Tue, 31 Mar 2026 09:00:00 +0000\n\n' "$(cksum <<<"$1" | cut -d ' ' -f 1)"
}

# odd_line LENGTH prints a line.
odd_line() { awk -v n="$1" 'BEGIN { while (length(line) < n) line = line "0123456789"; print substr(line, 1, n) }'; }
