# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='First set-up'
ahead='popfetch needs five lines of configuration, as fetchmail with procmail does; fdm needs six, mpop eight, and getmail eleven. popfetch init would write them. popfetch and fdm have the fewest lines of output: one for each run. popfetch and getmail keep the mail on the server without being told to. popfetch alone stores what the server has to the octet. For mpop and getmail the Maildir must be made first.'

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

getmail() {
	getmail_config
	mpop_maildir
	try 'getmail'
	try 'getmail'
	holds Maildir
}

fdm() {
	fdm_config
	try 'fdm fetch'
	try 'fdm fetch'
	holds Maildir
}
