"""Another OHIF reads /dicom-web/ from its own origin: the one place of the hub that answers other sites' pages."""

from functools import lru_cache

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.kernel.errors import ConfigError
from models.kernel.settings import settings

PATHS = "/dicom-web/"
ALLOWED_HEADERS = ("Authorization", "Accept", "Content-Type", "Range", "If-Range", "If-None-Match")
SHOWN_HEADERS = ("ETag", "Accept-Ranges", "Content-Range", "Warning")
REMEMBERED_SECONDS = 600


class CrossOrigin:
    """Pages of the origins in LABWIRE_RADIOLOGY_CORS_ORIGINS may read with the viewer's token; never with a cookie."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=origins(settings().radiology_cors_origins),
            allow_methods=("GET", "HEAD"),
            allow_headers=ALLOWED_HEADERS,
            expose_headers=SHOWN_HEADERS,
            max_age=REMEMBERED_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PATHS) or not settings().radiology_cors_origins:
            await self._app(scope, receive, send)
            return

        async def send_open(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"cross-origin-resource-policy", b"cross-origin")]
            await send(message)

        await self._open(scope, receive, send_open)


@lru_cache(maxsize=8)
def origins(setting: str) -> tuple[str, ...]:
    """The origins of the setting; ConfigError for what is none, such as `*` or an address with a path."""
    found = tuple(part.strip().rstrip("/") for part in setting.split(",") if part.strip())
    for origin in found:
        scheme, _, host = origin.partition("://")
        if scheme not in ("http", "https") or not host or any(sign in host for sign in "/*?# @"):
            raise ConfigError("LABWIRE_RADIOLOGY_CORS_ORIGINS holds something that is not an origin")
    return found
