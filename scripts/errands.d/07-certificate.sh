# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='A certificate that no authority has signed'
ahead='popfetch has the fewest commands: its refusal already shows what is to be compared, and the line that pins the server. For the others the fingerprint must be asked for separately. fetchmail only knows MD5, and fdm no fingerprint at all.'

at_net() { sed -i 's/example\.org/example.net/' "$home/$1"; }

popfetch() {
	as_before popfetch_config
	at_net .config/popfetch/config.toml
	note 'the server is pop.example.net now'
	try 'popfetch --once'
	note "the fingerprint is compared with the owner's: $(fingerprint)"
	try "echo 'tls_fingerprint = \"$(fingerprint)\"' >>.config/popfetch/config.toml"
	configured=1
	try 'popfetch --once'
	holds Maildir
}

mpop() {
	as_before mpop_config mpop_maildir
	at_net .mpoprc
	note 'the server is pop.example.net now'
	try 'mpop --quiet'
	try 'mpop --serverinfo --tls-certcheck=off | grep -i -A 1 -E "owner|sha"'
	note "the fingerprint is compared with the owner's: $(fingerprint)"
	try "sed -i '/^host/a tls_fingerprint $(fingerprint)' .mpoprc"
	configured=1
	try 'mpop --quiet'
	holds Maildir
}

fetchmail() {
	as_before fetchmail_config
	at_net .fetchmailrc
	note 'the server is pop.example.net now'
	try 'fetchmail --silent'
	try 'openssl s_client -connect pop.example.net:995 </dev/null 2>/dev/null | openssl x509 -noout -md5 -fingerprint'
	note "the fingerprint is compared with the owner's: $(fingerprint md5)"
	try "sed -i '2s/keep/keep no sslcertck sslfingerprint \"$(fingerprint md5)\"/' .fetchmailrc"
	configured=1
	try 'fetchmail --silent'
	holds Maildir
}

fingerprint() { openssl x509 -noout "-${1:-sha256}" -fingerprint -in "$work/own.pem" | cut -d = -f 2; }

getmail() {
	as_before getmail_config mpop_maildir
	at_net .config/getmail/getmailrc
	note 'the server is pop.example.net now'
	try 'getmail --quiet'
	try 'openssl s_client -connect pop.example.net:995 </dev/null 2>/dev/null | openssl x509 -noout -sha256 -fingerprint'
	note "the fingerprint is compared with the owner's: $(fingerprint)"
	try "sed -i 's/^ca_certs.*/ssl_fingerprints = (\"$(fingerprint | tr -d :)\",)/' .config/getmail/getmailrc"
	configured=1
	try 'getmail --quiet'
	holds Maildir
}

fdm() {
	as_before fdm_config
	at_net .fdm.conf
	note 'the server is pop.example.net now'
	try 'fdm -q fetch'
	note 'no fingerprint can be given; the check can only be switched off'
	try 'sed -i 1d .fdm.conf'
	try 'fdm -q fetch'
	holds Maildir
}
