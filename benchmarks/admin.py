"""What staff's pages of the admin cost with a thousand deliveries, and with a million."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.apps import apps
from django.contrib.admin import site
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.contrib.auth.models import Group, User
from django.core.cache import cache as django_cache
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from benchmarks import databases, past
from benchmarks.databases import Contestant
from benchmarks.report import Figure, Sample
from benchmarks.rounds import Options, Trial, play, timed
from kaspi_delivery_django.management.commands import kaspi_operators
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent

if TYPE_CHECKING:
    from django.contrib.admin.options import ModelAdmin

SHOWN = ("queries", "rows", "sql ms")
SMALL, LARGE = "small", "large"
SMALL_ROWS = 1000
MOST_QUERIES = 12
MOST_RATIO = 3.0
OK = 200
APP = Delivery._meta.app_label
STAFF = "staff"
FINDS_NOTHING = {"an unknown word": "no-such-parcel", "an unknown number": "99999999999999"}
SEARCHES: Mapping[type[Model], Mapping[str, Callable[[Any], str]]] = {
    Delivery: {
        "order id": lambda row: row.object_id,
        "external id": lambda row: row.external_order_id,
        "external id without its prefix": lambda row: row.external_key,
        "order's number": lambda row: row.order_label.partition(" ")[2],
        "order's number, its beginning": lambda row: row.order_label.partition(" ")[2][:-1],
        "customer's surname": lambda row: row.dropoff_name.partition(" ")[2],
        "city of every row": lambda row: row.dropoff_address.partition(",")[0],
        "delivery id": lambda row: row.delivery_id,
        "whole phone": lambda row: row.dropoff_phone,
        "a phone's last four digits": lambda row: row.dropoff_phone[-4:],
    },
    WebhookEvent: {
        "event id": lambda row: row.event_id,
        "external id": lambda row: row.external_order_id,
        "delivery id": lambda row: row.kaspi_delivery_id,
    },
    ApiCall: {
        "order's number": lambda row: row.delivery.order_label,
        "idempotency key": lambda row: row.idempotency_key,
        "delivery id": lambda row: row.delivery.delivery_id,
    },
    StatusChange: {
        "order's number": lambda row: row.delivery.order_label,
        "external id": lambda row: row.delivery.external_order_id,
        "delivery id": lambda row: row.delivery.delivery_id,
    },
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of one database. `is_cold` empties the cache before the page is rendered."""

    label: str
    url: str
    is_cold: bool = False


def run(options: Options) -> Iterator[Figure]:
    """Fill two databases, find their pages, and render each in turn in both."""
    sizes = {SMALL: min(SMALL_ROWS, options.rows // 10), LARGE: options.rows}
    with ExitStack() as stack:
        made = (databases.created("postgresql", options, f"admin_{size}") for size in sizes.values())
        processes = stack.enter_context(databases.started([stack.enter_context(one) for one in made]))
        both = dict(zip(sizes, processes, strict=True))
        for name, size in sizes.items():
            both[name].do(prepare, size)
        for figure in play(_trials(both), options.rounds):
            queries = max(figure.fact("queries", name) for name in figure.samples)
            marks = [f"more than {MOST_QUERIES} queries"] if queries > MOST_QUERIES else []
            yield replace(figure, marks=marks).limited(MOST_RATIO)


def prepare(size: int) -> None:
    """Create and fill the tables, and create a member of the staff's group."""
    past.create(size)
    past.add_rare(size)
    kaspi_operators.make_group(using="default")
    user = User.objects.create(username=STAFF, is_staff=True)
    user.groups.add(Group.objects.get(name=kaspi_operators.NAME))


def find() -> list[Page]:
    """Return the pages of this database: lists, rows and the dashboard."""
    models = [model for model in apps.get_app_config(APP).get_models() if site.is_registered(model)]
    own = [site.get_model_admin(model) for model in models]
    dashboard = reverse(f"admin:{APP}_dashboard")
    return [
        Page(label="index of the app", url=reverse("admin:app_list", args=[APP])),
        *(page for find_some in (_list_pages, _row_pages) for model_admin in own for page in find_some(model_admin)),
        Page(label="dashboard, cold", url=dashboard, is_cold=True),
        Page(label="dashboard, warm", url=dashboard),
    ]


def render(page: Page) -> Sample:
    """Render a page; return its time, its statements, and the number of rows that it shows."""
    if page.is_cold:
        django_cache.clear()
    responses: list[Any] = []
    with CaptureQueriesContext(connection) as captured:
        timing = timed(lambda: responses.append(_client().get(page.url)))
    if responses[0].status_code != OK:
        raise RuntimeError(f"{page.url} answered {responses[0].status_code}")
    changelist = _changelist(responses[0])
    facts = {
        "queries": len(captured),
        "sql ms": round(sum(float(query["time"]) for query in captured.captured_queries) * 1000),
        "rows": len(changelist.result_list) if changelist else 1,
    }
    return Sample(ms=timing.elapsed_s * 1000, facts=facts)


def _trials(both: dict[str, Contestant]) -> list[Trial]:
    """Return a trial for each page. Some pages, such as a second one, are those of the large database alone."""
    found: dict[str, dict[str, Callable[[], Sample]]] = {}
    for name, contestant in both.items():
        for page in contestant.do(find):
            found.setdefault(page.label, {})[name] = partial(contestant.do, render, page)
    return [Trial(label=label, contestants=contestants) for label, contestants in found.items()]


@cache
def _client() -> Client:
    client = Client()
    client.force_login(User.objects.get(username=STAFF))
    return client


def _changelist(response: Any) -> ChangeList | None:
    context: dict[str, ChangeList] = getattr(response, "context_data", None) or {}
    return context.get("cl")


def _list_pages(own: "ModelAdmin[Any]") -> Iterator[Page]:
    """Yield a list's first, second and last page, its filters' choices, and searches, if the list may be seen."""
    name, url = str(own.opts.verbose_name_plural), reverse(f"admin:{APP}_{own.opts.model_name}_changelist")
    changelist = _changelist(_client().get(url))
    if changelist is None:
        return
    yield Page(label=name, url=url)
    last = changelist.paginator.num_pages
    for label, number in (("page 2", 2), ("last page", last)) if last > 1 else ():
        yield Page(label=f"{name}, {label}", url=f"{url}?{urlencode({PAGE_VAR: number})}")
    for label, query in _choices(changelist):
        yield Page(label=f"{name}, {label}", url=url + query)
    for label, term in _terms(own.model).items() if changelist.search_fields else ():
        yield Page(label=f"{name}, search {label}", url=f"{url}?{urlencode({SEARCH_VAR: term})}")


def _choices(changelist: ChangeList) -> Iterator[tuple[str, str]]:
    for specification in changelist.filter_specs:
        for choice in specification.choices(changelist):
            if not choice.get("selected") and choice.get("query_string"):
                name = str(choice["display"]).partition(" (")[0]  # without a count, which differs
                yield f"{specification.title} = {name}", str(choice["query_string"])


def _terms(model: type[Model]) -> dict[str, str]:
    """Return what is searched for: the values of a row of about half a year ago, and what is not there."""
    rows = model._default_manager.order_by("pk")
    newest = rows.values_list("pk", flat=True).last() or 0
    row = rows.filter(pk__gte=newest // 2)[0]
    found = {label: str(term(row)) for label, term in SEARCHES.get(model, {}).items()}
    return {**found, **FINDS_NOTHING}


def _row_pages(own: "ModelAdmin[Any]") -> Iterator[Page]:
    """Yield the pages of a model's newest and oldest row."""
    rows = own.model._default_manager.order_by("pk")
    for label, row in (("newest", rows.last()), ("oldest", rows.first())):
        if row is not None:
            url = reverse(f"admin:{APP}_{own.opts.model_name}_change", args=[row.pk])
            yield Page(label=f"{own.opts.verbose_name}, {label}", url=url)
