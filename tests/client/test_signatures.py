import json

import pytest

from kaspi_delivery_django.client import WebhookRejected, sign, verify, webhooks

# The hex was computed outside of Python, twice, with equal results:
#   { printf '1767225600.'; printf '%s' "$BODY"; } | openssl dgst -sha256 -hmac "$SECRET"
#   node -e 'crypto.createHmac("sha256", secret).update("1767225600.").update(body).digest("hex")'
# with OpenSSL 3.0.19 and Node 20.20.2. BODY_ONLY_HEX is the same without the timestamp and dot.
NOW = 1767225600
STAMP = "1767225600"
SECRET = "fixed-vector-secret-of-32-chars-or-more"
OTHER_SECRET = "another-secret-of-32-chars-or-more-2"
BODY = ('{"eventId":"wh_3e0a","type":"delivery.delivered","attempt":1,"data":{"note":"Жеткізілді"}}').encode()
HEX = "cceca676739b3b2468e9901fd24eefe230333015f95add3257e17cacc78c54bd"
OTHER_HEX = "1aef2add1a47d5fcc09fd65fbfd11b66506a6f617814c770e9cc5b760a2e71bf"
BODY_ONLY_HEX = "0d18c42509b5858306c1d5914516b7127fa869380c14b8743bf6b498eef8fb5f"
VECTORS = [
    (SECRET, BODY, HEX),
    (OTHER_SECRET, BODY, OTHER_HEX),
    (SECRET, b"", "ff990508021393edbc4ba31c4b4227746d5e6020ccfd3572d474fd20ab69faf4"),
    (
        "құпия-secret-of-32-chars-or-more!!",
        b'\x00\xff{"a"',
        "b09c306a6bb2056af92083a7c31d0c058c02c2fb765e00bf427e4ec08cc766d3",
    ),
]


def check(**changes):
    given = {"timestamp": STAMP, "signature": HEX, "secrets": [SECRET], "now": NOW}
    verify(changes.pop("body", BODY), **{**given, **changes})


def reason_of(**changes):
    with pytest.raises(WebhookRejected) as caught:
        check(**changes)
    return caught.value.reason


@pytest.mark.parametrize(("secret", "body", "signature"), VECTORS)
def test_signatures_agree_with_others(secret, body, signature):
    """Our signature is the one that OpenSSL and Node compute, and theirs is accepted, in hex digits of either case."""
    assert sign(secret, STAMP, body) == signature
    for hexdigits in (signature, signature.upper(), signature[:32].upper() + signature[32:]):
        check(body=body, signature=hexdigits, secrets=[secret])


TIMESTAMPS = "176722560 17672256000 +176722560 -176722560 1767_22560 176722560. 1.76722e+9 ١٧٦٧٢٢٥٦٠٠ 176722560²"
FULLWIDTH = "\N{FULLWIDTH DIGIT ONE}" * 10


@pytest.mark.parametrize("timestamp", [*TIMESTAMPS.split(), FULLWIDTH, "1767225600\n", "1767225600 ", " 1767225600"])
def test_form_of_the_timestamp(timestamp):
    """The timestamp is exactly ten ASCII digits."""
    assert reason_of(timestamp=timestamp) == "timestamp is not ten digits"


@pytest.mark.parametrize(
    "signature",
    [HEX[:-1], HEX + "0", HEX + "\n", HEX[:-1] + "g", HEX[:-1] + " ", HEX[:-1] + "٣", "sha256=" + HEX, f"{HEX},{HEX}"],
)
def test_form_of_the_signature(signature):
    """The signature is exactly 64 hex digits."""
    assert reason_of(signature=signature) == "signature is not 64 hex digits"


def test_headers_that_are_missing():
    """The reason names the header."""
    assert (reason_of(timestamp=""), reason_of(signature="")) == ("no timestamp", "no signature")


@pytest.mark.failure_mode("webhook: timestamp")
def test_the_window(monkeypatch):
    """300 whole seconds away from our clock, in either direction, are accepted; 301 are refused before any HMAC."""
    for now in (NOW - 300, NOW, NOW + 300, NOW + 300.9):
        check(now=now)
    monkeypatch.setattr(webhooks.hmac, "digest", None)
    for now in (NOW - 301, NOW + 301, 0, 9999999999):
        assert reason_of(now=now) == "timestamp is more than 300 s away from our clock"


@pytest.mark.parametrize(
    "changes",
    [
        {"body": BODY + b" "},
        {"body": json.dumps(json.loads(BODY)).encode()},
        {"body": b""},
        {"timestamp": "1767225601"},
        {"signature": "0" * 64},
        {"signature": HEX[:-1] + "e"},
        {"secrets": [OTHER_SECRET]},
        {"secrets": []},
    ],
)
@pytest.mark.failure_mode("webhook: signature")
def test_what_does_not_match(changes):
    """One byte of difference anywhere is refused, and the error quotes neither the secret nor what was sent."""
    with pytest.raises(WebhookRejected) as caught:
        check(**changes)
    assert caught.value.reason == "signature does not match"
    shown = f"{caught.value} {caught.value!r}"
    assert not any(part in shown for part in (SECRET, HEX, "0" * 64, "wh_3e0a"))


@pytest.mark.parametrize("secrets", [[SECRET], [OTHER_SECRET, SECRET]])
def test_signed_over_the_body_alone(secrets):
    """What one page of Kaspi's guide describes is refused, and the reason names it, whichever secret it was."""
    reason = reason_of(signature=BODY_ONLY_HEX, secrets=secrets)
    assert reason == "signed over the body alone, without the timestamp"


@pytest.mark.parametrize(("signature", "compared"), [(HEX, 5), ("0" * 64, 10)])
def test_no_early_exit(monkeypatch, signature, compared):
    """Every secret is compared in constant time, as 32 bytes, also when the first one matches already."""
    seen, compare = [], webhooks.hmac.compare_digest
    monkeypatch.setattr(webhooks.hmac, "compare_digest", lambda *pair: seen.append(pair) or compare(*pair))
    try:
        check(signature=signature, secrets=[SECRET, *["x" * 32] * 4])
    except WebhookRejected:
        assert signature != HEX
    assert len(seen) == compared
    assert {(type(digest), len(digest)) for pair in seen for digest in pair} == {(bytes, 32)}
