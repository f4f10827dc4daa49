"""Signatures that other programs make: what Node and openssl sign is what the sandbox signs and the client verifies."""

import shutil
import subprocess

import pytest

from kaspi_delivery_django.client import WebhookRejected, verify
from kaspi_delivery_django.sandbox.webhooks import sign

SECRET = "the-webhook-secret-that-kaspi-issued"
TIMESTAMP = "1772366400"
BODIES = [b'{"eventId": "wh_3e0a", "attempt": 2}', '{"eventId":"wh_1","notes":"Алматы"}'.encode(), b"{}\n", b""]
NODE = """
const [timestamp, secret] = process.argv.slice(1);
const body = require("fs").readFileSync(0);
const signed = require("crypto").createHmac("sha256", secret).update(timestamp + ".").update(body);
process.stdout.write(signed.digest("hex"));
"""


def by_node(body):
    """Sign as the webhook guide's sample for Node does."""
    return run(["node", "-e", NODE, TIMESTAMP, SECRET], body)


def by_openssl(body):
    """Sign in a shell."""
    return run(["openssl", "dgst", "-sha256", "-hmac", SECRET], f"{TIMESTAMP}.".encode() + body).split()[-1]


def run(command, given):
    """Run a program that reads stdin; skip the test where it is not installed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout.decode()


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("signer", [by_node, by_openssl])
def test_a_signature_of_another_program(signer, body):
    """It is the sandbox's, and the client's check accepts it for this body and this time alone."""
    signature = signer(body)
    assert signature == sign(SECRET, TIMESTAMP, body)
    verify(body, timestamp=TIMESTAMP, signature=signature, secrets=[SECRET], now=int(TIMESTAMP))
    for other, stamp in ((body + b" ", TIMESTAMP), (body, str(int(TIMESTAMP) + 1))):
        with pytest.raises(WebhookRejected):
            verify(other, timestamp=stamp, signature=signature, secrets=[SECRET], now=int(TIMESTAMP))
