# Sourced by e2e and bench: maildrops of made-up messages. They are the same in each run.
# shellcheck shell=bash

# make_messages FOLDER COUNT OCTETS writes COUNT different messages of at least OCTETS octets. They
# have content that programs often break: lines of dots, 8-bit octets, lone CRs, empty bodies, long
# lines. Line ends are LF, as in a Maildir. The file names have the sizes (S= as here, W= with
# CRLF), so Dovecot can answer LIST without reading the messages.
make_messages() {
	mkdir -p "$1"
	LC_ALL=C awk -v folder="$1" -v count="$2" -v octets="$3" '
		function put(line) { text = text line "\n"; lines++ }
		function odd(i) {
			if (i % 10 == 0) { put("."); put(".."); put(".a dot"); put("...") }
			if (i % 10 == 1) put("8-bit: \344\366\374 \303\244 \377")
			if (i % 10 == 2) put("a lone CR: \r in the middle, and at the end\r.")
			if (i % 10 == 3) put("From the beginning of a line")
			if (i % 10 == 4) put("+OK this is no reply")
			if (i % 100 == 5) put(long)
		}
		BEGIN {
			for (n = 0; n < 2000; n++) long = long "long line "
			for (i = 1; i <= count; i++) {
				text = ""; lines = 0
				put("From: Sender " i % 17 " <sender" i % 17 "@example.org>")
				put("To: alice@example.net")
				put("Subject: message " i " of " count)
				put("Message-ID: <" i ".e2e@example.org>")
				put("Date: Mon, 02 Mar 2026 09:" sprintf("%02d:%02d", i / 60 % 60, i % 60) " +0000")
				put("")
				if (i % 10 != 9) odd(i)
				for (n = 1; length(text) < octets; n++)
					put("Line " n " of message " i ": " (i * 7919 + n * 104729) % 1000003 " is a number.")
				name = sprintf("%s/%06d.made,S=%d,W=%d", folder, i, length(text), length(text) + lines)
				printf "%s", text > name
				close(name)
			}
		}'
}

# sums FOLDER... prints the SHA-256 of each file, sorted. Two maildrops have the same messages,
# without duplicates or truncated ones, if and only if their sums are equal.
sums() { find "$@" -type f -print0 | xargs -0 -r sha256sum -- | cut -c 1-64 | sort; }

# new_in MAILDIR prints the number of messages in the Maildir.
new_in() { { find "$1/new" "$1/cur" -type f 2>/dev/null || true; } | wc -l; }
