"""Oscar's addresses, the admin, and Kaspi's webhook."""

from django.apps import apps
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("kaspi/", include("kaspi_delivery_django.urls")),
    path("", include(apps.get_app_config("oscar").urls[0])),
]
