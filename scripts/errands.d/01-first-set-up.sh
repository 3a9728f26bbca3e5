# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='First set-up'
ahead='popfetch needs half of mpop'\''s lines of configuration, and as many as fetchmail with procmail. It has the fewest lines of output: one for each run. It alone keeps the mail on the server without being told to, and stores what the server has to the octet. For mpop the Maildir must be made first.'

popfetch() {
	popfetch_config
	try 'popfetch --once'
	try 'popfetch --once'
	holds Maildir
}

mpop() {
	mpop_config
	mpop_maildir
	try 'mpop'
	try 'mpop'
	holds Maildir
}

fetchmail() {
	fetchmail_config
	try 'fetchmail'
	try 'fetchmail'
	holds Maildir
}
