"""The shop's addresses."""

from django.urls import path

from example_project.shop import views

app_name = "shop"

urlpatterns = [
    path("", views.products, name="products"),
    path("products/<int:pk>/", views.checkout, name="checkout"),
    path("orders/<uuid:token>/", views.order_page, name="order"),
]
