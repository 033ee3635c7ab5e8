"""Mail servers of the tests: one that works, with TLS and passwords, and those that do not.

server.py KIND PORT [CERTIFICATE KEY]. Says "ready" when it listens.

    tls starttls plain    takes mail, from user mfa with the password below where there is TLS
    refusing              will have no recipient
    quoting               refuses every message, and quotes it
    echoing               as tls, and quotes the password that it refuses
    forgetful             offers no STARTTLS
    injecting             somebody between says yes to everything in plain, and the server refuses the message
    anticipating          the same, to the first command alone
    full                  a queue of connections that has no room for another
    silent                no greeting
    dripping              a greeting that does not end, a byte at a time
    flooding              the same, as fast as it can
    deaf                  no answer to a message
    lingering             takes the message, and has no farewell
    babbling              something else than SMTP
    nameless              a name server that does not answer
"""

import asyncio
import email
import email.policy
import json
import socket
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = b"mfa", b"correct horse"
RECEIVED = "/root/received"

kind, port = sys.argv[1], int(sys.argv[2])


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if kind == "refusing":
            return "550 5.1.1 no such user here\r\nsecond line"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        # A parser that is not ours says what came.
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        if kind == "quoting":
            return "554 spam: " + message.get_content().split()[0]
        encrypted = session.ssl is not None or kind in ("tls", "echoing")
        with open(RECEIVED, "a") as file:
            json.dump({
                "sender": envelope.mail_from,
                "recipients": envelope.rcpt_tos,
                "encrypted": encrypted,
                "user": (session.auth_data or b"").decode(),
                "headers": [[name.lower(), value] for name, value in message.items()],
                "body": message.get_content(),
                "ascii": envelope.content.isascii(),
            }, file)
            file.write("\n")
        return "250 taken"


class Echo(Handler):
    async def auth_PLAIN(self, server, arguments):
        await server.push("535 never heard of " + " ".join(arguments))
        return AuthResult(success=False)


def authenticate(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (USER, PASSWORD)
    return AuthResult(success=right, handled=False, auth_data=data.login)


async def work():
    tls = None
    if kind in ("tls", "starttls", "echoing"):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[3], sys.argv[4])

    def session():
        return SMTP(
            Echo() if kind == "echoing" else Handler(),
            hostname="mail.example.org",
            tls_context=tls if kind == "starttls" else None,
            require_starttls=kind == "starttls",
            authenticator=authenticate,
            auth_required=tls is not None,
            auth_require_tls=kind == "starttls",
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        session, "127.0.0.1", port, ssl=None if kind == "starttls" else tls
    )
    print("ready", flush=True)
    await server.serve_forever()


def fail():
    if kind == "nameless":
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(("127.0.0.1", port))
        print("ready", flush=True)
        time.sleep(1000)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(0 if kind == "full" else 10)
    if kind == "full":
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        # The last of them is not let in either.
        time.sleep(0.2)
    print("ready", flush=True)
    if kind == "full":
        time.sleep(1000)
    while True:
        connection, _ = listener.accept()
        try:
            serve(connection)
        except OSError:
            pass


def inject(connection):
    lines = connection.makefile("rwb", buffering=0)
    lines.write(b"220 mail.example.org\r\n")
    lines.readline()
    lines.write(b"250-mail.example.org\r\n250 STARTTLS\r\n")
    lines.readline()
    hello = b"250-mail.example.org\r\n250 AUTH PLAIN\r\n"
    yes = b"235 yes\r\n250 yes\r\n250 yes\r\n354 yes\r\n250 yes\r\n"
    lines.write(b"220 go ahead\r\n" + hello + (yes if kind == "injecting" else b""))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[3], sys.argv[4])
    lines = tls.wrap_socket(connection, server_side=True).makefile("rwb", buffering=0)
    replies = {b"EHLO": hello, b"AUTH": b"235 yes\r\n", b"DATA": b"354 go ahead\r\n"}
    while line := lines.readline():
        verb = line.split()[0].upper()
        if verb == b"EHLO":
            # Who is between can hold it up.
            time.sleep(0.2)
        lines.write(replies.get(verb, b"250 yes\r\n"))
        if verb == b"DATA":
            while lines.readline() != b".\r\n":
                pass
            lines.write(b"554 no\r\n")


def serve(connection):
    if kind in ("injecting", "anticipating"):
        inject(connection)
    elif kind == "silent":
        time.sleep(1000)
    elif kind == "dripping":
        while True:
            connection.sendall(b"2")
            time.sleep(0.1)
    elif kind == "flooding":
        while True:
            connection.sendall(b"2" * 65536)
    elif kind == "babbling":
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.close()
    else:
        lines = connection.makefile("rwb", buffering=0)
        lines.write(b"220 mail.example.org\r\n")
        while line := lines.readline():
            verb = line.split()[0].upper()
            if verb == b"DATA":
                lines.write(b"354 go ahead\r\n")
                while lines.readline() != b".\r\n":
                    pass
                if kind == "deaf":
                    time.sleep(1000)
            if verb == b"QUIT":
                time.sleep(1000)
            lines.write(b"250 mail.example.org\r\n")


if kind in ("tls", "starttls", "plain", "refusing", "quoting", "echoing", "forgetful"):
    asyncio.run(work())
else:
    fail()
