"""Learning rate, warm-up and epochs against the formulas of their papers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from launch.plan import options
from workloads import climate, mnist
from workloads.api import Training
from workloads.training import scaling_rules
from workloads.training.scaling_rules import ScaledRate
from workloads.training.sharding import Sharding


def test_factors():
    # Goyal et al. 2017, table 1 and section 5.1: 0.1 at 256 images becomes 3.2 at 8,192, on 32 times as many GPUs.
    assert 0.1 * scaling_rules.LEARNING_RATE_FACTORS["linear"](32) == pytest.approx(3.2)
    assert scaling_rules.LEARNING_RATE_FACTORS["sqrt"](16) == 4
    assert scaling_rules.LEARNING_RATE_FACTORS["none"](16) == 1


@given(st.integers(1, 30_000), st.floats(0.01, 1000))
def test_epochs(size: int, epochs: float):
    divided = scaling_rules.EPOCHS["divide"](epochs, size)
    assert divided == int(divided) >= 1
    assert (divided - 1) * size <= epochs * (1 + 1e-12)
    assert scaling_rules.EPOCHS["none"](epochs, size) == epochs
    # Steps held: size times the epochs, each of 1/size of the steps.
    assert scaling_rules.EPOCHS["steps"](epochs, size) / size == pytest.approx(epochs)


def test_a_run_has_at_least_one_step():
    assert scaling_rules.total_steps(0.01, 10) == 1
    assert scaling_rules.total_steps(2.5, 10) == 25


@settings(deadline=None)
@given(
    rate=st.floats(1e-5, 1),
    factor=st.sampled_from([1.0, 4.0, 64.0]),
    warmup=st.integers(0, 50),
    rest=st.integers(1, 50),
    decay=st.sampled_from(["constant", "cosine"]),
)
def test_schedule(rate: float, factor: float, warmup: int, rest: int, decay: str):
    plan = ScaledRate(rate, rate * factor, "", warmup / (warmup + rest), decay)
    schedule = plan.schedule(warmup + rest)
    for step in {0, warmup // 2, warmup, warmup + rest // 2, warmup + rest}:
        if step < warmup:  # Goyal et al. 2017, section 2.2: a constant amount is added each step
            expected = rate + (rate * factor - rate) * step / warmup
        elif decay == "cosine":  # Loshchilov and Hutter 2017 (arXiv:1608.03983), equation 5, down to 0 once
            expected = rate * factor * (1 + math.cos(math.pi * (step - warmup) / rest)) / 2
        else:
            expected = rate * factor
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-4, abs=1e-6 * rate * factor)


@settings(deadline=None, max_examples=15)
@given(
    epoch_scaling=st.sampled_from(["none", "divide", "steps"]),
    lr_scaling=st.sampled_from(["linear", "sqrt", "none"]),
    warm=st.sampled_from([(0.0, None), (0.1, None), (0.2, 0.0), (0.1, 0.3)]),
    decay=st.sampled_from(["constant", "cosine"]),
    base=st.sampled_from([1, 2, 3]),
)
def test_strong_scaling_holds_all_that_is_learned_from(
    epoch_scaling: str, lr_scaling: str, warm: tuple, decay: str, base: int
):
    config = Training(
        batch=24, lr=0.05, epochs=3.5, epoch_scaling=epoch_scaling, lr_scaling=lr_scaling, warmup=warm[0],
        warm_from=warm[1], decay=decay,
    )  # fmt: skip
    seen = set()
    for size in (base, 2 * base, 4 * base):
        held = config if size == base else config.strong(base, size)
        held = options.parse(Training, options.arguments(held))  # as the ranks get it
        steps = scaling_rules.total_steps(held.scaled_epochs(size), Sharding(1000, held.batch, size, 0).steps_per_epoch)
        schedule = held.learning_rate_plan(size).schedule(steps)
        rates = tuple(float(schedule(step)) for step in range(0, steps + 1, max(1, steps // 12)))
        lines = held.describe(size)
        seen.add((held.batch * size, steps, rates, lines["epochs"].split()[0], lines["learning rate"].split()[0]))
    assert len(seen) == 1


def test_the_plan_says_what_is_scaled():
    config = Training(batch=32, lr=0.1, epochs=12, epoch_scaling="divide", lr_scaling="linear", warmup=0.05)
    described = config.describe(8)
    assert described.pop("engine")  # which depends on what is installed
    assert described == {
        "global batch": "256 examples = 8 x 32",
        "learning rate": "0.8 (linear: 0.1 x 8), warmed up from 0.1 over 5% of the steps, then half a cosine to 0",
        "epochs": "2 = ceil(12 / 8)",
    }
    config = Training(lr=0.1, epochs=2.5, epoch_scaling="steps", lr_scaling="sqrt", decay="constant", warmup=0)
    assert config.describe(4)["learning rate"] == "0.2 (sqrt: 0.1 x sqrt(4)), then constant"
    assert config.describe(4)["epochs"] == "10 = 2.5 x 4"
    config = Training(lr_scaling="none")
    assert config.describe(4)["learning rate"] == "0.001 (none: not scaled), then half a cosine to 0"


def test_an_option_with_a_new_name_is_refused_with_it():
    for config in (Training, mnist.Config, climate.Config):
        with pytest.raises(Refusal, match="the option --scaling of X is now --lr-scaling: use that"):
            options.parse(config, ["--scaling=sqrt"], "X")


@pytest.mark.parametrize(
    ("word", "possible"),
    [
        ("--batch=0", "1 or more"),
        ("--keep=0", "1 or more"),
        ("--accumulate=0", "1 or more"),
        ("--checkpoint-every=-1", "0 or more"),
        ("--evaluate-every=nan", "0 or more"),
        ("--epochs=0", "above 0"),
        ("--epochs=nan", "above 0"),
        ("--lr=inf", "above 0"),
        ("--warmup=1", "0 or more and below 1"),
    ],
)
def test_options_that_cannot_be_trained_with(word: str, possible: str):
    option, _, value = word.partition("=")
    with pytest.raises(Refusal, match=f"option {option}: '{value}' is not .* {possible}"):
        options.parse(Training, [word])


def test_a_warm_up_needs_steps():
    with pytest.raises(Refusal, match="--warm-from 0.1 with --warmup 0: give --warmup above 0, or leave it out"):
        options.parse(Training, ["--warm-from=0.1", "--warmup=0"])
