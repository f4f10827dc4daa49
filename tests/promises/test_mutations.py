"""The machine has mutations: a package that is broken on purpose does not get past it.

Three mutations matter most, because each breaks what the package is for:

- `replay_for_ten_days`: the replay window of 23 h is gone (promise 3, and with it 1);
- `make_a_new_key_for_each_attempt`: a retry books a second parcel (promise 1);
- `let_late_news_count`: late webhooks move a status backwards (promise 8).

Of the others, four break what a shop relies on: which order an order is (13), that its latest word counts and that
a no only has it wait (14), and that the adapter is asked in one language (15). The rest break the promises about bytes,
people, events and logs.
"""

import traceback

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.promises import mutations, promises, scenario
from tests.promises.machine import Machine

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # the machine itself runs on every engine; that it finds what is broken needs to be shown once
    pytest.mark.skipif(connection.vendor != "sqlite", reason="shown on SQLite"),
]

ASKS_FOR_A_PERSON = {
    promises.one_live_parcel,
    promises.a_link_stays,
    promises.nothing_is_lost,
    scenario.everything_has_ended,
}
HUNT = settings(
    max_examples=300,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@pytest.mark.parametrize(
    ("mutation", "broken"),
    [
        (mutations.replay_for_ten_days, {promises.one_live_parcel, promises.old_keys_are_left_alone}),
        (mutations.make_a_new_key_for_each_attempt, {promises.one_live_parcel, promises.one_order_is_one_order}),
        (mutations.let_late_news_count, {promises.status_goes_forward}),
        (mutations.build_the_payload_anew, {promises.keys_carry_their_bytes}),
        (mutations.tell_nobody, ASKS_FOR_A_PERSON),
        (mutations.forget_what_failed, {promises.what_is_accepted_is_kept}),
        (mutations.quote_the_error, {promises.the_log_is_silent_about_people}),
        (mutations.know_an_order_by_its_instance, {promises.one_order_is_one_order}),
        (mutations.send_without_asking, {promises.the_latest_word_counts}),
        (mutations.give_up_at_a_no, {promises.a_no_cancels_nothing}),
        (mutations.ask_in_any_language, {promises.one_surrounding}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_machine_finds(monkeypatch, mutation, broken):
    """A broken package breaks its promise within a bounded number of runs."""
    mutation(monkeypatch)
    with pytest.raises(AssertionError) as found:
        run_state_machine_as_test(Machine, settings=HUNT)
    places = {frame.name for frame in traceback.extract_tb(found.value.__traceback__)}
    assert places & {promise.__name__ for promise in broken}, found.value
