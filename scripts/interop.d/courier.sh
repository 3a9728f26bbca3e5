# shellcheck shell=bash disable=SC2016,SC2034,SC2154
title=Courier
packages=(courier-pop)
known=('TLS as mpop' 'STLS as mpop' 'no TLS as mpop')
notes=(
	'It offers UTF8, which popfetch uses. To mpop, which does not, it shows the message with a header in Latin 1 in another form.'
	'For EXTERNAL, it asks for the name after it has got an empty one. popfetch answers that.'
)
ways=('TLS|implicit|995' 'STLS|starttls|110' 'no TLS|none|110')

version() { dpkg-query -W -f '${Version}' courier-pop; }

serve() {
	local home=~alice
	userdb alice set "uid=$(id -u alice)" "gid=$(id -g alice)" home="$home" mail="$home/Maildir"
	printf '%s\n' "$password" | userdbpw -hmac-md5 | userdb alice set hmac-md5pw
	printf '%s\n' "$password" | userdbpw -hmac-sha1 | userdb alice set hmac-sha1pw
	printf '%s\n' "$password" | userdbpw | userdb alice set systempw
	makeuserdb
	sed -i 's/^authmodulelist=.*/authmodulelist="authuserdb"/' /etc/courier/authdaemonrc
	sed -i -e 's/^POP3AUTH=.*/POP3AUTH="PLAIN LOGIN CRAM-MD5 CRAM-SHA1"/' \
		-e 's/^POP3AUTH_TLS=.*/POP3AUTH_TLS="PLAIN LOGIN CRAM-MD5 CRAM-SHA1"/' -e 's/^MAXPERIP=.*/MAXPERIP=40/' /etc/courier/pop3d
	sed -i -e "s|^TLS_TRUSTCERTS=.*|TLS_TRUSTCERTS=$work/ca.pem|" -e 's/^TLS_VERIFYPEER=.*/TLS_VERIFYPEER=PEER/' \
		-e '$aTLS_EXTERNAL=CN' /etc/courier/pop3d-ssl
	cp "$work/server-both.pem" /etc/courier/pop3d.pem
	install -d -o courier -g courier /run/courier /run/courier/authdaemon
	authdaemond start
	/usr/sbin/pop3d start
	/usr/sbin/pop3d-ssl start
}

fill() { give_maildir ~alice/Maildir; }
