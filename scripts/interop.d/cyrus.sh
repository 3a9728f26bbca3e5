# shellcheck shell=bash disable=SC2034,SC2154
title=Cyrus
packages=(cyrus-pop3d sasl2-bin libsasl2-modules libsasl2-modules-db)
known=('TLS 1.3 scram-sha-256' 'TLS 1.3 scram-sha-1' 'STLS scram-sha-256' 'STLS scram-sha-1')
notes=(
	'With TLS 1.3, it binds a log-in by tls-unique, which is not defined there, and refuses the right password. So do not name SCRAM in the key auth: by itself, popfetch takes SCRAM-SHA-256 without -PLUS. With TLS 1.2, the log-in is bound by tls-unique and works.'
	'NTLM works with NTLMv2, as popfetch uses it, if the server keeps the password in clear (sasldb).'
)
ways=('TLS 1.3|implicit|995' 'TLS 1.2|implicit|1995' 'STLS|starttls|110' 'no TLS|none|110')

version() { dpkg-query -W -f '${Version}' cyrus-pop3d; }

serve() {
	cat >/etc/imapd.conf <<-END
		configdirectory: /var/lib/cyrus
		proc_path: /run/cyrus/proc
		mboxname_lockpath: /run/cyrus/lock
		defaultpartition: default
		partition-default: /var/spool/cyrus/mail
		hashimapspool: true
		altnamespace: no
		unixhierarchysep: no
		admins: cyrus
		autocreate_quota: 0
		autocreate_post: yes
		allowplaintext: yes
		allowapop: yes
		popminpoll: 0
		sasl_pwcheck_method: auxprop
		sasl_auxprop_plugin: sasldb
		sasl_mech_list: PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256 NTLM EXTERNAL
		tls_server_cert: $work/server.pem
		tls_server_key: $work/server.key
		tls_client_ca_file: $work/ca.pem
		tls_client_certs: optional
		twelve_tls_versions: tls1_2
	END
	cat >/etc/cyrus.conf <<-END
		START {
			recover cmd="/usr/sbin/cyrus ctl_cyrusdb -r"
		}
		SERVICES {
			pop3 cmd="pop3d" listen="127.0.0.1:110" prefork=0 maxchild=50
			pop3s cmd="pop3d -s" listen="127.0.0.1:995" prefork=0 maxchild=50
			twelve cmd="pop3d -s" listen="127.0.0.1:1995" prefork=0 maxchild=50
		}
		EVENTS {
			checkpoint cmd="/usr/sbin/cyrus ctl_cyrusdb -c" period=300
		}
	END
	saslpasswd2 -p -c alice <<<"$password"
	chown cyrus /etc/sasldb2
	install -d -o cyrus -g mail /run/cyrus /run/cyrus/{proc,lock,socket}
	/usr/sbin/cyrmaster -D &
}

# fill adds files to the mailbox, which Cyrus makes at the first log-in. Cyrus counts them on.
fill() {
	local folder file
	curl_pop3 / >"$work/log" 2>&1
	folder=$(as_cyrus /usr/lib/cyrus/bin/mbpath user.alice)
	for file in "$work"/mail/*; do
		((++last_file))
		with_crlf "$file" >"$folder/$last_file."
		chown cyrus:mail "$folder/$last_file."
	done
	as_cyrus /usr/lib/cyrus/bin/reconstruct user.alice >"$work/log" 2>&1
}

last_file=0

as_cyrus() { setpriv --reuid cyrus --regid mail --clear-groups "$@"; }
