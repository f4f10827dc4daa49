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
    pytest.param(SECRET, BODY, HEX, id="utf-8 body"),
    pytest.param(OTHER_SECRET, BODY, OTHER_HEX, id="another secret"),
    pytest.param(
        SECRET,
        b"",
        "ff990508021393edbc4ba31c4b4227746d5e6020ccfd3572d474fd20ab69faf4",
        id="empty body",
    ),
    pytest.param(
        "құпия-secret-of-32-chars-or-more!!",
        b'\x00\xff{"a"',
        "b09c306a6bb2056af92083a7c31d0c058c02c2fb765e00bf427e4ec08cc766d3",
        id="bytes that are no text, secret that is not ASCII",
    ),
]


def check(**changes):
    given = {"timestamp": STAMP, "signature": HEX, "secrets": [SECRET], "now": NOW}
    verify(changes.pop("body", BODY), **{**given, **changes})


def reason_of(**changes):
    with pytest.raises(WebhookRejected) as caught:
        check(**changes)
    return caught.value.reason


@pytest.mark.parametrize(("secret", "body", "expected"), VECTORS)
def test_sign_agrees_with_others(secret, body, expected):
    """Our signature is the one that OpenSSL and Node compute."""
    assert sign(secret, STAMP, body) == expected


@pytest.mark.parametrize(("secret", "body", "signature"), VECTORS)
def test_verify_agrees_with_others(secret, body, signature):
    """A signature that OpenSSL and Node compute is accepted."""
    check(body=body, signature=signature, secrets=[secret])


@pytest.mark.parametrize("signature", [HEX.upper(), HEX[:32].upper() + HEX[32:]])
def test_upper_case_hex(signature):
    """Hex digits of either case are the same bytes."""
    check(signature=signature)


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [
        pytest.param("", "no timestamp", id="absent"),
        pytest.param("176722560", "timestamp is not ten digits", id="9 digits"),
        pytest.param("17672256000", "timestamp is not ten digits", id="11 digits"),
        pytest.param("1767225600\n", "timestamp is not ten digits", id="newline at the end"),
        pytest.param("1767225600 ", "timestamp is not ten digits", id="space at the end"),
        pytest.param(" 1767225600", "timestamp is not ten digits", id="space in front"),
        pytest.param("+176722560", "timestamp is not ten digits", id="plus"),
        pytest.param("-176722560", "timestamp is not ten digits", id="minus"),
        pytest.param("1767_22560", "timestamp is not ten digits", id="underscore"),
        pytest.param("176722560.", "timestamp is not ten digits", id="dot"),
        pytest.param("1.76722e+9", "timestamp is not ten digits", id="float"),
        pytest.param("0x69553EC0", "timestamp is not ten digits", id="hex"),
        pytest.param("١٧٦٧٢٢٥٦٠٠", "timestamp is not ten digits", id="Arabic digits"),
        pytest.param("\N{FULLWIDTH DIGIT ONE}" * 10, "timestamp is not ten digits", id="full-width digits"),
        pytest.param("176722560²", "timestamp is not ten digits", id="superscript"),
    ],
)
def test_form_of_the_timestamp(timestamp, reason):
    """The timestamp is exactly ten ASCII digits."""
    assert reason_of(timestamp=timestamp) == reason


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        pytest.param("", "no signature", id="absent"),
        pytest.param(HEX[:-1], "signature is not 64 hex digits", id="63 digits"),
        pytest.param(HEX + "0", "signature is not 64 hex digits", id="65 digits"),
        pytest.param(HEX + "\n", "signature is not 64 hex digits", id="newline at the end"),
        pytest.param(HEX[:-1] + "g", "signature is not 64 hex digits", id="not hex"),
        pytest.param(HEX[:-1] + " ", "signature is not 64 hex digits", id="space"),
        pytest.param(HEX[:-1] + "٣", "signature is not 64 hex digits", id="Arabic digit"),
        pytest.param("sha256=" + HEX, "signature is not 64 hex digits", id="prefix"),
        pytest.param(f"{HEX},{HEX}", "signature is not 64 hex digits", id="two of them"),
    ],
)
def test_form_of_the_signature(signature, reason):
    """The signature is exactly 64 hex digits."""
    assert reason_of(signature=signature) == reason


@pytest.mark.parametrize("now", [NOW - 300, NOW, NOW + 300, NOW + 300.9])
def test_within_the_window(now):
    """300 whole seconds away from our clock, in either direction, is still accepted."""
    check(now=now)


@pytest.mark.parametrize("now", [NOW - 301, NOW + 301, 0, 9999999999])
def test_outside_the_window(now):
    """301 seconds away, in either direction, is refused."""
    assert reason_of(now=now) == "timestamp is more than 300 s away from our clock"


def test_the_window_is_checked_before_the_signature(monkeypatch):
    """A replayed webhook costs no HMAC."""
    monkeypatch.setattr(webhooks.hmac, "digest", None)
    assert "300 s" in reason_of(now=NOW + 301)


@pytest.mark.parametrize("place", range(5))
def test_any_of_five_secrets(place):
    """A signature made with any of the configured secrets is accepted."""
    secrets = [f"some-other-secret-of-32-characters-{n}" for n in range(4)]
    secrets.insert(place, SECRET)
    check(secrets=secrets)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"body": BODY + b" "}, id="a byte more"),
        pytest.param({"body": json.dumps(json.loads(BODY)).encode()}, id="the same JSON, re-dumped"),
        pytest.param({"body": b""}, id="no body"),
        pytest.param({"timestamp": "1767225601"}, id="another timestamp"),
        pytest.param({"signature": "0" * 64}, id="another signature"),
        pytest.param({"secrets": [OTHER_SECRET]}, id="another secret"),
        pytest.param({"secrets": []}, id="no secret"),
    ],
)
def test_what_does_not_match(changes):
    """One byte of difference anywhere is refused."""
    assert reason_of(**changes) == "signature does not match"


def test_signed_over_the_body_alone():
    """What one page of Kaspi's guide describes is refused, and the reason says what it is."""
    reason = reason_of(signature=BODY_ONLY_HEX)
    assert reason == "signed over the body alone, without the timestamp"


def test_body_alone_with_the_second_secret():
    """The reason is right whichever secret made the signature."""
    assert "body alone" in reason_of(signature=BODY_ONLY_HEX, secrets=[OTHER_SECRET, SECRET])


@pytest.mark.parametrize(("signature", "compared"), [(HEX, 5), ("0" * 64, 10)])
def test_no_early_exit(monkeypatch, signature, compared):
    """Every secret is compared, also when the first one matches already."""
    seen, compare = [], webhooks.hmac.compare_digest
    monkeypatch.setattr(webhooks.hmac, "compare_digest", lambda *pair: seen.append(pair) or compare(*pair))
    try:
        check(signature=signature, secrets=[SECRET, *["x" * 32] * 4])
    except WebhookRejected:
        assert signature != HEX
    assert len(seen) == compared


def test_compared_as_bytes(monkeypatch):
    """The constant-time comparison sees two digests of 32 bytes, never text."""
    seen, compare = [], webhooks.hmac.compare_digest
    monkeypatch.setattr(webhooks.hmac, "compare_digest", lambda *pair: seen.extend(pair) or compare(*pair))
    check()
    assert [(type(digest), len(digest)) for digest in seen] == [(bytes, 32)] * 2


def test_a_rejection_does_not_quote_the_headers():
    """Neither the secret, the signature nor the body is in the error's text."""
    with pytest.raises(WebhookRejected) as caught:
        check(signature="0" * 64)
    shown = str(caught.value) + repr(caught.value)
    assert not any(part in shown for part in (SECRET, "0" * 64, "wh_3e0a"))
