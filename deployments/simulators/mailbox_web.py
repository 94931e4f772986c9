"""The mailbox's pages: the list, one message, and the same as JSON."""

from html import escape
from string import Template
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from deployments.simulators.mailbox_pages import FRAME_HEAD, LIST_PAGE, MESSAGE_PAGE, PAGE, STYLE, linked
from deployments.simulators.mailbox_smtp import MAIL_FAULTS, MailFaultName, MailFaults
from deployments.simulators.mailbox_store import MailFolder, StoredMessage

LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]
SHOWN = 500
SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# A mail's HTML runs no script, loads nothing from outside, and may only open links in a new tab.
MAIL_HEADERS = SAFE_HEADERS | {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox",
}


class FaultBody(BaseModel):
    """One fault to turn on."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: MailFaultName
    value: int | float | None = None
    times: int | None = None
    recipient: str | None = None


class Pages:
    """The handlers; every value of a message is escaped."""

    def __init__(self, folder: MailFolder, faults: MailFaults) -> None:
        self._folder, self._faults = folder, faults

    def listing(self, request: Request) -> Response:
        """The newest messages first."""
        messages = self._folder.messages()[::-1]
        rows = "".join(_row(message) for message in messages[:SHOWN])
        count = "1 message" if len(messages) == 1 else f"{len(messages)} messages"
        more = f", the newest {SHOWN} shown" if len(messages) > SHOWN else ""
        empty = "" if messages else '<p class="empty">No mail yet. It appears here once it has been sent.</p>'
        return _page("Mailbox", LIST_PAGE, count=count + more, rows=rows, empty=empty)

    def message(self, request: Request) -> Response:
        """One message: headers, text, HTML."""
        found = self._found(request)
        if found is None:
            return _page("No such message", Template('<p><a href="/">Back to the list</a></p>'), status=404)
        text, html = found.text, found.html
        parts = ""
        if text is not None:
            parts += f'<section><h2>Text</h2><div class="text">{linked(text)}</div></section>'
        if html is not None:
            parts += (
                f'<section><h2>HTML</h2><iframe title="HTML part of the message" src="/messages/{found.id}/html" '
                'sandbox="allow-popups allow-popups-to-escape-sandbox"></iframe></section>'
            )
        if found.attachments:
            names = "".join(f"<li>{escape(name)}</li>" for name in found.attachments)
            parts += f"<section><h2>Attachments</h2><ul>{names}</ul></section>"
        return _page(
            found.subject or "(no subject)",
            MESSAGE_PAGE,
            sender=escape(found.sender),
            to=escape(", ".join(found.recipients)),
            received=found.received_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            message_id=escape(found.message_id),
            id=found.id,
            parts=parts,
        )

    def html_part(self, request: Request) -> Response:
        """The HTML part alone, for the frame."""
        found = self._found(request)
        html = None if found is None else found.html
        if html is None:
            return Response("no HTML part", 404, SAFE_HEADERS, "text/plain")
        return HTMLResponse(FRAME_HEAD + html, headers=MAIL_HEADERS)

    def raw(self, request: Request) -> Response:
        """The file itself, to save."""
        found = self._found(request)
        if found is None:
            return Response("no such message", 404, SAFE_HEADERS, "text/plain")
        headers = SAFE_HEADERS | {"Content-Disposition": f'attachment; filename="{found.id}.eml"'}
        return Response(found.path.read_bytes(), headers=headers, media_type="message/rfc822")

    def as_json(self, request: Request) -> Response:
        """Every message's headers, newest first."""
        return JSONResponse([message.as_dict() for message in self._folder.messages()[::-1]], headers=SAFE_HEADERS)

    def style(self, request: Request) -> Response:
        """The pages' style sheet."""
        return Response(STYLE, headers=SAFE_HEADERS, media_type="text/css")

    async def faults(self, request: Request) -> Response:
        """GET: the faults that are on; POST: turn one on; DELETE: turn all off."""
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method == "POST":
            if request.headers.get("content-type", "").partition(";")[0] != "application/json":
                return JSONResponse({"error": "Content-Type must be application/json"}, 415)
            try:
                wanted = FaultBody.model_validate_json(await request.body())
                self._faults.set(wanted.name, wanted.value, times=wanted.times, recipient=wanted.recipient)
            except (ValidationError, ValueError) as wrong:
                return JSONResponse({"error": str(wrong)}, 422)
        known = {name: meaning for name, (meaning, _) in MAIL_FAULTS.items()}
        return JSONResponse({"on": self._faults.as_list(), "known": known})

    def _found(self, request: Request) -> StoredMessage | None:
        return self._folder.get(request.path_params["id"])


def _row(message: StoredMessage) -> str:
    return (
        f'<tr><td class="subject"><a href="/messages/{message.id}">{escape(message.subject or "(no subject)")}</a></td>'
        f'<td class="to"><span class="label">To </span>{escape(", ".join(message.recipients))}</td>'
        f'<td class="time"><time datetime="{message.received_at.isoformat()}">'
        f"{message.received_at.strftime('%Y-%m-%d %H:%M:%S')}</time></td></tr>"
    )


def _page(title: str, body: Template, *, status: int = 200, **values: str) -> Response:
    content = PAGE.substitute(title=escape(title), body=body.substitute(values))
    return HTMLResponse(content, status, SAFE_HEADERS)


def mailbox_app(folder: MailFolder, faults: MailFaults, *, control: bool) -> Starlette:
    """The pages; with `control` the fault switches too."""
    pages = Pages(folder, faults)
    addresses: list[tuple[str, Any, list[str]]] = [
        ("/", pages.listing, ["GET"]),
        ("/style.css", pages.style, ["GET"]),
        ("/messages.json", pages.as_json, ["GET"]),
        ("/messages/{id}", pages.message, ["GET"]),
        ("/messages/{id}/html", pages.html_part, ["GET"]),
        ("/messages/{id}/raw", pages.raw, ["GET"]),
    ]
    if control:
        addresses.append(("/control/faults", pages.faults, ["GET", "POST", "DELETE"]))
    return Starlette(
        routes=[Route(path, handler, methods=methods) for path, handler, methods in addresses],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES)],
    )
