# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='Pipelines'
ahead='popfetch: list and --json are made for other programs. mpop shows sizes only in its log of the protocol, while it fetches; fetchmail, getmail and fdm do not show them before they fetch.'

popfetch() {
	as_before popfetch_config
	note 'the three largest messages on the server'
	try_quietly 'popfetch list | sort -t "	" -k 4n | tail -n 3'
	note 'the unique-ids of what was fetched just now'
	try_quietly 'popfetch --once --json | jq -r "select(.event == \"delivered\").unique_id" | head -n 3'
}

mpop() {
	as_before mpop_config mpop_maildir
	note 'the three largest messages on the server; there is no command for it, so they are fetched too'
	try_quietly 'mpop --debug --pipelining=off | sed -n "s/^<-- \([0-9]* [0-9]*\)\r\$/\1/p" | sort -k 2n | tail -n 3'
	note 'the unique-ids of what was fetched just now; they stand in a file, with all earlier ones'
	try_quietly 'grep -v "^[# ]" .mpop_uidls/* | head -n 3'
}

fetchmail() {
	as_before fetchmail_config
	note 'the three largest messages on the server: fetchmail has no way to list them'
	note 'the unique-ids of what was fetched just now; they stand in a file, with all earlier ones'
	try_quietly 'fetchmail --silent; head -n 3 .fetchids'
}

getmail() {
	as_before getmail_config mpop_maildir
	note 'the three largest messages on the server: getmail has no way to list them'
	note 'the unique-ids of what was fetched just now; they stand in a file, with all earlier ones'
	try_quietly 'getmail --quiet; tr "\\0" " " <.config/getmail/oldmail-pop.example.org-995-alice | head -n 3'
}

fdm() {
	as_before fdm_config
	note 'the three largest messages on the server: fdm has no way to list them'
	note 'the unique-ids of what was fetched just now; they stand in a file, with all earlier ones'
	try_quietly 'fdm -q fetch; head -n 3 .fdm.cache'
}
