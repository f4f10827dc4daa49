import argparse
import json
import signal
import socket
import subprocess
import sys

import pytest
import requests
from django.core.management.base import CommandError

from kaspi_delivery_django.management.commands.kaspi_sandbox import Command
from kaspi_delivery_django.sandbox import cli, defaults
from tests.conftest import PATIENCE_S
from tests.sandbox.conftest import REQUEST

COMMAND = [sys.executable, "-u", "-m", "kaspi_delivery_django.sandbox", "--port", "0"]


@pytest.fixture
def start():
    """Start the sandbox with options; returns the process and its base URL."""
    started = []

    def run(*options):
        process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process, process.stdout.readline().split()[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def create(url):
    headers = {"x-api-key": defaults.API_KEY, "Idempotency-Key": "order-742"}
    return requests.post(f"{url}/v1/deliveries", json=REQUEST, headers=headers, timeout=PATIENCE_S)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(start, name):
    """SIGTERM and Ctrl-C exit with 0 and no traceback."""
    process, _ = start("--webhook-url", "")
    process.stdout.readline()
    process.stdout.readline()
    process.send_signal(name)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output) == (0, "Kaspi sandbox stopped.\n")


def test_it_says_how_to_reach_it(start):
    """The first lines are the URL, the key and where webhooks go."""
    process, url = start("--webhook-url", "http://shop.test/hook", "--api-key", "my-local-key")
    lines = [process.stdout.readline().split()[-1] for _ in range(2)]
    assert url.startswith("http://127.0.0.1:")
    assert lines == ["my-local-key", "http://shop.test/hook"]


def test_a_line_per_request(start):
    """A booking is one line with its key and status, and without the people."""
    process, url = start("--webhook-url", "")
    assert create(url).status_code == 201
    process.terminate()
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert "POST '/v1/deliveries' key='order-742' status=201\n" in output
    assert "Aigerim" not in output


def test_quiet(start):
    """With --quiet requests leave no line."""
    process, url = start("--webhook-url", "", "--quiet")
    create(url)
    process.terminate()
    assert "status=201" not in process.communicate(timeout=PATIENCE_S)[0]


def test_strict(start):
    """With --strict a create needs an Idempotency-Key, without it Kaspi's word is enough."""
    headers = {"x-api-key": defaults.API_KEY}
    answers = []
    for options in ([], ["--strict"]):
        _, url = start("--webhook-url", "", *options)
        answers.append(requests.post(f"{url}/v1/deliveries", json=REQUEST, headers=headers, timeout=PATIENCE_S))
    assert [answer.status_code for answer in answers] == [201, 400]
    assert answers[1].json()["code"] == "idempotency_key_required"


def test_the_pace_moves_deliveries(start):
    """The courier works at --pace, and each webhook attempt is a line."""
    process, url = start("--pace", "0", "--webhook-url", "http://127.0.0.1:9/")
    delivery_id = create(url).json()["deliveryId"]
    lines = iter(process.stdout.readline, "")
    assert any("delivery.delivered attempt=1 status=no response" in line for line in lines)
    listed = requests.get(f"{url}/_sandbox/deliveries", timeout=PATIENCE_S).json()["deliveries"]
    assert json.dumps(listed).count(delivery_id) == 1
    assert listed[0]["status"] == "delivered"


def test_a_taken_port_is_explained(start):
    """A port in use is one line that says what to change, and exit code 1."""
    _, url = start()
    port = url.rpartition(":")[2]
    second = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert second.stderr.startswith("The sandbox cannot start: ")
    assert second.stderr.endswith("Try another --port.\n")


def test_the_management_command_has_the_same_options():
    """manage.py kaspi_sandbox understands every option of the module, with its defaults."""
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    expected = vars(parser.parse_args([]))
    options = vars(Command().create_parser("manage.py", "kaspi_sandbox").parse_args([]))
    assert expected.items() <= options.items()


def test_the_management_command_explains_a_taken_port():
    """manage.py kaspi_sandbox turns a port in use into a CommandError."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        parser = Command().create_parser("manage.py", "kaspi_sandbox")
        options = parser.parse_args(["--port", str(taken.getsockname()[1])])
        with pytest.raises(CommandError, match=r"Try another --port\."):
            Command().handle(**vars(options))
