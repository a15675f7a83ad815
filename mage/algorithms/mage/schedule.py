"""The scale schedule: how many tokens each of the K scales has, coarse to fine, ending with the latent length l_K.

The paper gives K (Table 5) but not the lengths; these are ours.
"""

from __future__ import annotations

SCHEDULES: dict[int, dict[int, tuple[int, ...]]] = {
    8: {1: (8,), 2: (1, 8), 4: (1, 2, 4, 8), 6: (1, 2, 3, 4, 6, 8), 8: (1, 2, 3, 4, 5, 6, 7, 8)},
    24: {
        1: (24,),
        2: (1, 24),
        4: (1, 4, 12, 24),
        6: (1, 2, 4, 8, 12, 24),
        8: (1, 2, 3, 4, 6, 8, 12, 24),
        10: (1, 2, 3, 4, 6, 8, 10, 12, 16, 24),
    },
}
"""By latent length and number of scales K, for the horizon of 24 at latent stride 3 and 1."""


def schedule(num_scales: int, latent_length: int) -> tuple[int, ...]:
    """l_1..l_K for K scales, K at most the latent length."""
    known = SCHEDULES.get(latent_length, {}).get(num_scales)
    return known or geometric_schedule(num_scales, latent_length)


def geometric_schedule(num_scales: int, latent_length: int) -> tuple[int, ...]:
    """K rising lengths from 1 (or the latent length alone) to the latent length, as even in log as integers allow."""
    if num_scales == 1:
        return (latent_length,)
    lengths = [round(latent_length ** (k / (num_scales - 1))) for k in range(num_scales)]
    for k in range(1, num_scales):
        lengths[k] = max(lengths[k], lengths[k - 1] + 1)
    for k in range(num_scales - 1, -1, -1):
        lengths[k] = min(lengths[k], latent_length - (num_scales - 1 - k))
    return tuple(lengths)
