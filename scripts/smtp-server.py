"""A mail server for the tests: takes mails on a free port of 127.0.0.1 and prints each as a line of JSON.

The first line is its port. With a certificate it offers STARTTLS and takes nothing before; with a user it
takes nothing before that user has signed in. Recipients choose what becomes of their mail:

    busy…@      is refused for now (451), every time
    grey…@      is refused for now the first time, and accepted from then on
    unknown…@   is refused for good (550)
    full…@      is accepted, and its mail refused for good when it has arrived (552)
"""

import argparse
import asyncio
import base64
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Mailbox:
    def __init__(self):
        self.seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        known = address in self.seen
        self.seen.add(address)
        if address.startswith("busy") or (address.startswith("grey") and not known):
            return "451 4.3.2 come back later"
        if address.startswith("unknown"):
            return f"550 5.1.1 there is no <{address}> here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        if any(address.startswith("full") for address in envelope.rcpt_tos):
            return "552 5.2.2 the mailbox is full"
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "mail": base64.b64encode(envelope.original_content).decode(),
            "tls": session.ssl is not None,
            "user": session.auth_data.login.decode() if session.auth_data else None,
        }
        print(json.dumps(mail), flush=True)
        return "250 2.0.0 accepted"


def authenticator(user, password):
    def check(server, session, envelope, mechanism, data):
        right = isinstance(data, LoginPassword) and (
            data.login == user.encode() and data.password == password.encode()
        )
        return AuthResult(success=right, handled=False, auth_data=data)

    return check


async def serve(arguments):
    tls = None
    if arguments.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(arguments.certificate, arguments.key)
    mailbox = Mailbox()

    def protocol():
        return SMTP(
            mailbox,
            hostname="mail.test",
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=authenticator(arguments.user, arguments.password),
            auth_required=arguments.user is not None,
            auth_require_tls=tls is not None,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--certificate")
parser.add_argument("--key")
parser.add_argument("--user")
parser.add_argument("--password", default="")
asyncio.run(serve(parser.parse_args()))
