"""A Llama and the gradients of its LoRA in NumPy: enough to train small adapters without torch.

Knows weights of a GGUF as llama.cpp lays them out (rows of queries and keys in pairs for its rope), token ids and
factors; neither texts nor steps of an optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile

Array = NDArray[np.float32]
Factors = dict[str, tuple[Array, Array]]
"""A [r, d_in] and B [d_out, r] by the base's tensor."""
_HIDDEN = np.float32(-1e30)


class Tokens(NamedTuple):
    """A text, and which of its tokens count: [N] ids, [N] whether the token is to be predicted (the first never is)."""

    ids: Sequence[int]
    counts: Sequence[bool]


@dataclass
class _Tape:
    """What the way forward leaves for the way back, by name."""

    kept: dict[str, Array] = field(default_factory=dict)


class Llama:
    """The base, dequantized into float32.

    Args:
        path: of a GGUF whose architecture is llama, without biases.

    Raises:
        ValueError: another architecture.
    """

    def __init__(self, path: Path) -> None:
        file, base = GGUFFile(path), read_base(path)
        if base.architecture != "llama" or any(name.endswith(".bias") for name in base.tensors):
            raise ValueError(f"{path}: only plain llama models can be trained here, this is {base.architecture}")
        self.base = base
        self.weights: dict[str, Array] = {name: np.asarray(file.read(name), np.float32) for name in base.tensors}
        self.blocks, self.heads, self.kv_heads = base.blocks, base.heads, base.kv_heads or base.heads
        self.width = self.weights["token_embd.weight"].shape[1]
        self.head_width = base.head_width or self.width // self.heads
        self.eps = np.float32(file.get("llama.attention.layer_norm_rms_epsilon"))
        self._rope_base = float(file.get("llama.rope.freq_base") or 10_000.0)

    @property
    def linear(self) -> list[str]:
        """Names of all weights that a LoRA usually adapts."""
        return [name for name in sorted(self.weights) if name.startswith("blk.") and "norm" not in name]

    def logprobs(self, text: Sequence[int], factors: Factors | None = None, scaling: float = 1.0) -> Array:
        """[N-1] log-probability of each token but the first, nats."""
        run = _Run(self, factors or {}, scaling, [Tokens(text, [False, *[True] * (len(text) - 1)])])
        return run.forward()

    def loss(self, texts: Sequence[Tokens], factors: Factors, scaling: float) -> tuple[float, Factors]:
        """Mean of −log p over the tokens that count, in nats, and its gradients by A and B."""
        run = _Run(self, factors, scaling, texts)
        logprobs = run.forward()
        return -float(logprobs.mean(dtype=np.float64)), run.backward()


class _Run:
    """One batch, there and back. Texts are padded at their ends, which no earlier token sees."""

    def __init__(
        self, model: Llama, factors: Mapping[str, tuple[Array, Array]], scaling: float, texts: Sequence[Tokens]
    ):
        self.model, self.factors, self.scaling = model, factors, np.float32(scaling)
        self.number, self.length = len(texts), max(len(text.ids) for text in texts) - 1
        inputs = np.zeros((self.number, self.length), np.int64)
        targets = np.full((self.number, self.length), -1)
        for row, (ids, counts) in enumerate(texts):
            inputs[row, : len(ids) - 1] = ids[:-1]
            targets[row, : len(ids) - 1] = np.where(counts[1:], ids[1:], -1)
        self._inputs, self._wanted = inputs, targets.reshape(-1)
        self._rows = np.flatnonzero(self._wanted >= 0)
        half = model.head_width // 2
        turns = np.arange(self.length)[:, None] * model._rope_base ** (-np.arange(half) / half)
        self._cos, self._sin = np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)
        self._tapes = [_Tape() for _ in range(model.blocks)]
        self._gradients: Factors = {}

    def forward(self) -> Array:
        """Log-probabilities of the wanted tokens, in order."""
        weights = self.model.weights
        x = weights["token_embd.weight"][self._inputs.reshape(-1)]
        for number, tape in enumerate(self._tapes):
            x = self._block(number, x, tape.kept)
        self._last = x[self._rows]
        hidden, self._last_rms = self._norm(self._last, "output_norm.weight")
        logits = hidden @ self._head.T
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        self._logprobs = logits
        return np.asarray(logits[np.arange(self._rows.size), self._wanted[self._rows]])

    def backward(self) -> Factors:
        """Gradients of the mean of −log p."""
        slope = np.exp(self._logprobs)
        slope[np.arange(self._rows.size), self._wanted[self._rows]] -= 1
        slope /= np.float32(self._rows.size)
        hidden = slope @ self._head
        back = np.zeros((self._inputs.size, self.model.width), np.float32)
        back[self._rows] = self._norm_back(hidden, self._last, self._last_rms, "output_norm.weight")
        for number in reversed(range(self.model.blocks)):
            back = self._block_back(number, back, self._tapes[number].kept)
        return self._gradients

    @property
    def _head(self) -> Array:
        weights = self.model.weights
        return weights.get("output.weight", weights["token_embd.weight"])

    def _block(self, number: int, x: Array, kept: dict[str, Array]) -> Array:
        name = f"blk.{number}"
        kept["x"] = x
        h, kept["rms"] = self._norm(x, f"{name}.attn_norm.weight")
        q, k, v = (self._linear(f"{name}.attn_{part}.weight", h, kept) for part in "qkv")
        q, k = self._turned(self._by_head(q)), self._turned(self._by_head(k))
        q, k, v = q, self._shared(k), self._shared(self._by_head(v))
        scores = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(self.model.head_width))
        scores += np.triu(np.full((self.length, self.length), _HIDDEN), 1)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        kept |= {"q": q, "k": k, "v": v, "p": scores}
        y = x + self._linear(f"{name}.attn_output.weight", self._joined(scores @ v), kept)
        kept["y"] = y
        h, kept["ffn_rms"] = self._norm(y, f"{name}.ffn_norm.weight")
        gate = self._linear(f"{name}.ffn_gate.weight", h, kept)
        up = self._linear(f"{name}.ffn_up.weight", h, kept)
        bent = 1 / (1 + np.exp(-gate))
        kept |= {"gate": gate, "up": up, "bent": bent}
        return y + self._linear(f"{name}.ffn_down.weight", gate * bent * up, kept)

    def _block_back(self, number: int, back: Array, kept: dict[str, Array]) -> Array:
        name = f"blk.{number}"
        inner = self._linear_back(f"{name}.ffn_down.weight", back, kept)
        gate, up, bent = kept["gate"], kept["up"], kept["bent"]
        to_gate = inner * up * bent * (1 + gate * (1 - bent))
        h = self._linear_back(f"{name}.ffn_gate.weight", to_gate, kept)
        h += self._linear_back(f"{name}.ffn_up.weight", inner * gate * bent, kept)
        back = back + self._norm_back(h, kept["y"], kept["ffn_rms"], f"{name}.ffn_norm.weight")
        inner = self._by_head(self._linear_back(f"{name}.attn_output.weight", back, kept))
        q, k, v, p = kept["q"], kept["k"], kept["v"], kept["p"]
        to_p = inner @ v.swapaxes(-1, -2)
        to_scores = p * (to_p - (to_p * p).sum(axis=-1, keepdims=True)) / np.float32(np.sqrt(self.model.head_width))
        to_q = self._turned(to_scores @ k, back=True)
        to_k = self._turned(self._gathered(to_scores.swapaxes(-1, -2) @ q), back=True)
        to_v = self._gathered(p.swapaxes(-1, -2) @ inner)
        h = self._linear_back(f"{name}.attn_q.weight", self._joined(to_q), kept)
        h += self._linear_back(f"{name}.attn_k.weight", self._joined(to_k), kept)
        h += self._linear_back(f"{name}.attn_v.weight", self._joined(to_v), kept)
        return back + self._norm_back(h, kept["x"], kept["rms"], f"{name}.attn_norm.weight")

    def _linear(self, name: str, x: Array, kept: dict[str, Array]) -> Array:
        """x Wᵀ and, where it is adapted, s (x Aᵀ) Bᵀ."""
        y: Array = x @ self.model.weights[name].T
        if name in self.factors:
            a, b = self.factors[name]
            kept[f"{name} in"], kept[f"{name} low"] = x, x @ a.T
            y += self.scaling * (kept[f"{name} low"] @ b.T)
        return y

    def _linear_back(self, name: str, back: Array, kept: dict[str, Array]) -> Array:
        to_x: Array = back @ self.model.weights[name]
        if name in self.factors:
            a, b = self.factors[name]
            low = self.scaling * (back @ b)
            self._gradients[name] = (low.T @ kept[f"{name} in"], self.scaling * (back.T @ kept[f"{name} low"]))
            to_x += low @ a
        return to_x

    def _norm(self, x: Array, name: str) -> tuple[Array, Array]:
        rms = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.model.eps)
        return x * rms * self.model.weights[name], rms

    def _norm_back(self, back: Array, x: Array, rms: Array, name: str) -> Array:
        turned = back * self.model.weights[name]
        return np.asarray(rms * (turned - x * rms * rms * (turned * x).mean(axis=-1, keepdims=True)))

    def _by_head(self, x: Array) -> Array:
        """[n · T, heads · width] to [n, heads, T, width]."""
        return x.reshape(self.number, self.length, -1, self.model.head_width).swapaxes(1, 2)

    def _joined(self, x: Array) -> Array:
        return x.swapaxes(1, 2).reshape(self.number * self.length, -1)

    def _shared(self, x: Array) -> Array:
        """Keys or values once per head that reads them."""
        return np.repeat(x, self.model.heads // x.shape[1], axis=1)

    def _gathered(self, x: Array) -> Array:
        shape = (self.number, self.model.kv_heads, -1, self.length, self.model.head_width)
        return np.asarray(x.reshape(shape).sum(axis=2))

    def _turned(self, x: Array, *, back: bool = False) -> Array:
        """Neighbours turned by their place's angle."""
        sin = -self._sin if back else self._sin
        even, odd = x[..., 0::2], x[..., 1::2]
        found = np.empty_like(x)
        found[..., 0::2] = even * self._cos - odd * sin
        found[..., 1::2] = even * sin + odd * self._cos
        return found
