# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='A wrong password, host, port or kind of TLS'
ahead='popfetch tells each fault in one line, where mpop, getmail and fdm need two and fetchmail up to five. popfetch and mpop have an exit status for each kind of fault; fetchmail has 2 for most, getmail 127 for all, and fdm 0. popfetch and fetchmail say how to mend the kind of TLS, but at port 995 without TLS only popfetch ends by itself.'

# wrong_words CONFIG COMMAND SED... runs the command with one word of the configuration wrong.
wrong_words() {
	local config=$1 command=$2 name=$home/$3 word
	shift 3
	as_before "$config"
	cp "$name" "$work/right"
	for word; do
		sed "$word" "$work/right" >"$name"
		note "changed: $(diff "$work/right" "$name" | sed -n 's/^> *//p' | paste -sd ';')"
		try_for 20 "$command"
	done
	cp "$work/right" "$name"
	note 'changed: nothing'
	try "$command"
}

popfetch() {
	wrong_words popfetch_config 'popfetch --once' .config/popfetch/config.toml 's/tanstaaf/tanstaf/' 's/pop\.example/pip.example/' \
		's/org"/org:996"/' 's/org"/org:995"/; s/^user/tls      = "starttls"\n&/' 's/org"/org:110"/'
}

mpop() {
	as_before mpop_maildir
	wrong_words mpop_config 'mpop --quiet' .mpoprc 's/tanstaaf/tanstaf/' 's/pop\.example/pip.example/' \
		's/org$/org\nport 996/' 's/org$/org\nport 995/; s/starttls off/starttls on/' 's/org$/org\nport 110/'
}

fetchmail() {
	wrong_words fetchmail_config 'fetchmail --silent' .fetchmailrc 's/tanstaaf/tanstaf/' 's/pop\.example/pip.example/' \
		's/pop3 uidl/pop3 port 996 uidl/' 's/pop3 uidl/pop3 port 995 uidl/; s/ ssl / sslproto tls1+ /' 's/pop3 uidl/pop3 port 110 uidl/'
}

getmail() {
	as_before mpop_maildir
	wrong_words getmail_config 'getmail --quiet' .config/getmail/getmailrc 's/tanstaaf/tanstaf/' 's/pop\.example/pip.example/' \
		's/org$/org\nport = 996/' 's/org$/org\nport = 110/' 's/POP3SSL/POP3/; s/org$/org\nport = 995/; /^ca_certs/d'
}

fdm() {
	wrong_words fdm_config 'fdm -q fetch' .fdm.conf 's/tanstaaf/tanstaf/' 's/pop\.example/pip.example/' \
		's/org"/org" port 996/' 's/org"/org" port 110/' 's/pop3s server/pop3 server/; s/org"/org" port 995/'
}
