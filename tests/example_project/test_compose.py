"""compose.yaml without Docker: the files of the image, the command and the environment of each service, as processes.

Names of other services and their ports become addresses of this machine; nothing else is changed.
"""

import os
import re
import shutil
import sys
from contextlib import ExitStack
from itertools import chain
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from example_project.demo.browser import Browser
from tests.docs.pages import ROOT
from tests.http_server import free_port
from tests.newcomer import PATIENCE_S, read_until, started

FOLDER = ROOT / "example_project"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "kaspi-delivery-example"}
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
CUSTOMER = {"customer_name": "Dana Omarova", "phone": "+7 701 234 5678", "address": "Abay Avenue 52", "quantity": "2"}
ASK = "from kaspi_delivery_django.models import Delivery; print('status:', Delivery.objects.get().status)"


@pytest.fixture
def image(tmp_path):
    """Copy what the Dockerfile copies, and nothing else."""
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, tmp_path / target)
    return tmp_path


@pytest.fixture
def database(image):
    """The URL of an empty database: on the PostgreSQL server of the tests if they have one, else in a file."""
    url = urlsplit(os.environ.get("POSTGRESQL_URL", ""))
    if os.environ.get("DATABASE") != "postgresql" or not url.hostname:
        yield f"sqlite:///{image}/shop.sqlite3"
        return
    import psycopg  # noqa: PLC0415 - only where it is used

    name = f"compose_{os.getpid()}"
    with psycopg.connect(url.geturl(), dbname="postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        yield url._replace(scheme="postgres", path=f"/{name}").geturl()
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def place(database):
    """Return a function that puts the addresses of this machine into a text of compose.yaml."""
    ports = {port: str(free_port()) for port in ("8000", "8900")}

    def replace(text):
        text = re.sub(r"postgres://\S+@database:5432/shop", database, str(text))
        text = re.sub(r"\b(?:shop|sandbox|0\.0\.0\.0):(8000|8900)", lambda found: f"127.0.0.1:{ports[found[1]]}", text)
        return text.replace("--port=8900", f"--port={ports['8900']}").replace("--pace=5", "--pace=0.2")

    return replace


@pytest.fixture
def start(image, place):
    """Start a service as compose.yaml has it; all of them end with the test."""
    with ExitStack() as until_ended:

        def run(name, *command):
            service = OURS[name]
            words = [place(word) for word in command or service["command"]]
            own = {key: place(value) for key, value in service["environment"].items()}
            kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
            environment = {**kept, **own, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
            assert words[0] == "python"
            return until_ended.enter_context(started([sys.executable, *words[1:]], cwd=image, env=environment))

        yield run


def test_an_order_of_the_shop_is_delivered(start, place):
    """Each service is started in the order that it depends on the others; then a customer orders."""
    migrate = start("migrate")
    output, _ = migrate.communicate()
    assert migrate.returncode == 0, output
    sandbox, shop, worker = (start(name) for name in ("sandbox", "shop", "worker"))
    read_until(shop.stdout, "Quit the server")
    read_until(worker.stdout, "kaspi_worker is ready")
    customer = Browser(place("http://shop:8000/"))
    page = customer.get("products/1/")
    customer.submit(page, page.form_with("customer_name"), CUSTOMER)
    read_until(sandbox.stdout, r"delivery\.delivered attempt=1 status=200")
    for url in ("http://shop:8000/", "http://sandbox:8900/_sandbox/deliveries"):  # they call each other by these names
        assert requests.get(place(url), headers={"Host": urlsplit(url).netloc}, timeout=PATIENCE_S).ok
    asked = start("shop", "python", "manage.py", "shell", "--no-imports", "-c", ASK)
    assert asked.communicate()[0].endswith("status: delivered\n")


def test_the_file_agrees_with_itself():
    """The database is the one of the URL; only this machine reaches the shop; what is named is there."""
    for name, wait in [wait for service in SERVICES.values() for wait in service.get("depends_on", {}).items()]:
        assert "healthcheck" in SERVICES[name] or wait["condition"] != "service_healthy"
    given = SERVICES["database"]["environment"]
    for service in OURS.values():
        url = urlsplit(service["environment"]["DATABASE_URL"])
        assert (url.hostname, url.path) == ("database", f"/{given['POSTGRES_DB']}")
        assert (url.username, url.password) == (given["POSTGRES_USER"], given["POSTGRES_PASSWORD"])
        context = (FOLDER / service["build"]["context"]).resolve()
        assert (context, (context / service["build"]["dockerfile"]).is_file()) == (ROOT, True)
    ports = list(chain.from_iterable(service.get("ports", []) for service in SERVICES.values()))
    assert ports == ["127.0.0.1:8900:8900", "127.0.0.1:8000:8000"]
    known = {"image", "build", "init", "environment", "command", "depends_on", "ports", "volumes", "healthcheck"}
    known |= {"restart", "stop_grace_period"}
    assert [key for service in SERVICES.values() for key in service if key not in known] == []
    named = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert named == set(COMPOSE["volumes"])


def test_the_image_is_built_of_what_is_there():
    """One instruction a line, a supported Python, an extra that the package has, and no root at the end."""
    lines = [line.partition(" ") for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    assert {name for name, _space, _rest in lines} == {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER"}
    assert lines[0][2] == "python:3.13-slim"
    assert "RUN pip install --no-cache-dir -e '.[postgresql]'" in DOCKERFILE.splitlines()
    assert (lines[-1][0], lines[-1][2]) == ("USER", "shop")
