# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='Mistakes'
ahead='popfetch names file, line and key of each mistake, all at once, and what to write instead. The others tell the first mistake alone. fetchmail and getmail print their usage. getmail and fdm also run with a file that everybody can read.'

# mistakes OPTION WORD FILE SED COMMAND makes a mistake in an option, in a word, and two in the file.
# At last, others may read the file.
mistakes() {
	try "$1"
	try_for 5 "$2"
	cp "$home/$3" "$work/right"
	as_alice "sed -i '$4' $3"
	note "changed: $(diff "$work/right" "$home/$3" | sed -n 's/^> *//p' | paste -sd ';')"
	try "$5"
	cp "$work/right" "$home/$3"
	chmod 644 "$home/$3"
	note "everybody can read ~/$3"
	try "$5"
}

popfetch() {
	as_before popfetch_config
	mistakes 'popfetch --onec' 'popfetch lst' .config/popfetch/config.toml 's/^server/host/; s/^maildir/mailbox/' 'popfetch --once'
}

mpop() {
	as_before mpop_config mpop_maildir
	mistakes 'mpop --quite' 'mpop wrok' .mpoprc 's/^host/server/; s/maildir/mailbox/' 'mpop'
}

fetchmail() {
	as_before fetchmail_config
	mistakes 'fetchmail --slient' 'fetchmail pop.exmaple.org' .fetchmailrc 's/password/pasword/; s/ mda/ mad/' 'fetchmail'
}

getmail() {
	as_before getmail_config mpop_maildir
	mistakes 'getmail --quite' 'getmail --rcfile wrok' .config/getmail/getmailrc 's/^server/host/; s/^type = Maildir/type = mailbox/' 'getmail'
}

fdm() {
	as_before fdm_config
	mistakes 'fdm -Q' 'fdm -a wrok fetch' .fdm.conf 's/server/host/; s/maildir "/mailbox "/' 'fdm fetch'
}
