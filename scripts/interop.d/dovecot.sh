# shellcheck shell=bash disable=SC2034,SC2154
title=Dovecot
packages=(dovecot-pop3d dovecot-gssapi krb5-kdc krb5-admin-server krb5-user)
notes=(
	'EXTERNAL logs in the common name of the certificate (auth_ssl_username_from_cert). Debian builds it without -PLUS and without NTLM.'
	"For OAUTHBEARER and XOAUTH2, it asks the provider about each token (passdb oauth2, with introspection). The provider is made of zitadel's packages."
	'For GSSAPI, it has a key for pop/HOST (auth_krb5_keytab). The KDC is that of MIT Kerberos.'
)
ways=('TLS|implicit|995' 'STLS|starttls|110' 'no TLS|none|110')

version() { dpkg-query -W -f '${Version}' dovecot-pop3d; }

build() { build_provider; }

# A client certificate is asked for, but not required. Its common name is the user.
serve() {
	start_provider
	start_kdc
	chown dovecot /etc/krb5.keytab
	cat >/etc/dovecot/interop.oauth2 <<-END
		introspection_mode = post
		introspection_url = $(said_by_provider introspection_endpoint | sed "s|//|&$(said_by_provider resource_id):$(said_by_provider resource_secret)@|")
		username_attribute = username
		active_attribute = active
		active_value = true
		scope = $(said_by_provider scope)
	END
	printf 'alice:{PLAIN}%s\n' "$password" >/etc/dovecot/interop.users
	cat >/etc/dovecot/interop.conf <<-END
		protocols = pop3
		listen = 127.0.0.1
		log_path = $work/log
		ssl = yes
		ssl_cert = <$work/server.pem
		ssl_key = <$work/server.key
		ssl_ca = <$work/ca.pem
		ssl_verify_client_cert = yes
		ssl_require_crl = no
		auth_ssl_username_from_cert = yes
		auth_mechanisms = plain login digest-md5 cram-md5 scram-sha-1 scram-sha-256 apop external oauthbearer xoauth2 gssapi
		auth_krb5_keytab = /etc/krb5.keytab
		auth_gssapi_hostname = "\$ALL"
		auth_failure_delay = 0
		disable_plaintext_auth = no
		mail_location = maildir:~/Maildir
		passdb {
		  driver = static
		  mechanisms = external
		  args = nopassword
		}
		passdb {
		  driver = oauth2
		  mechanisms = oauthbearer xoauth2
		  args = /etc/dovecot/interop.oauth2
		  result_failure = return-fail
		}
		passdb {
		  driver = passwd-file
		  args = scheme=PLAIN /etc/dovecot/interop.users
		}
		userdb {
		  driver = passwd
		}
		service pop3-login {
		  inet_listener pop3s {
		    port = 995
		    ssl = yes
		  }
		}
		service anvil {
		  unix_listener anvil-auth-penalty {
		    mode = 0
		  }
		}
	END
	dovecot -F -c /etc/dovecot/interop.conf &
}

fill() { give_maildir ~alice/Maildir; }

# sign_in gets alice a token or a ticket. The wrong ones are bob's token, and no ticket.
sign_in() {
	export KRB5CCNAME=$case/ticket
	case $1-$2 in
	oauthbearer-right | xoauth2-right) get_token alice ;;
	oauthbearer-wrong | xoauth2-wrong) get_token bob ;;
	gssapi-right) kinit alice <<<"$password" >"$work/log" ;;
	esac
}
