"""The few addresses that devices post to all day, served before the framework looks for a route.

Finding a route among all of ours costs a third of such a request. They are routes like any other, too: the description
of the API has them, and a wrong method is answered by the framework.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace

from fastapi import Request, Response
from sqlalchemy import exc as database
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import on_database_away, on_http_error

Handler = Callable[[Request], Awaitable[Response]]


class Direct:
    """Asks `handlers` by method and path first."""

    def __init__(self, app: ASGIApp, handlers: Mapping[tuple[str, str], tuple[str, Handler]]) -> None:
        self._app = app
        self._handlers = {key: (SimpleNamespace(path=route), handler) for key, (route, handler) in handlers.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._handlers.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], handler = found
        request = Request(scope, receive)
        try:
            response = await handler(request)
        except HTTPException as error:
            response = on_http_error(request, error)
        except (database.OperationalError, database.InterfaceError, database.TimeoutError) as error:
            response = on_database_away(request, error)
        except ClientDisconnect:
            response = on_http_error(request, HTTPException(400))  # nobody hears it: it is counted so
        await response(scope, receive, send)
