"""A mailbox for demonstrations and tests: a real SMTP server that keeps every message, and pages to read them.

with Mailbox(folder) as mailbox:
    mailbox.faults.set("drop_stored", times=1)
    ...
    assert [message.message_id for message in mailbox.messages] == ["<1@example.org>"]
"""

import argparse
import asyncio
import os
import ssl
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from aiosmtpd.smtp import SMTP

from deployments.simulators.mailbox_smtp import Login, MailFaults, MailHandler
from deployments.simulators.mailbox_store import MailFolder, StoredMessage
from deployments.simulators.mailbox_web import mailbox_app
from deployments.simulators.serving import Listener, LoopThread, reserve
from deployments.simulators.waiting import announce, wait_for_signal

HOST = "127.0.0.1"
PASSWORD_VARIABLE = "SIMULATED_MAILBOX_PASSWORD"  # noqa: S105  # the name of a variable
MAX_MESSAGE_BYTES = 32 * 1024 * 1024


class Mailbox:
    """SMTP and pages on loopback, in a thread; the ports are taken at once, connections from `start` on."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        smtp_port: int = 0,
        http_port: int = 0,
        certificate: tuple[Path, Path] | None = None,
        login: Login | None = None,
        control: bool = False,
    ) -> None:
        """Without a folder a temporary one is used. `certificate` (chain, key) offers STARTTLS and then demands it."""
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="mailbox-")
            folder = Path(self._temporary.name)
        self._folder = MailFolder(folder)
        self._handler = MailHandler(self._folder)
        self._login = login
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(*certificate)
        self._reserved = reserve(HOST, smtp_port)
        self.host, self.smtp_port = HOST, int(self._reserved.getsockname()[1])
        self._pages = Listener(mailbox_app(self._folder, self.faults, control=control), host=HOST, port=http_port)
        self.url = self._pages.url
        self._thread = LoopThread("mailbox")
        self._smtp: asyncio.Server | None = None
        self._connections: set[SMTP] = set()

    @property
    def faults(self) -> MailFaults:
        """What goes wrong at the SMTP door."""
        return self._handler.faults

    @property
    def messages(self) -> list[StoredMessage]:
        """Every message taken, oldest first."""
        return self._folder.messages()

    @property
    def attempts(self) -> int:
        """How many messages clients sent to the last line, stored or not."""
        return self._handler.attempts

    def start(self) -> Self:
        """Serve until `stop`."""
        self._thread.start()
        self._thread.run(self._open())
        return self

    def stop(self) -> None:
        """Stop serving and give the ports back; a temporary folder goes with its messages."""
        self._thread.run(self._close())
        self._thread.stop()
        self._reserved.close()
        self._pages.release()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _session(self) -> SMTP:
        session = SMTP(
            self._handler,
            data_size_limit=MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            hostname="mailbox.localhost",
            ident="mailbox",
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            auth_required=self._login is not None,
            auth_require_tls=self._tls is not None,
            authenticator=self._login,
            loop=self._thread.loop,
        )
        self._connections = {open_one for open_one in self._connections if open_one.transport is not None}
        self._connections.add(session)
        return session

    async def _open(self) -> None:
        listening = reserve(HOST, self.smtp_port)
        self._smtp = await self._thread.loop.create_server(self._session, sock=listening)
        await self._pages.open()

    async def _close(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        for session in self._connections:
            if isinstance(session.transport, asyncio.WriteTransport):
                session.transport.abort()
        await self._pages.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def parser() -> argparse.ArgumentParser:
    """Every option."""
    options = argparse.ArgumentParser(
        prog="python -m deployments.simulators.mailbox", description="A local mailbox: SMTP in, web pages out."
    )
    add = options.add_argument
    add("--smtp-port", type=int, default=0, help="SMTP on this loopback port; 0 takes a free one (default)")
    add("--http-port", type=int, default=0, help="pages on this loopback port; 0 takes a free one (default)")
    add("--folder", type=Path, required=True, help="where messages are kept, one .eml file each")
    add("--certificate", type=Path, metavar="PEM", help="demand STARTTLS with this chain")
    add("--private-key", type=Path, metavar="PEM", help="and this key")
    add("--user", help=f"demand a login of this name; its password is in the variable {PASSWORD_VARIABLE}")
    add("--control", action="store_true", help="fault switches at /control/faults beside the pages")
    add("--ready-file", type=Path, metavar="FILE", help="write the addresses there once serving")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; a wrong option ends with 2, a port in use with 1."""
    options = parser()
    args = options.parse_args(arguments)
    if (args.certificate is None) != (args.private_key is None):
        options.error("--certificate and --private-key belong together")
    login = None
    if args.user is not None:
        if not (password := os.environ.get(PASSWORD_VARIABLE)):
            options.error(f"--user needs the variable {PASSWORD_VARIABLE}")
        login = Login(args.user, password)
    try:
        mailbox = Mailbox(
            args.folder,
            smtp_port=args.smtp_port,
            http_port=args.http_port,
            certificate=None if args.certificate is None else (args.certificate, args.private_key),
            login=login,
            control=args.control,
        )
    except OSError as taken:
        sys.exit(f"cannot start: {taken}")
    with mailbox:
        ready = {"smtp_host": mailbox.host, "smtp_port": mailbox.smtp_port, "url": mailbox.url}
        announce(ready, ready, args.ready_file)
        wait_for_signal()


if __name__ == "__main__":
    main()
