"""HEAD on the DICOMweb reads: what GET would say, without its body (RFC 9110, 9.3.2)."""

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import HEADED

_IS_HEAD = "labwire.is_head"


class HeadAsGet:
    """Answers HEAD by what GET begins with; what would follow is not read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or not scope["path"].startswith(HEADED):
            await self._app(scope, receive, send)
            return
        is_sent = False

        async def send_head(message: Message) -> None:
            nonlocal is_sent
            if is_sent:
                if message.get("more_body"):
                    raise OSError("the rest is not wanted")  # as of a client that is gone: a stream ends
                return
            await send(message)
            if message["type"] == "http.response.start":
                is_sent = True
                await send({"type": "http.response.body"})

        inner = {**scope, "method": "GET", _IS_HEAD: True}
        try:
            await self._app(inner, receive, send_head)
        except (ClientDisconnect, OSError):
            if not is_sent:
                raise
        finally:  # whoever counts requests asks the scope for their route
            scope.update({name: value for name, value in inner.items() if name not in ("method", _IS_HEAD)})


def is_head(request: Request) -> bool:
    """Whether the body is not wanted: what is dear need not be made."""
    return bool(request.scope.get(_IS_HEAD))
