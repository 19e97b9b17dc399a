"""The front is what its definition says, and what Optuna calls the best trials."""

import numpy as np
import optuna
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.stats import pareto


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_is_what_no_other_point_beats(points):
    """Small integers: ties, and equal points, come up often."""
    expected = [
        not any(x <= cost and y >= value and (x, y) != (cost, value) for x, y in points) for cost, value in points
    ]
    cost, value = np.reshape(points, (-1, 2)).T
    assert pareto.front(cost, value).tolist() == expected


def test_what_was_not_measured_is_not_at_the_front():
    assert pareto.front([1, np.nan, 0], [1, 2, np.nan]).tolist() == [True, False, False]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=10))
def test_the_front_is_optuna_s_best_trials(points):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.add_trials([optuna.trial.create_trial(values=point) for point in points])
    best = {trial.number for trial in study.best_trials}
    cost, value = np.transpose(points)
    assert set(np.flatnonzero(pareto.front(cost, value)).tolist()) == best
