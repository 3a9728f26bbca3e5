import os
import poplib
import ssl

host, port = os.environ["ADDRESS"].split(":")
c = poplib.POP3_SSL(host, int(port), timeout=60, context=ssl.create_default_context())
c.user(os.environ["NAME"])
c.pass_(os.environ["PASSWORD"])
for line in c.list()[1]:
    number = int(line.split(b" ")[0])
    with open(f"{number}.eml", "wb") as file:
        for text in c.retr(number)[1]:
            file.write(text + b"\r\n")
        file.flush()
        os.fsync(file.fileno())
    c.dele(number)
c.quit()
