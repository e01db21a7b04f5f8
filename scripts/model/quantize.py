"""Rounds weights to 8 bits so that 8-bit activations, scaled by their extremes at run time, keep the model's answers.

Three things make that work:
- Channels that are much larger than the rest set the scale for all of them. `Range` shifts and scales every channel to a
  like size; what divides the activation multiplies the weight, so the product is the same.
- Weights are rounded one input at a time, and what an input lost is made good by those still to come, judged by the
  activations of the calibration texts (Frantar et al., GPTQ, 2022).
- On x86 without VNNI, products of unsigned activations and signed weights are added in pairs to 16 bits that saturate.
  Weights of neighbouring inputs are held within `PAIR` together, so that no activation can reach that bound."""

import numpy as np

LIMIT = 127
PAIR = 128  # 255 * 128 < 2**15
DAMPING = 0.01


class Range:
    """x' = (x - shift) / scale, per channel."""

    def __init__(self, x, weight, strength):
        high, low = x.max(0), x.min(0)
        self.shift = (high + low) / 2
        size = ((high - low) / 2) ** strength / np.sqrt((weight**2).mean(1)) ** ((1 - strength) / 2)
        self.scale = size / np.exp(np.log(size).mean())


def round_weight(weight, x, importance):
    """weight [K, N] and the inputs x [T, K] that it will see, weighted by importance [T], as int8 [K, N] and scales [N]."""
    pairs = weight.reshape(-1, 2, weight.shape[1])
    heaviest = np.maximum(np.maximum(pairs, 0).sum(1), np.maximum(-pairs, 0).sum(1)).max(0)
    largest = np.maximum(np.abs(weight).max(0) / LIMIT, heaviest / PAIR)
    scale = np.where(largest > 0, largest, 1).astype(np.float32)
    moments = (x * importance[:, None]).T @ x
    moments[np.diag_indices_from(moments)] += DAMPING * np.diag(moments).mean()
    carry = np.linalg.cholesky(np.linalg.inv(moments)).T
    left = weight.astype(np.float64)
    rounded = np.zeros(weight.shape, np.int8)
    for block in range(0, len(left), 128):
        end = min(block + 128, len(left))
        lost = np.zeros((end - block, left.shape[1]))
        for k in range(block, end):
            low, high = -LIMIT, LIMIT
            if k % 2:
                before = rounded[k - 1].astype(int)
                low = np.maximum(low, -PAIR - np.minimum(before, 0))
                high = np.minimum(high, PAIR - np.maximum(before, 0))
            rounded[k] = np.clip(np.rint(left[k] / scale), low, high)
            lost[k - block] = (left[k] - rounded[k] * scale) / carry[k, k]
            left[k + 1 : end] -= np.outer(carry[k, k + 1 : end], lost[k - block])
        left[end:] -= carry[block:end, end:].T @ lost
    return rounded, scale


def round_rows(table):
    """A table [R, C] as int8 with one scale per row [R, 1]."""
    scale = (np.abs(table).max(1, keepdims=True) / LIMIT).astype(np.float32)
    return np.rint(table / scale).astype(np.int8), scale


def pairs_are_safe(rounded):
    pairs = rounded.astype(int).reshape(-1, 2, rounded.shape[1])
    return max(np.maximum(pairs, 0).sum(1).max(), -np.minimum(pairs, 0).sum(1).min()) <= PAIR
