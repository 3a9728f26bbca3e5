# shellcheck shell=bash disable=SC2034,SC2154
title=popa3d
packages=(popa3d)
ways=('no TLS|none|110')
changes='From at the start of a line is quoted'
notes=('It has neither TLS nor CAPA, so popfetch needs tls = "none". Mailboxes of the format mbox quote lines that begin with "From"; the program that delivered the message has done that.')

version() { dpkg-query -W -f '${Version}' popa3d; }

serve() { popa3d -D; }

fill() { give_mbox; }

undo() { sed 's/^>\(>*From \)/\1/'; }

between_sessions() { without_fields status; }
