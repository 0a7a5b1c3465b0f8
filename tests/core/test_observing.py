"""Who hears of a run's end."""

from __future__ import annotations

import pytest

from autoshrink_ray.errors import RunError, TakenOverError
from autoshrink_ray.observing import RunObserver, ending


class Listener(RunObserver):
    def __init__(self, error: Exception | None = None) -> None:
        self.heard = False
        self._error = error

    def on_end(self) -> None:
        self.heard = True
        if self._error is not None:
            raise self._error


def test_observers_hear_of_a_good_end() -> None:
    listener = Listener()
    with ending([listener]):
        assert not listener.heard
    assert listener.heard


@pytest.mark.parametrize("error", [RunError, KeyboardInterrupt])
def test_observers_hear_of_a_bad_end(error: type[BaseException]) -> None:
    listener = Listener()
    with pytest.raises(error), ending([listener]):
        raise error
    assert listener.heard


def test_an_observer_that_raises_keeps_the_end_from_nobody_and_hides_no_error() -> None:
    listeners = [Listener(ValueError("first")), Listener(ValueError("second")), Listener()]
    lost = RunError("no more retries")
    with pytest.raises(ValueError, match="second") as caught, ending(listeners):
        raise lost
    assert all(listener.heard for listener in listeners)
    assert caught.value.__context__ is not None
    assert caught.value.__context__.__context__ is lost


def test_nobody_hears_of_the_end_of_a_run_that_is_another_driver_s() -> None:
    listener = Listener()
    with pytest.raises(TakenOverError), ending([listener]):
        raise TakenOverError
    assert not listener.heard
