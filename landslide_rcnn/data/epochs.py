"""What an epoch consists of: which kind of sample stands at which place, and of which image.

Used by `data/batches.py`. Kinds are spread evenly, so that every batch has its share of each.
"""

from dataclasses import dataclass

import numpy as np

# Besides the kinds of `data/background.py`: an image that every epoch shows once, and one of
# those without landslides where BACKGROUND_SHARE says how many of them there are.
COVERED, BACKGROUND = "covered", "background"


@dataclass(frozen=True)
class EpochPlan:
    """The places of an epoch; the same in every epoch, with other images.

    Attributes:
        kinds: [places] str.
        pools: For each kind: the image ids that its places are filled from. One without places
            serves `data/batches.py` to draw from.
    """

    kinds: np.ndarray
    pools: dict[str, np.ndarray]

    def order(self, rng: np.random.Generator | None, epoch: int) -> np.ndarray:
        """Return [places] image ids. A pool is used up before one of it comes again.

        Args:
            rng: Shuffles every pool; None keeps their orders.
            epoch: From 0; without shuffling, a pool that an epoch does not use up goes on in the
                next.
        """
        order = np.zeros(len(self.kinds), np.int64)
        for kind, pool in self.pools.items():
            places = np.flatnonzero(self.kinds == kind)
            if rng is not None:
                pool = rng.permutation(pool)
            elif len(places) < len(pool):
                pool = np.roll(pool, -epoch * len(places))
            order[places] = np.resize(pool, len(places))
        return order


def plan_epoch(
    pools: dict[str, np.ndarray], shares: dict[str, float], batch_size: int
) -> EpochPlan:
    """Plan an epoch that shows every image of the pool `COVERED` once.

    Args:
        pools: For each kind: image ids, at least one.
        shares: Of every kind but COVERED, which has the rest: its share of all places, adding up
            to less than 1.
        batch_size: The number of places is a multiple of it; what is left is filled with more of
            the same.
    """
    names = [COVERED, *shares]
    wanted = np.array([1 - sum(shares.values()), *shares.values()])
    covered = len(pools[COVERED])
    # Each place goes to the kind that lags its share most: any run of places, such as a batch,
    # has every share to within one or two.
    given, places = np.zeros(len(names)), []
    while given[0] < covered or len(places) % batch_size:
        kind = int(np.argmax(wanted * (len(places) + 1) - given))
        given[kind] += 1
        places.append(names[kind])
    return EpochPlan(np.array(places), pools)
