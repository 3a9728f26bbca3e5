# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='A huge maildrop, interrupted'
ahead='popfetch and mpop go on after Ctrl-C where they were, and are quick; docs/performance.md measures them. popfetch says how many messages are left. fetchmail is far slower, because it runs procmail for each message, and the message that procmail has at Ctrl-C may come twice. fdm is slower too. getmail takes minutes, and may end by its own time limit.'

# huge COMMAND lets a command fetch 5000 messages. Ctrl-C ends its first run.
huge() {
	[[ -d $work/huge ]] || make_messages "$work/huge" 5000 2000
	dovecot_empty alice
	dovecot_fill alice "$work/huge"
	as_alice "popfetch check --server pop.example.org --user alice --password-command 'echo tanstaaf' --state-dir /tmp/unused.$$" >/dev/null # the server makes its index
	note 'the maildrop holds 5000 messages of 2 KB'
	note 'Ctrl-C is pressed as soon as 300 messages are there'
	try_until 300 Maildir "$1"
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
	huge 'popfetch --once'
}

mpop() {
	as_before mpop_config mpop_maildir
	huge 'mpop --quiet'
}

fetchmail() {
	as_before fetchmail_config
	huge 'fetchmail --silent'
}

getmail() {
	as_before getmail_config mpop_maildir
	huge 'getmail --quiet'
}

fdm() {
	as_before fdm_config
	huge 'fdm -q fetch'
}
