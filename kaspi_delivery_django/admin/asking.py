"""Pages that ask before something is done, do it, record it, and report row by row."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import OperationalError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext

from kaspi_delivery_django.admin.forms import ConfirmForm
from kaspi_delivery_django.admin.mirrors import MirrorAdmin
from kaspi_delivery_django.exceptions import DeliveryError, UsageError
from kaspi_delivery_django.services.transactions import is_transient

Said = tuple[int, str]
MOST_ROWS = 100


@dataclass(frozen=True, kw_only=True)
class Exit:
    """One thing that can be done. `act` does it, and returns a message's level and words."""

    permission: str
    label: Promise
    question: Promise
    act: Callable[[Any, Mapping[str, Any]], Said]
    form: type[ConfirmForm] = ConfirmForm


class AskingAdmin(MirrorAdmin):
    """A mirror's pages with buttons for what can be done now."""

    change_form_template = "admin/kaspi_delivery/change_form.html"

    def ways_out(self, row: Any) -> Iterable[tuple[str, Exit]]:
        """Name what can be done about the row now."""
        raise NotImplementedError

    def exit_of(self, row: Any, name: str) -> Exit | None:
        """Return what stands behind the name for this row, possible now or not; None for an unknown one."""
        raise NotImplementedError

    def get_urls(self) -> list[Any]:
        """Add the page that asks."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_exit"
        page = path("<path:object_id>/do/<slug:name>/", self.admin_site.admin_view(self.exit_view), name=name)
        return [page, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Offer what can be done now, to who may do it."""
        row = self.get_object(request, unquote(object_id))
        ways = self.ways_out(row) if row else ()
        offered = [{"name": name, "label": way.label} for name, way in ways if self._may(request, way)]
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "exits": offered})

    def exit_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Ask about one row; do it when the answer is a yes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        way = self.exit_of(row, name) if row else None
        if row is None or way is None:
            raise Http404
        if not self._may(request, way):
            raise PermissionDenied
        form = way.form(request.POST if request.method == "POST" else None, row=row)
        if not form.is_valid():
            return self._ask(request, way, [row], form)
        self._do(request, way, row, form.cleaned_data)
        page = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(page, args=[row.pk], current_app=self.admin_site.name))

    def ask_about(self, request: HttpRequest, queryset: QuerySet[Any], way: Exit) -> HttpResponse | None:
        """Ask about several rows first; then do it, and report row by row."""
        if len(queryset[: MOST_ROWS + 1]) > MOST_ROWS:
            words = gettext("Nothing was done: select at most %(most)s rows at a time.") % {"most": MOST_ROWS}
            self.message_user(request, words, messages.ERROR)
            return None
        form = way.form(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self._ask(request, way, queryset, form, action=request.POST["action"])
        for row in queryset:
            self._do(request, way, row, form.cleaned_data)
        return None

    def _ask(
        self, request: HttpRequest, way: Exit, rows: Iterable[Model], form: ConfirmForm, *, action: str = ""
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": way.label,
            "way": way,
            "rows": rows,
            "subject": form.row,
            "form": form,
            "opts": self.opts,
            "media": self.media + form.media,
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "action": action,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/kaspi_delivery/ask.html", context)

    def _do(self, request: HttpRequest, way: Exit, row: Model, answers: Mapping[str, Any]) -> None:
        self.log_change(request, row, _recorded(way, answers))
        try:
            level, words = way.act(row, answers)
        except (DeliveryError, UsageError, ObjectDoesNotExist) as err:
            level, words = messages.ERROR, str(err)
            self.log_change(request, row, f"{way.label}: {words}")
        except OperationalError as err:
            if not is_transient(err):
                raise
            level, words = messages.ERROR, gettext("not done, the database was busy: try again.")
        self.message_user(request, f"{row}: {words}", level)

    def _may(self, request: HttpRequest, way: Exit) -> bool:
        allowed = request.user.has_perm(f"kaspi_delivery.{way.permission}")
        return allowed and self.has_view_permission(request)


def _recorded(way: Exit, answers: Mapping[str, Any]) -> str:
    """Return the line for the admin's log, which everybody may read for ever: nothing personal is in it."""
    given = ", ".join(f"{name}={value}" for name, value in answers.items() if name not in way.form.personal)
    return f"{way.label}: {given}" if given else str(way.label)
