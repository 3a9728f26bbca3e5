import os
import poplib
import ssl

host, port = os.environ["ADDRESS"].split(":")
c = poplib.POP3_SSL(host, int(port), timeout=60, context=ssl.create_default_context())
c.user(os.environ["NAME"])
c.pass_(os.environ["PASSWORD"])
ids = dict(line.split(b" ", 1) for line in c.uidl()[1])
for line in c.list()[1]:
    number, octets = line.split(b" ")[:2]
    print(octets.decode(), ids[number].decode())
c.quit()
