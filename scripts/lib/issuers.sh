# Sourced by interop: an OpenID provider and a KDC of Kerberos, for servers that take tokens and tickets.
# shellcheck shell=bash disable=SC2154

# build_provider builds the OpenID provider of the tests.
build_provider() { go build -C "$root/internal/oauth/realprovider" -o "$machine/usr/local/bin/realprovider" .; }

# start_provider runs the provider until its input, a pipe of this script, is closed.
start_provider() {
	coproc realprovider -for 1h
	IFS= read -r provider <&"${COPROC[0]}"
}

# said_by_provider NAME prints a value that the provider has told.
said_by_provider() { sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' <<<"$provider"; }

# oauth_table prints the table of an account that signs in at the provider.
oauth_table() {
	printf '[account.alice.oauth]\nclient_id = "%s"\n' "$(said_by_provider client_id)"
	printf 'device_url = "%s"\n' "$(said_by_provider device_authorization_endpoint)"
	printf 'token_url = "%s"\n' "$(said_by_provider token_endpoint)"
	printf 'scopes = ["%s", "offline_access"]\n' "$(said_by_provider scope)"
}

# get_token PERSON runs popfetch login, and is the person who approves its code.
get_token() {
	local line code
	"$work/popfetch" --config "$case/config.toml" login --json alice | while IFS= read -r line; do
		[[ $line == *'"event":"open"'* ]] || continue
		code=${line##*'"code":"'}
		curl --silent --show-error --fail --data "user=$1&user_code=${code%%'"'*}" "$(said_by_provider issuer)/approve"
	done >"$work/log" 2>&1
}

# start_kdc makes a realm of Kerberos with alice and with the service, and runs its KDC. The service's
# key is then in /etc/krb5.keytab.
start_kdc() {
	cat >/etc/krb5.conf <<-END
		[libdefaults]
			default_realm = EXAMPLE.ORG
			dns_canonicalize_hostname = false
		[realms]
			EXAMPLE.ORG = {
				kdc = 127.0.0.1
			}
		[domain_realm]
			$host = EXAMPLE.ORG
	END
	kdb5_util create -s -P master
	kadmin.local addprinc -pw "$password" alice
	kadmin.local addprinc -randkey "pop/$host"
	kadmin.local ktadd "pop/$host"
	krb5kdc
}
