"""Django's tasks as the runner: `django.tasks` of Django 6, or its backport `django-tasks` on Django 5.2.

Needs RUNNER = "django_tasks", a backend of yours in TASKS, and on Django 5.2 the extra `django-tasks`. Tasks have
no scheduler: keep `kaspi_worker` beside them, or `kaspi_worker --once` in cron. See docs/running.md.
"""

from kaspi_delivery_django.services.outbox.worker import Worker

try:
    from django.tasks import task, task_backends
except ImportError:  # Django 5.2
    from django_tasks import task, task_backends  # type: ignore[no-redef,assignment]  # the same two

__all__ = ["enqueue", "send_call"]

OWN_BACKEND = "kaspi_delivery"


@task
def send_call(call_pk: int) -> None:
    """Try one call once, if it is due. It may run twice: the second time it finds nothing to do."""
    Worker().send(call_pk)


def enqueue(call_pk: int) -> None:
    """Enqueue a call in the backend `kaspi_delivery` of TASKS if there is one, else in the default one."""
    (send_call.using(backend=OWN_BACKEND) if OWN_BACKEND in task_backends.settings else send_call).enqueue(call_pk)
