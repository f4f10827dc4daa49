"""A browser without a screen: it reads forms, fills them in, keeps cookies, follows redirects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests
from django.utils.translation import gettext

from example_project.demo.deadline import DemoFailed

TIMEOUT_S = 20.0
Attributes = Mapping[str, str]


@dataclass
class Form:
    """A form as the page has it: where it goes, and what it sends when nothing is changed."""

    action: str
    names: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)

    def add(self, attributes: Attributes) -> None:
        """Take in one input; what a checkbox would send is a choice."""
        name, kind = attributes.get("name", ""), attributes.get("type", "text")
        if not name or kind in {"submit", "button"}:
            return
        self.names.add(name)
        if kind == "checkbox":
            self.choices.setdefault(name, []).append(attributes.get("value", "on"))
        else:
            self.values[name] = attributes.get("value", "")


class Page(HTMLParser):
    """A page that was fetched: its forms, and the attributes of every tag."""

    def __init__(self, url: str, text: str) -> None:
        super().__init__()
        self.url = url
        self.forms: list[Form] = []
        self.tags: list[Attributes] = []
        self._open: Form | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append(attributes)
        if tag == "form":
            self._open = Form(attributes.get("action", ""))
            self.forms.append(self._open)
        elif tag in {"input", "textarea", "select"} and self._open:
            self._open.add(attributes)

    def handle_endtag(self, tag: str) -> None:
        """End the form."""
        if tag == "form":
            self._open = None

    def form_with(self, name: str) -> Form:
        """Return the form that has this field."""
        for form in self.forms:
            if name in form.names:
                return form
        raise DemoFailed(gettext("%(url)s has no form with a field %(name)s.") % {"url": self.url, "name": repr(name)})

    def having(self, attribute: str) -> list[Attributes]:
        """Return the attributes of every tag that has this one."""
        return [tag for tag in self.tags if attribute in tag]


class Browser:
    """One person's browser in the shop."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, address: str) -> Page:
        """Open a page."""
        return self._read("GET", urljoin(self._home, address))

    def submit(self, page: Page, form: Form, values: Mapping[str, str]) -> Page:
        """Send a form with these values filled in, and return the page that comes."""
        if unknown := set(values) - form.names:
            raise DemoFailed(
                gettext("%(url)s has no form with a field %(name)s.") % {"url": page.url, "name": repr(unknown.pop())}
            )
        target = urljoin(page.url, form.action)
        return self._read("POST", target, data={**form.values, **values}, referer=page.url)

    def _read(self, method: str, url: str, *, data: Mapping[str, str] | None = None, referer: str = "") -> Page:
        headers = {"Referer": referer} if referer else {}
        try:
            answer = self._session.request(method, url, data=data, headers=headers, timeout=TIMEOUT_S)
        except requests.RequestException as err:
            words = gettext("%(method)s %(url)s failed: %(error)s")
            raise DemoFailed(words % {"method": method, "url": url, "error": err}) from err
        if not answer.ok:
            words = gettext("%(method)s %(url)s answered %(status)s.")
            raise DemoFailed(words % {"method": method, "url": url, "status": answer.status_code})
        return Page(answer.url, answer.text)
