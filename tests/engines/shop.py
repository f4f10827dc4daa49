"""The shop's Celery app, as Celery's own guide writes it for Django."""

from celery import Celery

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
