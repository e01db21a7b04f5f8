"""The model in plain numpy: what the golden vectors are made with, independent of ONNX Runtime."""

import numpy as np
from scipy.special import erf

LAYERS, HEADS, WIDTH = 6, 12, 384
EPSILON = 1e-12


class Reference:
    def __init__(self, weights, dtype=np.float64):
        self.w = {name: value.astype(dtype) for name, value in weights.items()}

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        return centred / np.sqrt(variance + EPSILON) * self.w[name + ".weight"] + self.w[name + ".bias"]

    def states(self, ids, tap=lambda site, x: None):
        """The last hidden states [len(ids), 384]; `tap` is shown the input of every linear layer."""
        n = len(ids)
        words, positions, types = (self.w[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type"))
        x = self.norm(words[ids] + positions[:n] + types[0], "embeddings.LayerNorm")
        for layer in range(LAYERS):
            at = f"encoder.layer.{layer}."
            tap((layer, "qkv"), x)
            q, k, v = (
                self.linear(x, f"{at}attention.self.{part}").reshape(n, HEADS, -1).transpose(1, 0, 2)
                for part in ("query", "key", "value")
            )
            scores = q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH // HEADS)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            context = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(n, WIDTH)
            tap((layer, "out"), context)
            x = self.norm(x + self.linear(context, at + "attention.output.dense"), at + "attention.output.LayerNorm")
            tap((layer, "ff1"), x)
            h = self.linear(x, at + "intermediate.dense")
            h = 0.5 * h * (1 + erf(h / np.sqrt(2)))
            tap((layer, "ff2"), h)
            x = self.norm(x + self.linear(h, at + "output.dense"), at + "output.LayerNorm")
        return x

    def embed(self, ids):
        """The sentence vector [384] of length 1."""
        mean = self.states(ids).mean(0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)
