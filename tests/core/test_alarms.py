"""The alarm clock of the polls: a watch is looked at once when its time has come."""

from __future__ import annotations

from tests.fakes import made
from tests.fakes.made import INTERVAL, START

from rollbackd.core.soft import Soft, watch_key
from rollbackd.core.windows import Watch


def test_an_alarm_set_again_goes_off_once() -> None:
    """Each window sets it twice, when it is asked and when it is answered: nothing may pile up."""
    soft, trigger = Soft(), made.trigger()
    watch = Watch(watch_key(trigger), trigger, trigger.condition, START)
    soft.watches[watch.key] = watch
    for window in range(1, 5):
        soft.alarm(watch, START + window * INTERVAL)
        soft.alarm(watch, START + window * INTERVAL)
        assert soft.next_due() == START + window * INTERVAL
        assert list(soft.due(START + window * INTERVAL)) == [watch]


def test_an_earlier_alarm_goes_off_and_the_later_one_can_be_set_again() -> None:
    soft, trigger = Soft(), made.trigger()
    watch = Watch(watch_key(trigger), trigger, trigger.condition, START)
    soft.watches[watch.key] = watch
    soft.alarm(watch, START + INTERVAL)
    soft.alarm(watch, START + 250)
    assert list(soft.due(START + 250)) == [watch]
    soft.alarm(watch, START + INTERVAL)
    assert watch in list(soft.due(START + INTERVAL))
    assert soft.next_due() is None
