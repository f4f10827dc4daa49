"""The stage: a fresh database, the sandbox, the shop's web server and a worker."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from django.utils.translation import gettext

from example_project.demo.courier import DemoCourier
from example_project.demo.deadline import Deadline, DemoFailed
from example_project.demo.processes import Child, Processes, free_port, uninterrupted
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import SandboxServer

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
LOGIN, PASSWORD = "demo", "demo"
WEBHOOK_RETRY_S = 1.0
NOT_OURS = ("KASPI_DELIVERY_", "DJANGO_", "DATABASE_URL", "DEBUG", "ALLOWED_HOSTS", "SECRET_KEY")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Everything that runs. `shop_url` is the shop's address, without a last slash."""

    shop_url: str
    kaspi: FakeKaspi
    courier: DemoCourier
    processes: Processes
    deadline: Deadline


@contextmanager
def set_up(deadline: Deadline, pace_s: float) -> Iterator[Stage]:
    """Start everything, wait until it is ready, and take it all down in the end."""
    shop_url = f"http://127.0.0.1:{free_port()}"
    kaspi = FakeKaspi(webhook_url=f"{shop_url}/kaspi/webhook/", first_retry_s=WEBHOOK_RETRY_S, strict=True)
    courier = DemoCourier(kaspi, pace_s)
    with (
        TemporaryDirectory(prefix="kaspi-delivery-demo-") as folder,
        SandboxServer(kaspi, courier=courier) as sandbox,
        _processes(Path(folder), sandbox.url) as processes,
    ):
        _start(processes, shop_url, deadline)
        yield Stage(
            shop_url=shop_url,
            kaspi=kaspi,
            courier=courier,
            processes=processes,
            deadline=deadline,
        )


@contextmanager
def _processes(folder: Path, sandbox_url: str) -> Iterator[Processes]:
    processes = Processes(
        manage=MANAGE,
        environment=_environment(folder, sandbox_url),
        logs=folder,
    )
    try:
        yield processes
    except DemoFailed as err:
        raise DemoFailed(f"{err}\n{processes.tails()}") from err
    finally:
        with uninterrupted():
            processes.stop()


def _environment(folder: Path, sandbox_url: str) -> dict[str, str]:
    """Return an environment in which no database, key or address but the demo's can be meant."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
        "DATABASE_URL": f"sqlite:///{folder}/shop.sqlite3",
        "KASPI_DELIVERY_ENVIRONMENT": "local",
        "KASPI_DELIVERY_BASE_URL": sandbox_url,
        "DJANGO_SUPERUSER_USERNAME": LOGIN,
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "DJANGO_SUPERUSER_EMAIL": "demo@example.com",
        "PYTHONUNBUFFERED": "1",
    }


def _start(processes: Processes, shop_url: str, deadline: Deadline) -> None:
    processes.run("migrate", "--verbosity=0")
    processes.start("runserver", shop_url.removeprefix("http://"), "--noreload")
    worker = processes.start("kaspi_worker")
    processes.run("createsuperuser", "--noinput", "--verbosity=0")
    deadline.wait_for(gettext("the web server"), lambda: _answers(shop_url, processes))
    deadline.wait_for(gettext("the worker"), lambda: _is_ready(worker, processes))


def _answers(shop_url: str, processes: Processes) -> bool:
    processes.check()
    try:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(shop_url, timeout=2).ok
    except requests.RequestException:
        return False


def _is_ready(worker: Child, processes: Processes) -> bool:
    processes.check()
    return worker.has_printed("is ready")
