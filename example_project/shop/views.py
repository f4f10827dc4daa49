"""The shop's pages."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from example_project.shop.forms import CheckoutForm
from example_project.shop.models import Order, Product
from kaspi_delivery_django.tracking import delivery_of, tracking_path


@require_safe
def products(request: HttpRequest) -> HttpResponse:
    """Show the shelf."""
    return render(request, "shop/products.html", {"products": Product.objects.all()})


@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest, pk: int) -> HttpResponse:
    """Order one product, and go on to the order's page."""
    product = get_object_or_404(Product, pk=pk)
    form = CheckoutForm(request.POST or None)
    if form.is_valid():
        return redirect(form.place(product))
    return render(request, "shop/checkout.html", {"product": product, "form": form})


@require_safe
@never_cache
def order_page(request: HttpRequest, token: UUID) -> HttpResponse:
    """Show an order, and where its parcel is."""
    order = get_object_or_404(Order.objects.prefetch_related("lines__product"), token=token)
    delivery = delivery_of(order)
    tracking = tracking_path(delivery) if delivery else ""
    return render(request, "shop/order.html", {"order": order, "delivery": delivery, "tracking": tracking})
