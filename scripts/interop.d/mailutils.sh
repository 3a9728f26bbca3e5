# shellcheck shell=bash disable=SC2034,SC2154
title='GNU Mailutils'
packages=(mailutils-pop3d)
ways=('TLS|implicit|995' 'STLS|starttls|110' 'no TLS|none|110')
changes='the field X-UIDL is added'
notes=('It adds fields to the header of a message when it has been read, and so changes its size. popfetch recognises the message and does not fetch it again.')

version() { dpkg-query -W -f '${Version}' mailutils-pop3d; }

serve() {
	cp "$work/server.key" /etc/ssl/private/pop3d.key
	chmod 600 /etc/ssl/private/pop3d.key
	cat >/etc/mailutils-interop.conf <<-END
		mode daemon;
		foreground yes;
		apop-database-file /etc/apop.db;
		apop-database-owner root;
		tls {
			ssl-certificate-file $work/server.pem;
			ssl-key-file /etc/ssl/private/pop3d.key;
			ssl-ca-file $work/ca.pem;
		};
		server 127.0.0.1:110 {
			tls-mode ondemand;
		};
		server 127.0.0.1:995 {
			tls-mode connection;
		};
	END
	popauth --create --output=/etc/apop.db </dev/null
	popauth --add --user=alice --password="$password" --output=/etc/apop.db
	chmod 600 /etc/apop.db
	/usr/sbin/pop3d --config-file=/etc/mailutils-interop.conf &
}

fill() { give_mbox; }

undo() { without_fields x-uidl; }

# After the first session, it adds fields and a line to an empty body.
between_sessions() { without_fields 'status|x-uid|x-imapbase' | cat -s; }
