# shellcheck shell=bash disable=SC2034,SC2154
title=Dovecot
packages=(dovecot-pop3d)
notes=('EXTERNAL logs in the common name of the certificate (auth_ssl_username_from_cert). Debian builds it without -PLUS and without NTLM.')
ways=('TLS|implicit|995' 'STLS|starttls|110' 'no TLS|none|110')

version() { dpkg-query -W -f '${Version}' dovecot-pop3d; }

# A client certificate is asked for, but not required. Its common name is the user.
serve() {
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
		auth_mechanisms = plain login digest-md5 cram-md5 scram-sha-1 scram-sha-256 apop external
		auth_failure_delay = 0
		disable_plaintext_auth = no
		mail_location = maildir:~/Maildir
		passdb {
		  driver = static
		  mechanisms = external
		  args = nopassword
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
