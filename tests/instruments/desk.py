"""Somebody at the pages: a browser without scripts, and what a page must keep to be usable by everybody."""

import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from starlette.testclient import TestClient

from tests.api.helpers import make_user, signed_in
from tests.instruments.helpers import Lab

VOID = frozenset({"input", "meta", "link", "br", "hr", "img", "rect"})
NAMED_FIELDS = frozenset({"input", "select", "textarea"})


@dataclass
class Element:
    """A tag with its attributes and the text inside it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    in_label: bool = False


class Page(HTMLParser):
    """A page as a screen reader meets it."""

    def __init__(self, status: int, text: str, place: str = "") -> None:
        super().__init__()
        self.status, self.source, self.place = status, text, place
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        element.in_label = any(one.tag == "label" for one in self._open)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        while self._open and tag not in VOID:
            if self._open.pop().tag == tag:
                return

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    @property
    def text(self) -> str:
        """What can be read, in one line."""
        return re.sub(r"\s+", " ", " ".join(one.text for one in self.elements if one.tag == "body")).strip()

    def of(self, tag: str, **attributes: str) -> list[Element]:
        """The elements of this tag with these attributes."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [one for one in self.elements if one.tag == tag and wanted.items() <= one.attributes.items()]

    def value(self, name: str) -> str:
        """What a field of a form holds."""
        for one in self.elements:
            if one.tag == "input" and one.attributes.get("name") == name:
                return one.attributes.get("value", "")
        raise AssertionError(f"no field {name}")

    def complaints(self) -> list[str]:
        """What would keep somebody from using the page; empty for a good one."""
        ids = Counter(one.attributes["id"] for one in self.elements if "id" in one.attributes)
        labelled = {one.attributes.get("for") for one in self.of("label")}
        found = [f"id {name} is there {count} times" for name, count in ids.items() if count > 1]
        found += [f"label for {name}, which is not there" for name in labelled if name and name not in ids]
        if self.source.startswith("<!doctype"):
            found += [f"{len(self.of('h1'))} h1"] if len(self.of("h1")) != 1 else []
            found += [] if self.of("html", lang="en") and self.of("main") else ["no language or no main"]
        for one in self.elements:
            found += _complaints(one, ids, labelled)
        return found


def _complaints(one: Element, ids: Counter[str], labelled: set[str | None]) -> list[str]:
    about = one.attributes
    name = f"<{one.tag} {about.get('id') or about.get('name') or about.get('href', '')}>"
    found = [f"{name} has inline style or script" for key in about if key == "style" or key.startswith("on")]
    if one.tag == "script" and not about.get("src"):
        found.append("inline script")
    is_labelled = one.in_label or about.get("id") in labelled or "aria-label" in about or "aria-labelledby" in about
    if one.tag in NAMED_FIELDS and about.get("type") not in ("hidden", "submit") and not is_labelled:
        found.append(f"{name} has no label")
    if one.tag in ("button", "a") and not (one.text.strip() or about.get("aria-label")):
        found.append(f"{name} says nothing")
    if one.tag == "th" and "scope" not in about:
        found.append(f"{name} {one.text.strip()!r} has no scope")
    if one.tag == "form" and about.get("method") == "post" and not one.attributes.get("action"):
        found.append(f"{name} goes nowhere")
    for key in ("aria-describedby", "aria-labelledby"):
        found += [f"{name} refers to {ref}, which is not there" for ref in about.get(key, "").split() if ref not in ids]
    return found


@dataclass
class Desk:
    """A signed-in person at the pages."""

    browser: TestClient
    token: str
    user_id: int = 0
    seen: list[Page] = field(default_factory=list)

    def get(self, address: str, **headers: str) -> Page:
        """The page at this address, which must be a usable one."""
        answer = self.browser.get(address, headers=headers)
        page = Page(answer.status_code, answer.text, answer.headers.get("location", ""))
        assert (address, page.complaints()) == (address, [])
        return page

    def post(self, address: str, form: dict[str, Any] | None = None, **more: Any) -> Page:
        """The answer to a form, sent as the page sends it."""
        data = {"csrf_token": self.token} | (form or {})
        answer = self.browser.post(address, data=data, **more)
        page = Page(answer.status_code, answer.text, answer.headers.get("location", ""))
        assert (address, page.complaints()) == (address, [])
        return page


def sit_down(lab: Lab, name: str, *roles: str) -> Desk:
    """A new user of these roles, signed in."""
    user_id = make_user(lab.tenant_id, f"{name}@desk.example", *roles)
    browser = signed_in(f"{name}@desk.example")
    browser.headers["Accept"] = "text/html"
    return Desk(browser, str(browser.headers.pop("X-CSRF-Token")), user_id)
