"""The few addresses that programs post to all day, served before the framework looks for a route.

Finding a route among all of ours costs a third of such a request. They are routes like any other, too: the description
of the API has them, and a wrong method is answered by the framework.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from fastapi import Request, Response
from sqlalchemy import exc as database
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import on_database_away, on_http_error, on_labwire_error
from models.kernel.errors import LabwireError

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class ByToken:
    """A handler for paths of a pattern, where an `Authorization` header comes along: a browser's take the usual way.

    `route` is how the address is counted; the pattern's groups become the path's parameters.
    """

    method: str
    pattern: re.Pattern[str]
    route: str
    handler: Handler


class Direct:
    """Asks `handlers` by method and path first, then those `by_token`."""

    def __init__(
        self,
        app: ASGIApp,
        handlers: Mapping[tuple[str, str], tuple[str, Handler]],
        by_token: Sequence[ByToken] = (),
    ) -> None:
        self._app = app
        self._handlers = {key: (SimpleNamespace(path=route), handler) for key, (route, handler) in handlers.items()}
        self._by_token = [(one, (SimpleNamespace(path=one.route), one.handler)) for one in by_token]

    def _find(self, scope: Scope) -> tuple[SimpleNamespace, Handler] | None:
        method, path = scope["method"], scope["path"]
        if (found := self._handlers.get((method, path))) is not None:
            return found
        for one, handled in self._by_token:
            if one.method == method and (match := one.pattern.fullmatch(path)):
                scope["path_params"] = match.groupdict()
                has_token = any(name == b"authorization" for name, _ in scope["headers"])
                return handled if has_token else None
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], handler = found
        request = Request(scope, receive)
        try:
            response = await handler(request)
        except LabwireError as error:
            response = on_labwire_error(request, error)
        except HTTPException as error:
            response = on_http_error(request, error)
        except (database.OperationalError, database.InterfaceError, database.TimeoutError) as error:
            response = on_database_away(request, error)
        except ClientDisconnect:
            response = on_http_error(request, HTTPException(400))  # nobody hears it: it is counted so
        await response(scope, receive, send)
