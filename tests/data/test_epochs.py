"""Epochs: every share in every batch, and every image that must be seen."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from landslide_rcnn.data.epochs import BACKGROUND, COVERED, plan_epoch

POOLS = {COVERED: np.arange(10), BACKGROUND: np.arange(10, 40), "splice": np.arange(10)}


def test_without_shares_an_epoch_is_the_images():
    plan = plan_epoch({COVERED: np.arange(5)}, {}, 2)
    assert plan.order(None, 0).tolist() == plan.order(None, 3).tolist() == [0, 1, 2, 3, 4, 0]
    shuffled = plan.order(np.random.default_rng(0), 0)
    assert sorted(shuffled[:5]) == [0, 1, 2, 3, 4] and shuffled[5] == shuffled[0]


@given(
    st.integers(1, 30),
    st.integers(1, 9),
    st.floats(0, 0.5),
    st.floats(0, 0.4),
)
def test_every_batch_has_its_shares(covered, batch_size, background, spliced):
    shares = {BACKGROUND: background, "splice": spliced}
    pools = {**POOLS, COVERED: np.arange(covered)}
    plan = plan_epoch(pools, shares, batch_size)
    batches = plan.kinds.reshape(-1, batch_size)
    for kind, share in {**shares, COVERED: 1 - background - spliced}.items():
        assert np.abs((batches == kind).sum(axis=1) - share * batch_size).max() < 2
        assert abs((plan.kinds == kind).sum() - share * plan.kinds.size) < 2
    for epoch in range(3):
        order = plan.order(np.random.default_rng(epoch), epoch)
        seen = Counter(order[plan.kinds == COVERED].tolist())
        assert set(seen) == set(range(covered))
        # No longer than it must be: without the last batch, some image would be missing.
        assert (batches[:-1] == COVERED).sum() < covered
        for kind in shares:
            assert set(order[plan.kinds == kind]) <= set(pools[kind])


def test_half_and_half_by_hand():
    plan = plan_epoch(POOLS, {BACKGROUND: 0.5}, 4)
    assert plan.kinds.reshape(5, 4).tolist() == [[COVERED, BACKGROUND] * 2] * 5
    # Without shuffling, the 30 images of the background come in three epochs of ten.
    seen = [plan.order(None, epoch)[1::2].tolist() for epoch in range(4)]
    assert seen[0] + seen[1] + seen[2] == list(range(10, 40)) and seen[3] == seen[0]


def test_a_share_of_nothing():
    plan = plan_epoch(POOLS, {BACKGROUND: 0.0}, 5)
    assert plan.kinds.tolist() == [COVERED] * 10
