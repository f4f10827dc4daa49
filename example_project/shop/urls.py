"""The shop's addresses."""

from django.urls import path
from django.views.i18n import set_language

from example_project.shop import views

app_name = "shop"

urlpatterns = [
    path("", views.products, name="products"),
    path("products/<int:pk>/", views.checkout, name="checkout"),
    path("language/", set_language, name="language"),
    path("orders/<uuid:token>/", views.order_page, name="order"),
]
