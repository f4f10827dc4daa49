"""What templates say of deliveries."""

from django import template

from kaspi_delivery_django.wording import status_label

register = template.Library()
register.filter("kaspi_status", status_label)
