"""Buttons and bulk actions for the admin of a shop's orders, and what they ask first."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, outcomes
from kaspi_delivery_django.admin.actions import ACTIONS, outcome_of_booking
from kaspi_delivery_django.admin.confirmation import (
    CONFIRMED,
    MAX_ROWS,
    NO_TIME,
    BulkActionsMixin,
    check_keys,
    keys_of,
)
from kaspi_delivery_django.admin.forms import ConfirmForm, CountForm
from kaspi_delivery_django.admin.orders.inline import BOOK_AGAIN, book_page
from kaspi_delivery_django.admin.orders.lists import VIEW, DeliveryStatusMixin, ModelAdmin
from kaspi_delivery_django.admin.orders.shipped import ShippedRows
from kaspi_delivery_django.admin.outcomes import Action, Answer, Preview, Report
from kaspi_delivery_django.exceptions import CannotBook, CannotReissue, NoAdapter
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.models.deliveries import DeliveryQuerySet
from kaspi_delivery_django.services import bulk_actions
from kaspi_delivery_django.services.deliveries import rules
from kaspi_delivery_django.services.deliveries.orders import NOT_WANTED, book_delivery, check_booking
from kaspi_delivery_django.services.deliveries.rules import PERMISSIONS

BULK_ACTIONS = ("kaspi_book", "kaspi_book_again", "kaspi_cancel")
ANYWAY = "anyway:"  # before the key of a parcel that the adapter does not want sent


class DeliveryActionsMixin(ModelAdmin):
    """Adds bulk actions to an order list, and to `DeliveryInline` the button that books a courier.

    Each needs its permission and asks first.
    """

    kaspi_shipments = ""

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        if self.actions is not None:  # None switches all bulk actions off
            self.actions = [*self.actions, *BULK_ACTIONS]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.kaspi_book_view)
        return [path("<path:object_id>/book-courier/", view, name=book_page(self.model)), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Refuse a forged choice of rows for an action of ours."""
        if request.POST.get("action") in BULK_ACTIONS:
            check_keys(self.model, request.POST.getlist(ACTION_CHECKBOX_NAME))
        return super().changelist_view(request, extra_context)

    def kaspi_book_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return OrderConfirmation(self).book_one(request, object_id)

    def has_kaspi_book_permission(self, request: HttpRequest) -> bool:
        confirmation = OrderConfirmation(self)
        return confirmation.may(request, confirmation.booking)

    def has_kaspi_cancel_permission(self, request: HttpRequest) -> bool:
        return OrderConfirmation(self).may(request, ACTIONS["cancel"])

    @admin.action(description=_("Book a courier for the selected orders"), permissions=["kaspi_book"])
    def kaspi_book(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return OrderConfirmation(self).book(request, queryset)

    @admin.action(description=_("Book a courier again for the selected orders"), permissions=["kaspi_book"])
    def kaspi_book_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return OrderConfirmation(self).rebook(request, queryset)

    @admin.action(description=_("Cancel the deliveries of the selected orders"), permissions=["kaspi_cancel"])
    def kaspi_cancel(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return OrderConfirmation(self).cancel(request, queryset)


class OrderDeliveriesMixin(DeliveryActionsMixin, DeliveryStatusMixin):
    """All of a shop's order page: `class OrderAdmin(OrderDeliveriesMixin, admin.ModelAdmin)` with `DeliveryInline`."""


class BookForm(ConfirmForm):
    """Which parcels to book, where there is something to choose or to insist on; `wanted` are ticked."""

    choices: Sequence[tuple[str, str]] = ()
    wanted: Sequence[str] = ()
    refused: Sequence[str] = ()
    parcels = forms.MultipleChoiceField(label=_("Courier for"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["parcels"]
        field.choices, field.initial = self.choices, self.wanted
        notes = [*self.refused]
        if len(self.wanted) < len(self.choices):
            notes.append(gettext("Tick what the adapter does not want only if it is to be sent all the same."))
        field.help_text = " ".join(notes)


class OrderConfirmation(BulkActionsMixin):
    """Asks about orders on behalf of a shop's page, whose rows and permissions count, then acts on their deliveries."""

    def __init__(self, page: Any) -> None:
        super().__init__(page.model, page.admin_site)
        self.page = page
        self.booking = Action(
            permission=PERMISSIONS["book"],
            label=_("Book a courier"),
            question=_("Kaspi is asked for a courier, and it costs a delivery. The order is sent as it is saved now."),
            act=self._book,
            preview=self._preview_booking,
        )
        self.shipped = ShippedRows(page.model, page.kaspi_shipments)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask the shop's page, and for our own permission."""
        return bool(self.page.has_view_permission(request, obj) and request.user.has_perm(VIEW))

    def may(self, request: HttpRequest, action: Action) -> bool:
        return self.admin_site.is_registered(Delivery) and self._may(request, action)

    def book_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask about one order, and book when the answer is a yes. Say at once why nothing can be booked."""
        order = self.page.get_object(request, unquote(object_id))
        if order is None:
            raise Http404
        if not (self._may(request, self.booking) and self.has_view_permission(request, order)):
            raise PermissionDenied
        report = Report(self.admin_site)
        try:
            action = self._booking_of(order)
        except CannotBook as err:
            report.add(order, Answer(messages.ERROR, str(err)))
        else:
            form = action.form(request.POST if request.method == "POST" else None, row=order)
            if not form.is_valid():
                return self._confirm(request, action, [order], form)
            report.add(order, self._do(request, action, order, form.cleaned_data))
        self.message_user(request, report.text, report.level)
        page = f"{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(display.address(self.admin_site, page, quote(order.pk)))

    def book(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        if self._refuses_many(request, queryset, most=bulk_actions.ROWS_PER_REQUEST):
            return None
        return self.confirm_bulk(request, queryset, self.booking)

    def cancel(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        deliveries = self._newest(request, queryset, most=MAX_ROWS)
        return None if deliveries is None else self.confirm_bulk(request, deliveries, ACTIONS["cancel"])

    def rebook(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        deliveries = self._newest(request, queryset, most=bulk_actions.ROWS_PER_REQUEST)
        if deliveries is None:
            return None
        known = request.POST.get(CONFIRMED)
        preview = _preview_rebooking(deliveries) if known is None else Preview(keys=known.split(","))
        form = type("CountForm", (CountForm,), {"count": len(preview.keys)})
        action = replace(ACTIONS["reissue"], label=BOOK_AGAIN, form=form, preview=lambda _keys: preview)
        return self.confirm_bulk(request, deliveries, action)

    def _newest(self, request: HttpRequest, queryset: QuerySet[Any], *, most: int) -> DeliveryQuerySet | None:
        """Return the newest deliveries of the chosen orders, or those that were asked about; None with a message."""
        if CONFIRMED in request.POST:
            return self._shipped_of(queryset, request.POST[CONFIRMED])
        if self._refuses_many(request, queryset, most=most):
            return None
        found = self.shipped.newest(queryset)
        keys = [delivery.pk for deliveries in found.values() for delivery in deliveries]
        if not keys:
            self.message_user(request, gettext("Nothing was done: no selected order has a delivery."), messages.WARNING)
            return None
        newest: DeliveryQuerySet = Delivery.objects.filter(pk__in=keys)
        return newest

    def _shipped_of(self, queryset: QuerySet[Any], confirmed: str) -> DeliveryQuerySet:
        """Return the confirmed deliveries that are of these rows, and no returns: a form can name any."""
        keys = keys_of(Delivery, confirmed)[:MAX_ROWS]
        asked: DeliveryQuerySet = Delivery.objects.filter(pk__in=keys)
        own = self.shipped.object_ids(self.shipped.having(queryset, asked.values_list("object_id", flat=True)))
        texts = [text for ids in own.values() for text in ids]
        return self.shipped.deliveries(texts).outbound().filter(pk__in=keys) if texts else asked.none()

    def _refuses_many(self, request: HttpRequest, queryset: QuerySet[Any], *, most: int) -> bool:
        if CONFIRMED in request.POST or len(queryset.order_by().values_list("pk")[: most + 1]) <= most:
            return False
        self.refuse_many(request, most)
        return True

    def _checked(self, order: Model) -> tuple[list[tuple[Any, bool]], list[tuple[Any, str]]]:
        """Return what can be booked of an order, and whether the adapter wants it sent; and what cannot, and why.

        Raises `CannotBook` if all of it has a delivery.
        """
        bookable, refused = [], []
        for parcel in self._unbooked(order):
            try:
                bookable.append((parcel, check_booking(parcel)))
            except CannotBook as err:
                refused.append((parcel, str(err)))
        return bookable, refused

    def _unbooked(self, order: Model) -> list[Any]:
        try:
            parcels = self.shipped.unbooked(order)
        except NoAdapter as err:
            raise CannotBook(str(err)) from err
        if not parcels:
            raise CannotBook(gettext("There is nothing to book: it has a delivery already."))
        return parcels

    def _booking_of(self, order: Model) -> Action:
        """Return the action for this order, which asks what to book where that is a question. Raises `CannotBook`."""
        bookable, failed = self._checked(order)
        is_parent = bool(self.shipped.shipments and self.shipped.shipments.path)
        refused = [f"{parcel}: {reason}" if is_parent else reason for parcel, reason in failed]
        if not bookable:
            raise CannotBook(" ".join(refused))
        wanted = [str(parcel.pk) for parcel, is_wanted in bookable if is_wanted]
        if len(wanted) == len(bookable) == 1 and not refused:
            return self.booking
        unwanted = gettext("%(order)s: the shop's adapter does not want it sent")
        choices = [
            (str(one.pk), str(one)) if wants else (f"{ANYWAY}{one.pk}", unwanted % {"order": one})
            for one, wants in bookable
        ]
        form = type("Form", (BookForm,), {"choices": choices, "wanted": wanted, "refused": refused})
        return replace(self.booking, form=form)

    def _preview_booking(self, keys: Sequence[Any]) -> Preview:
        """Return which orders can be booked as the adapter wants, how many couriers come, and why the others cannot."""
        able: list[Any] = []
        couriers, refused = 0, defaultdict(list)
        until = time.monotonic() + bulk_actions.REQUEST_S
        for order in self.model._default_manager.filter(pk__in=keys).order_by("pk"):
            if time.monotonic() > until:
                refused[str(NO_TIME)].append(order)
                continue
            try:
                bookable, failed = self._checked(order)
            except CannotBook as err:
                refused[str(err)].append(order)
                continue
            count = sum(is_wanted for _parcel, is_wanted in bookable)
            if count:
                couriers += count
                able.append(order.pk)
            reasons = {reason for _parcel, reason in failed} | ({NOT_WANTED} if count < len(bookable) else set())
            for reason in reasons:
                refused[str(reason)].append(order)
        return Preview(
            keys=able, effects=[str(outcomes.TO_BOOK % {"count": couriers})] if able else [], refused=refused
        )

    def _book(self, order: Model, answers: Mapping[str, Any]) -> Answer:
        """Book what was chosen of the order; without a choice what the adapter wants.

        A parcel is sent although the adapter does not want it only if the page said so.
        """
        chosen = answers.get("parcels")
        booked, refused = [], []
        for parcel in self._unbooked(order):
            is_overruled = chosen is not None and f"{ANYWAY}{parcel.pk}" in chosen
            if chosen is not None and not is_overruled and str(parcel.pk) not in chosen:
                continue
            try:
                booked.append(book_delivery(parcel, send_anyway=is_overruled))
            except CannotBook as err:
                refused.append(str(err))
        if not booked:
            raise CannotBook(" ".join(refused) or gettext("There is nothing to book: it has a delivery already."))
        return outcome_of_booking(booked, refused)


def _preview_rebooking(deliveries: DeliveryQuerySet) -> Preview:
    rows = list(deliveries.with_successors().defer("raw").order_by("pk"))
    rules.read_calls(rows)
    keys: list[int] = []
    refused = defaultdict(list)
    for delivery in rows:
        try:
            rules.check_reissue(delivery, confirmed_absent=False)
            keys.append(delivery.pk)
        except CannotReissue as err:
            refused[str(err)].append(delivery)
    return Preview(keys=keys, effects=[str(outcomes.TO_BOOK % {"count": len(keys)})] if keys else [], refused=refused)
