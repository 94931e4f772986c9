"""Pages: one Jinja environment over all areas, the layout's data, and error pages.

Templates of an area lie in api/<area>/templates and are named "<area>/x.html"; api/templates holds what all share.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from api import security
from models.kernel.settings import settings
from models.people.roles import BEDSIDE, CLINICAL, RADIOLOGY, ROLES

if TYPE_CHECKING:
    from api.deps import Caller

HERE = Path(__file__).parent
BROWSERS = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"), ("curl/", "curl"))
SYSTEMS = (
    *(("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows")),
    *(("Mac OS", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux")),
)
NAV = (
    ("/worklist", "Work list", ("technician", "verifier", "doctor")),
    ("/verification", "Verification", ("verifier",)),
    ("/held", "Held results", ("technician", "supervisor")),
    ("/alerts", "Alerts", ("technician", "verifier", "doctor", "nurse")),
    ("/patients", "Patients", CLINICAL),
    ("/vitals/patients", "Vital signs", BEDSIDE),
    ("/vitals/held", "Held readings", BEDSIDE),
    ("/radiology/orders", "Orders", RADIOLOGY),
    ("/radiology/studies", "Studies", RADIOLOGY),
    ("/radiology/upload", "Upload", ("radiology_technician",)),
    ("/radiology/uploads", "Uploads", ("radiology_technician",)),
    ("/instruments", "Instruments", ("technician", "verifier", "administrator")),
    ("/devices", "Devices", (*BEDSIDE, "administrator")),
    ("/catalogue", "Catalogue", ("technician", "verifier", "doctor", "administrator")),
    ("/access-log", "Who looked", ("supervisor", "administrator")),
    ("/quality", "Quality", ("verifier", "supervisor", "administrator")),
    ("/outbox", "Outbox", ("supervisor", "administrator")),
    ("/audit", "Audit trail", ("supervisor", "administrator")),
    ("/departments", "Departments", ("administrator",)),
    ("/alerts/setup", "Alert ladder", ("administrator",)),
    ("/users", "Users", ("administrator",)),
)
"""Path, label and roles of every entry, in order. What is in no group stands in the bar itself."""
GROUPS = {
    "Vitals": ("/vitals/patients", "/vitals/held", "/devices"),
    "Imaging": ("/radiology/orders", "/radiology/studies", "/radiology/upload", "/radiology/uploads"),
    "Oversight": ("/quality", "/access-log", "/outbox", "/audit"),
    "Set-up": ("/catalogue", "/departments", "/alerts/setup", "/users"),
}
"""Menus of the bar. One with a single entry for somebody is no menu: the entry stands in the bar."""

SESSION_ENDED = "Your session had ended: nothing was done. Sign in and do it again."


def render(
    request: Request, template: str, caller: "Caller | None", status_code: int = 200, **context: Any
) -> HTMLResponse:
    """The page as an answer. Templates also see `caller`, `request`, `nav`, `flash` and `form_token`."""
    is_fragment = request.headers.get("HX-Request") == "true"
    flash = None if is_fragment else security.read_flash(request)
    secret = security.form_secret(request) if caller is None else ""
    shared = {
        "caller": caller,
        "request": request,
        "nav": navigation(request, caller),
        "flash": flash,
        "form_token": security.proof("form", secret) if secret else "",
        "roles_known": ROLES,
    }
    content = environment().get_template(template).render(shared | context)
    response = HTMLResponse(content, status_code)
    if secret and security.FORM_COOKIE not in request.cookies:
        security.set_cookie(response, security.FORM_COOKIE, secret)
    if flash is not None:
        security.drop_cookie(response, security.FLASH_COOKIE)
    return response


def redirect(request: Request, address: str, *, flash: str = "", level: str = "success") -> Response:
    """Send the browser on after a form was accepted, with something to say on the next page; htmx follows too."""
    response: Response
    if request.headers.get("HX-Request") == "true":
        response = Response(status_code=204, headers={"HX-Redirect": address})
    else:
        response = RedirectResponse(address, 303)
    if flash:
        security.put_flash(response, flash, level=level)
    return response


def wants_page(request: Request) -> bool:
    """Whether the caller is a person in a browser, looking at pages; htmx asks for them with `Accept: */*`."""
    if request.url.path.startswith(("/api/", "/static/")):
        return False
    return request.headers.get("HX-Request") == "true" or "text/html" in request.headers.get("accept", "")


def error_page(
    request: Request, status: int, message: str, details: Sequence[str], headers: Mapping[str, str] | None
) -> Response:
    """The error as a page, or for htmx as a message in the page that is there."""
    caller = getattr(request.state, "caller", None)
    context = {"status": status, "message": message, "details": details}
    if request.headers.get("HX-Request") == "true":
        response = render(request, "partials/flash.html", caller, status, flash=("error", message), details=details)
        response.headers.update({"HX-Retarget": "#flash", "HX-Reswap": "innerHTML"})
    else:
        response = render(request, "error.html", caller, status, **context)
    response.headers.update(headers or {})
    return response


def sign_in_page(request: Request) -> Response:
    """The way to the sign-in page and back; the cookie of a session that has ended is taken away.

    The sign-in page then says of what was sent, a form for example, that it was not done.
    """
    address = security.login_address(request)
    response: Response
    if request.headers.get("HX-Request") == "true":
        response = Response(status_code=401, headers={"HX-Redirect": address})
    else:
        response = RedirectResponse(address, 303)
    if security.SESSION_COOKIE in request.cookies:
        security.drop_cookie(response, security.SESSION_COOKIE)
    if request.method not in security.SAFE_METHODS:
        security.put_flash(response, SESSION_ENDED, level="error")
    return response


@dataclass(frozen=True, slots=True)
class Entry:
    """A link of the bar, or with `entries` a menu of links."""

    path: str
    label: str
    is_here: bool
    entries: tuple["Entry", ...] = ()
    is_outside: bool = False


def navigation(request: Request, caller: "Caller | None") -> list[Entry]:
    """Every entry the caller may use and that this installation serves, in menus where there are several of a group."""
    if caller is None:
        return []
    served: frozenset[str] = request.app.state.page_paths
    here = request.url.path
    theirs = [(path, label) for path, label, roles in NAV if path in served and caller.has(*roles)]
    shown = max((path for path, _ in theirs if here == path or here.startswith(f"{path}/")), key=len, default="")
    links = [Entry(path, label, path == shown) for path, label in theirs]
    menus = [
        Entry("", name, any(one.is_here for one in inside), inside)
        for name, paths in GROUPS.items()
        if len(inside := tuple(link for path in paths for link in links if link.path == path)) > 1
    ]
    in_menus = {link.path for menu in menus for link in menu.entries}
    return [*(link for link in links if link.path not in in_menus), *menus, *mailbox()]


def first_page(request: Request, caller: "Caller") -> str:
    """Where somebody begins: the first page of theirs, the account page where there is none."""
    entries = navigation(request, caller)
    inside = [link.path for one in entries for link in (one.entries or (one,)) if not link.is_outside]
    return inside[0] if inside else "/account"


def mailbox() -> list[Entry]:
    """In the demo alone: where its mail can be read."""
    address = settings().mailbox_url if settings().is_demo else ""
    return [Entry(address, "Mailbox", is_here=False, is_outside=True)] if address else []


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The one Jinja environment: escaping always on, a misspelt variable is an error."""
    areas = {folder.parent.name: FileSystemLoader(folder) for folder in sorted(HERE.glob("*/templates"))}
    made = Environment(
        loader=ChoiceLoader([PrefixLoader(areas), FileSystemLoader(HERE / "templates")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"when": when, "day": day, "browser": browser}
    made.globals["asset"] = asset
    return made


@pass_context
def when(context: Context, moment: datetime | None, form: str = "%d %b %Y %H:%M") -> Markup:
    """A moment as the laboratory's clock shows it, with the exact one for machines; nothing for None."""
    if moment is None:
        return Markup('<span class="muted">–</span>')
    caller = context.get("caller")
    try:
        local = moment.astimezone(_zone(caller.time_zone if caller else "UTC"))
    except OverflowError:  # at the ends of the calendar
        local = moment
    exact, shown = moment.isoformat(timespec="seconds"), local.strftime(form)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact, local.strftime("%d %b %Y %H:%M:%S %Z"), shown
    )


def day(value: date | None) -> str:
    """A calendar day, such as a birthday, which has no zone."""
    return value.strftime("%d %b %Y") if value else "–"


def browser(user_agent: str | None) -> str:
    """A browser's header in the words people use: "Firefox on Windows"; the beginning of it when it is none we know."""
    text = user_agent or ""
    name = next((name for sign, name in BROWSERS if sign in text), "")
    system = next((system for sign, system in SYSTEMS if sign in text), "")
    return " on ".join(part for part in (name, system) if part) or text[:40] or "Unknown"


@lru_cache(maxsize=64)
def asset(name: str) -> str:
    """The address of a static file with its content's hash, so that browsers may keep it for ever."""
    digest = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
