"""Cookies, the tokens that prove a form is ours, the caller's address, and the way back after a sign-in."""

import base64
import hashlib
import hmac
import json
import secrets
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urlsplit

from fastapi import Request, Response

from models.kernel.errors import ConfigError, ForbiddenError
from models.kernel.settings import settings

SESSION_COOKIE = "labwire_session"
FORM_COOKIE = "labwire_form"
FLASH_COOKIE = "labwire_flash"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
FLASH_SECONDS = 60
MOST_FORM_BYTES = 4 * 2**20
"""A larger one, or one that does not say how long it is, is not read for its token: uploads send the header."""


def proof(purpose: str, secret: str) -> str:
    """HMAC-SHA-256 of a cookie's value under the installation's key: it shows that a form came from our own page."""
    message = f"{purpose}:{secret}".encode()
    return hmac.new(settings().key("secret_key"), message, hashlib.sha256).hexdigest()


def csrf_token(session_token: str) -> str:
    """What a signed-in person's forms and scripts must send beside the session cookie."""
    return proof("csrf", session_token)


async def check_csrf(request: Request, expected: str) -> None:
    """ForbiddenError unless the header X-CSRF-Token or the form field csrf_token is the expected one."""
    given = request.headers.get(CSRF_HEADER, "")
    is_form = request.headers.get("content-type", "").lower().startswith(FORM_TYPES)
    if not given and is_form and int(request.headers.get("content-length", MOST_FORM_BYTES)) < MOST_FORM_BYTES:
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else ""
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise ForbiddenError("the page is out of date or the request did not come from it; load the page again")


def check_origin(request: Request) -> None:
    """ForbiddenError when a browser says the request was started by another site's page."""
    site = request.headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin"):
        raise ForbiddenError("the request came from another site's page")


def is_https() -> bool:
    """Whether people reach the pages by HTTPS: then cookies are sent by no other way."""
    return settings().base_url.startswith("https://")


def set_cookie(response: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    """A cookie no script can read and no other site's form can send."""
    response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=is_https(), path="/")


def drop_cookie(response: Response, name: str) -> None:
    """Take a cookie back."""
    response.delete_cookie(name, httponly=True, samesite="lax", secure=is_https(), path="/")


def form_secret(request: Request) -> str:
    """The value of the cookie that guards forms used before anybody has signed in; a new one where there is none."""
    return request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)


async def check_guest_form(request: Request) -> None:
    """ForbiddenError unless a form sent before sign-in came from our own page (a sign-in cannot be forged)."""
    check_origin(request)
    cookie = request.cookies.get(FORM_COOKIE, "")
    await check_csrf(request, proof("form", cookie) if cookie else secrets.token_hex())


def put_flash(response: Response, text: str, *, level: str = "success") -> None:
    """Show `text` once on the next page; signed, so that nobody else can put words into ours."""
    packed = base64.urlsafe_b64encode(json.dumps([level, text]).encode()).decode()
    set_cookie(response, FLASH_COOKIE, f"{packed}.{proof('flash', packed)}", seconds=FLASH_SECONDS)


def read_flash(request: Request) -> tuple[str, str] | None:
    """The level and text to show on this page, if the page before left any."""
    packed, _, signature = request.cookies.get(FLASH_COOKIE, "").partition(".")
    if not packed or not hmac.compare_digest(signature.encode(), proof("flash", packed).encode()):
        return None
    level, text = json.loads(base64.urlsafe_b64decode(packed))
    return str(level), str(text)


def safe_next(target: str | None) -> str:
    """`target` when it is a path of this site, else `/`: a sign-in must not send people elsewhere."""
    if not target or not target.startswith("/") or target.startswith("//") or len(target) > 500:
        return "/"
    if "\\" in target or any(ord(character) < 33 or ord(character) == 127 for character in target):
        return "/"
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc else target


def login_address(request: Request) -> str:
    """The sign-in page with the way back to what was asked for."""
    if request.headers.get("HX-Request"):
        target = _page_of(request.headers.get("HX-Current-URL", ""))
    elif request.method == "GET":
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    else:
        target = "/"
    target = safe_next(target)
    return "/login" if target == "/" else f"/login?next={quote(target, safe='')}"


def _page_of(address: str) -> str:
    """Path and query of an address; empty where it is none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def client_address(request: Request) -> str | None:
    """The caller's address: the peer's, or what proxies named in LABWIRE_TRUSTED_PROXIES say; never a client's word."""
    peer = request.client.host if request.client else ""
    trusted = _networks(settings().trusted_proxies)
    if not _is_in(peer, trusted):
        return peer or None
    hops = [hop.strip() for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
    for hop in reversed(hops):
        if not _is_address(hop):
            return peer
        if not _is_in(hop, trusted):
            return hop
    return hops[0] if hops else peer


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _is_in(value: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return _is_address(value) and any(ip_address(value) in network for network in networks)


@lru_cache(maxsize=8)
def _networks(setting: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in setting.split(",") if part.strip())
    except ValueError:
        raise ConfigError("LABWIRE_TRUSTED_PROXIES holds something that is not an address or a network") from None
