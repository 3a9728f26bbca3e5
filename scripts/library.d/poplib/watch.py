import os
import poplib
import ssl
import time

host, port = os.environ["ADDRESS"].split(":")
known = set()
while True:
    c = poplib.POP3_SSL(host, int(port), timeout=60, context=ssl.create_default_context())
    c.user(os.environ["NAME"])
    c.pass_(os.environ["PASSWORD"])
    ids = dict(line.split(b" ", 1) for line in c.uidl()[1])
    for line in c.list()[1]:
        number, octets = line.split(b" ")[:2]
        if ids[number] not in known:
            print("new", octets.decode(), ids[number].decode(), flush=True)
        known.add(ids[number])
    c.quit()
    time.sleep(1)
