import argparse
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests
from django.core.management.base import CommandError

from kaspi_delivery_django.management.commands.kaspi_sandbox import Command
from kaspi_delivery_django.sandbox import cli, defaults
from tests.conftest import PATIENCE_S
from tests.sandbox.conftest import REQUEST

COMMAND = [sys.executable, "-u", "-m", "kaspi_delivery_django.sandbox", "--port", "0"]
NO_SHOP = "http://127.0.0.1:9/"


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


def create(url, api_key=defaults.API_KEY, key="order-742", **changes):
    headers = {"x-api-key": api_key, "Idempotency-Key": key}
    return requests.post(f"{url}/v1/deliveries", json={**REQUEST, **changes}, headers=headers, timeout=PATIENCE_S)


def stop(process, name=signal.SIGTERM):
    process.send_signal(name)
    return process.communicate(timeout=PATIENCE_S)[0]


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_run(start, name):
    """It prints its address, one line per request without personal data, and exits with 0 at a signal."""
    process, url = start("--webhook-url", "http://shop.test/hook", "--api-key", "my-local-key")
    lines = [process.stdout.readline().split()[-1] for _ in range(2)]
    assert (url.startswith("http://127.0.0.1:"), lines) == (True, ["my-local-key", "http://shop.test/hook"])
    assert create(url, "my-local-key").status_code == 201
    output = stop(process, name)
    assert process.returncode == 0
    assert "POST '/v1/deliveries' key='order-742' status=201\n" in output
    assert output.endswith("Kaspi sandbox stopped.\n")
    assert "Aigerim" not in output
    assert "Traceback" not in output


def test_quiet_and_strict(start):
    """With --quiet requests leave no line; with --strict a create needs an Idempotency-Key."""
    process, url = start("--webhook-url", "", "--quiet", "--strict")
    answer = create(url, key=None)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")
    assert "status=400" not in stop(process)


def test_it_records_and_replays(start, tmp_path):
    """`--record` writes the file at the end, `--replay` answers from it and shows what differs."""
    file = tmp_path / "story.json"
    process, url = start("--record", str(file), "--pace", "0", "--webhook-url", NO_SHOP)
    booked = create(url).json()
    assert any("delivery.delivered attempt=1 status=no response" in line for line in process.stdout)
    assert f"6 entries written to {file}." in stop(process)

    process, url = start("--replay", str(file), "--webhook-url", NO_SHOP, "--quiet")
    assert create(url, externalOrderId="order-743").status_code == 400
    assert create(url).json()["deliveryId"] == booked["deliveryId"]
    deadline = time.monotonic() + PATIENCE_S
    while '"delivered"' not in requests.get(f"{url}/_sandbox/deliveries", timeout=PATIENCE_S).text:
        assert time.monotonic() < deadline
    assert '-    "externalOrderId": "order-742",\n+    "externalOrderId": "order-743",' in stop(process)


def test_a_port_in_use_is_explained(capsys):
    """One line names what to change, and the exit code is 1; the management command raises a CommandError."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = ["--port", str(taken.getsockname()[1])]
        with pytest.raises(SystemExit, match="1"):
            cli.main(options)
        assert capsys.readouterr().err.startswith("The sandbox cannot start: ")
        parser = Command().create_parser("manage.py", "kaspi_sandbox")
        with pytest.raises(CommandError, match=r"Try another --port\."):
            Command().handle(**vars(parser.parse_args(options)))


@pytest.mark.parametrize("options", [("--replay", "nowhere.json"), ("--record", "nowhere/story.json")])
def test_a_missing_cassette_is_explained(capsys, options):
    """One line names the file, before anything is served."""
    with pytest.raises(SystemExit, match="1"):
        cli.main(options)
    error = capsys.readouterr().err
    assert error.startswith(f"The cassette {options[1]} cannot be ")
    assert error.count("\n") == 1


def test_the_management_command_has_the_same_options():
    """manage.py kaspi_sandbox understands every option of the module, with its defaults."""
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    expected = vars(parser.parse_args([]))
    options = vars(Command().create_parser("manage.py", "kaspi_sandbox").parse_args([]))
    assert expected.items() <= options.items()
