# shellcheck shell=bash disable=SC2034,SC2154
title=Inbucket
ways=('STLS|starttls|110' 'no TLS|none|110')
changes='the fields Return-Path and Received are added'
notes=('It is made for tests, and takes every password.')
known=('STLS user' 'no TLS user' 'no TLS apop')
inbucket_version=v3.2.0

version() { printf '%s' "$inbucket_version"; }

build() {
	local folder=$tools/inbucket-$inbucket_version
	[[ -x $folder/inbucket ]] || (cd / && CGO_ENABLED=0 GOFLAGS='' GOBIN=$folder go install "github.com/inbucket/inbucket/v3/cmd/inbucket@$inbucket_version")
	cp "$folder/inbucket" "$machine/usr/local/bin"
}

serve() {
	INBUCKET_SMTP_ADDR=127.0.0.1:2500 INBUCKET_POP3_ADDR=127.0.0.1:110 INBUCKET_WEB_ADDR=127.0.0.1:9000 \
		INBUCKET_POP3_TLSENABLED=true INBUCKET_POP3_TLSPRIVKEY=$work/server.key INBUCKET_POP3_TLSCERT=$work/server.pem inbucket &
}

fill() { give_smtp 2500; }

undo() { sed '1,/for <alice/d'; }
