"""Confirmation pages: show what an action will do, run it, log it, and report the outcome."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partialmethod
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, SuspiciousOperation, ValidationError
from django.db import OperationalError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, outcomes
from kaspi_delivery_django.admin.forms import ConfirmForm
from kaspi_delivery_django.admin.outcomes import ROWS_NAMED, Action, Answer, Preview, Report
from kaspi_delivery_django.admin.readonly import STYLE, ReadOnlyAdmin
from kaspi_delivery_django.exceptions import DeliveryError, UsageError
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.orders import MAX_KEY
from kaspi_delivery_django.services import bulk_actions, clock
from kaspi_delivery_django.services.db import is_transient
from kaspi_delivery_django.stats import accounts

MAX_ROWS = 10_000
CONFIRMED = "asked_about"
QUESTION = "question"
NO_TIME = _("There was no time for all of them: do it again for the rest.")


def preview(action: Action, keys: Sequence[Any]) -> Preview:
    """Return what the action would do to the chosen rows."""
    if action.preview:
        return action.preview(keys)
    if not action.bulk_name:
        return Preview(keys=keys)
    found = bulk_actions.forecast(action.bulk_name, keys)
    return Preview(keys=found.keys, effects=outcomes.effect_lines(found.effects), refused=found.refused)


def has_permission(_page: object, request: HttpRequest, *, codename: str) -> bool:
    return request.user.has_perm(f"kaspi_delivery.{codename}")


class BulkActionsMixin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generics at run time
    """Bulk actions with a confirmation page. The rows may be of another model than the admin's own."""

    def facts(self, request: HttpRequest, row: Any) -> Iterable[str]:
        """Return what staff recognise a row by, shown beside its name; for a delivery its order and customer."""
        return display.delivery_facts(self.admin_site, request, row) if isinstance(row, Delivery) else ()

    def confirm_bulk(self, request: HttpRequest, queryset: QuerySet[Any], action: Action) -> HttpResponse | None:
        """Ask about several rows first; then do it, and report the outcome in one message.

        Rows that one request has no time for are queued for the worker.
        """
        known = request.POST.get(CONFIRMED)
        chosen = queryset if known is None else queryset.filter(pk__in=keys_of(queryset.model, known)[:MAX_ROWS])
        keys = list(chosen.order_by("pk").values_list("pk", flat=True)[: MAX_ROWS + 1])
        if len(keys) > MAX_ROWS:
            self.refuse_many(request, MAX_ROWS)
            return None
        if not keys:
            self.message_user(request, gettext("The row is gone."), messages.WARNING)
            return None
        form = action.form(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self._confirm_all(request, action, queryset, keys, form)
        self._do_all(request, action, queryset.model, keys, form.cleaned_data)
        return None

    def refuse_many(self, request: HttpRequest, most: int) -> None:
        """Report that too many rows were chosen."""
        words = gettext("Nothing was done: more than %(most)s rows are selected. Filter the list first.")
        self.message_user(request, words % {"most": most}, messages.ERROR)

    def _confirm_all(
        self, request: HttpRequest, action: Action, queryset: QuerySet[Any], keys: Sequence[Any], form: ConfirmForm
    ) -> HttpResponse:
        """Ask, and have the answer name the rows that were asked about: the list may have others by then."""
        found = preview(action, keys)
        hidden = {
            "action": request.POST["action"],
            "apply": "1",
            "select_across": "1",
            ACTION_CHECKBOX_NAME: next(iter(request.POST.getlist(ACTION_CHECKBOX_NAME)), ""),
            CONFIRMED: ",".join(str(quote(str(key))) for key in found.keys),
        }
        rows = queryset.filter(pk__in=found.keys[:ROWS_NAMED]).order_by("pk")
        return self._confirm(
            request,
            action,
            rows,
            form,
            back=request.get_full_path(),
            hidden=hidden,
            selected=len(keys),
            effects=found.effects,
            refused=outcomes.refused_lines(self.admin_site, found.refused),
            more=max(0, len(found.keys) - ROWS_NAMED),
            queued=max(0, len(found.keys) - bulk_actions.ROWS_PER_REQUEST) if action.bulk_name else 0,
        )

    def _confirm(
        self, request: HttpRequest, action: Action, rows: Iterable[Model], form: ConfirmForm, **context: Any
    ) -> HttpResponse:
        values = {
            **self.admin_site.each_context(request),
            "title": action.label,
            "chosen": action,
            "rows": [(display.row_link(self.admin_site, request, row), self.facts(request, row)) for row in rows],
            "subject": form.row,
            "form": form,
            "hidden": {QUESTION: action.meaning},
            "back": _back(request),
            "opts": self.opts,
            "media": self.media + form.media + forms.Media(css=STYLE),
            **context,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/kaspi_delivery/confirm.html", values)

    def _do_all(
        self, request: HttpRequest, action: Action, model: type[Model], keys: Sequence[Any], answers: Mapping[str, Any]
    ) -> None:
        """Do one row after the other while there is time, queue the rest, and report both."""
        report = Report(self.admin_site)

        def do(key: Any) -> None:
            row = model._default_manager.filter(pk=key).first()
            if row is not None:
                report.add(row, self._do(request, action, row, answers))

        if rest := bulk_actions.do_at_once(keys, do):
            self._queue(request, action, model._default_manager.filter(pk__in=rest), answers, report)
        self.message_user(request, report.text, report.level)

    def _queue(
        self, request: HttpRequest, action: Action, rows: QuerySet[Any], answers: Mapping[str, Any], report: Report
    ) -> None:
        if not action.bulk_name:
            report.add_line(messages.WARNING, str(NO_TIME))
            return
        user: Any = request.user
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        reason, asked_by = str(answers.get("reason", "")), bulk_actions.login_of(user)
        bulk_actions.queue(action.bulk_name, keys, reason=reason, asked_by=asked_by)
        text = gettext("%(action)s: queued for the worker") % {"action": _recorded(action, answers)}
        LogEntry.objects.log_actions(user.pk, rows, CHANGE, text)
        words = ngettext("%(count)s is queued for the worker.", "%(count)s are queued for the worker.", len(keys))
        url = display.list_url(self.admin_site, request, "pendingaction", state="waiting")
        report.add_line(messages.INFO, display.link(url, words % {"count": len(keys)}))
        if any(account.is_without_worker(clock.now()) for account in accounts.read()):
            report.add_line(messages.WARNING, gettext("No worker is seen: nothing is done until one runs."))

    def _do(self, request: HttpRequest, action: Action, row: Model, answers: Mapping[str, Any]) -> Answer:
        self.log_change(request, row, _recorded(action, answers))
        try:
            return Answer(*action.act(row, answers))
        except (DeliveryError, UsageError, ObjectDoesNotExist) as err:
            self.log_change(request, row, f"{action.label}: {err}")
            return Answer(messages.ERROR, str(err))
        except OperationalError as err:
            if not is_transient(err):
                raise
            return Answer(messages.ERROR, gettext("not done, the database was busy: try again."))

    def _may(self, request: HttpRequest, action: Action) -> bool:
        allowed = has_permission(self, request, codename=action.permission)
        return allowed and self.has_view_permission(request)


def bulk_action(action: Action, description: Any) -> Any:
    """Return an entry in a list's `actions` that asks about the chosen rows, for users with the permission."""

    def ask(page: BulkActionsMixin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return page.confirm_bulk(request, queryset, action)

    return admin.action(description=description, permissions=[action.permission])(ask)


class ConfirmedActionsAdmin(BulkActionsMixin, ReadOnlyAdmin):
    """A mirror's pages with buttons for what can be done now."""

    actions: Any = ()

    # Django looks these up by the permissions of bulk actions.
    has_cancel_delivery_permission = partialmethod(has_permission, codename="cancel_delivery")
    has_retry_delivery_permission = partialmethod(has_permission, codename="retry_delivery")
    has_return_delivery_permission = partialmethod(has_permission, codename="return_delivery")
    has_replay_event_permission = partialmethod(has_permission, codename="replay_event")

    def row_actions(self, row: Any) -> Iterable[tuple[str, Action]]:
        """Name what can be done about the row now."""
        raise NotImplementedError

    def row_action(self, row: Any, name: str) -> Action | None:
        """Return what stands behind the name for this row; None for an unknown one.

        A page whose actions come and go returns also one that is not possible now: the service says why.
        """
        return dict(self.row_actions(row)).get(name)

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_exit"
        page = path("<path:object_id>/do/<slug:name>/", self.admin_site.admin_view(self.action_view), name=name)
        return [page, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Offer the actions that are allowed now and that the user may do."""
        context["row_actions"] = [
            {"name": name, "label": action.label, "is_dangerous": action.is_dangerous}
            for name, action in self.row_actions(context["original"])
            if self._may(request, action)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def action_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Ask about one row; do it when the answer is a yes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        action = self.row_action(row, name) if row else None
        if row is None or action is None:
            raise Http404
        if not self._may(request, action):
            raise PermissionDenied
        is_same = request.POST.get(QUESTION, action.meaning) == action.meaning
        form = action.form(request.POST if request.method == "POST" and is_same else None, row=row)
        if not is_same:
            self.message_user(request, gettext("It has changed meanwhile: read what is asked now."), messages.WARNING)
        if not form.is_valid():
            return self._confirm(request, action, [row], form)
        report = Report(self.admin_site)
        report.add(row, self._do(request, action, row, form.cleaned_data))
        self.message_user(request, report.text, report.level)
        if url := _back(request):
            return HttpResponseRedirect(url)
        is_there = self.model._default_manager.filter(pk=row.pk).exists()
        page, keys = ("change", [row.pk]) if is_there else ("changelist", [])
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return HttpResponseRedirect(reverse(name, args=keys, current_app=self.admin_site.name))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Refuse an action that the user may not do, instead of ignoring it."""
        asked, keys = request.POST.get("action", ""), request.POST.getlist(ACTION_CHECKBOX_NAME)
        if asked in self.actions and asked not in self.get_actions(request):
            raise PermissionDenied
        check_keys(self.model, keys)
        return super().changelist_view(request, extra_context)


def check_keys(model: type[Model], keys: Sequence[str]) -> None:
    """Raise `SuspiciousOperation` for chosen rows that no list names so: Django would answer with an error of ours."""
    if not all(keys_of(model, quote(key)) for key in keys):
        raise SuspiciousOperation("the rows of an action are named by their keys")


def _back(request: HttpRequest) -> str:
    """Return the page that the user came from, as its link names it; empty for none, or for another site's."""
    url = request.GET.get(display.BACK, "")
    return url if url_has_allowed_host_and_scheme(url, allowed_hosts=None) else ""


def keys_of(model: type[Model], text: str) -> list[Any]:
    """Read the keys that a form names; a forged text names none."""
    try:
        return [_key(model, unquote(part)) for part in text.split(",")]
    except (TypeError, ValueError, ValidationError):
        return []


def _key(model: type[Model], text: str) -> Any:
    """Read one key. Raises `ValueError` for a number that is not written as we write it, or that no column holds."""
    key = model._meta.pk.to_python(text)
    if isinstance(key, int) and (str(key) != text or not 0 <= key <= MAX_KEY):
        raise ValueError(text)
    return key


def _recorded(action: Action, answers: Mapping[str, Any]) -> str:
    """Return the line for the admin's log, which everybody may read for ever: nothing personal is in it."""
    given = ", ".join(f"{name}={value}" for name, value in answers.items() if name not in action.form.personal)
    return f"{action.label}: {given}" if given else str(action.label)
