from __future__ import annotations

import re

import pytest
import torch

from trainables.device import Compute

CPU = torch.device("cpu")


def test_without_a_gpu_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    compute = Compute.available(threads=1, gpu=True, deterministic=True)
    assert compute.device == CPU
    assert re.fullmatch(r"cpu [A-Z0-9]+ \S.*", compute.name)
    assert compute.build == f"torch {torch.__version__}"


def test_a_gpu_is_used_only_where_the_trial_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for gpu, device in ((True, "cuda"), (False, "cpu")):
        assert Compute.available(threads=1, gpu=gpu, deterministic=False).device.type == device


def test_same_seed_same_numbers_whatever_came_before() -> None:
    compute = Compute(CPU, threads=1, deterministic=True)
    with compute.seeded(3):
        first = torch.rand(4)
    torch.rand(17)
    with compute.seeded(3):
        assert torch.equal(torch.rand(4), first)
    with compute.seeded(4):
        assert not torch.equal(torch.rand(4), first)


@pytest.mark.parametrize("deterministic", [True, False])
def test_settings_act_inside_and_are_put_back(deterministic: bool) -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)[1]
    torch.manual_seed(0)
    torch.rand(1)
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    with Compute(CPU, threads=1, deterministic=deterministic).seeded(5):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.backends.cudnn.benchmark is not deterministic
    after = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    assert after == before
    assert torch.rand(1) == expected


def test_settings_are_put_back_after_an_error() -> None:
    compute = Compute(CPU, threads=1, deterministic=True)
    with pytest.raises(ZeroDivisionError), compute.seeded(0):
        raise ZeroDivisionError
    assert not torch.are_deterministic_algorithms_enabled()
