# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='A huge maildrop, interrupted'
ahead='popfetch goes on after Ctrl-C where it was, and so does mpop, which is slower, but not when nothing is new. fetchmail is far slower, because it runs procmail for each message.'

# huge COMMAND FIRST lets a command fetch 5000 messages. Ctrl-C ends its first run after FIRST
# seconds.
huge() {
	[[ -d $work/huge ]] || make_messages "$work/huge" 5000 2000
	dovecot_empty alice
	dovecot_fill alice "$work/huge"
	as_alice "popfetch check --server pop.example.org --user alice --password-command 'echo tanstaaf' --state-dir /tmp/unused.$$" >/dev/null # the server makes its index
	note 'the maildrop holds 5000 messages of 2 KB'
	try_for "$2" "$1"
	holds Maildir
	timed "$1"
	holds Maildir
	timed "$1"
}

timed() {
	local began=$EPOCHREALTIME
	try "$1"
	note "this took $(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $began }") s"
}

popfetch() {
	as_before popfetch_config
	huge 'popfetch --once' 0.4
}

mpop() {
	as_before mpop_config mpop_maildir
	huge 'mpop --quiet' 0.8
}

fetchmail() {
	as_before fetchmail_config
	huge 'fetchmail --silent' 5
}
