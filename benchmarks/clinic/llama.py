"""A Llama in NumPy with LoRA on its linear layers: log-probabilities, and the gradient of the loss by hand.

Enough to train the clinic's adapters without torch. Knows weights and arrays; neither texts nor recipes.
Every operation gives its value and a function from the gradient of that value to the gradient of what went in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.gguf_file import GGUFFile

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Back = Callable[[Floats], Floats]
KINDS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""Linear layers of a block, by llama.cpp's names."""


@dataclass
class Lora:
    """Factors by module: A [r, d_in] and B [d_out, r]; ΔW = scaling · B A.

    Attributes:
        gradient: of the loss by the factors, filled by `Llama.loss`.
    """

    factors: Mapping[str, tuple[Floats, Floats]]
    scaling: float
    gradient: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)


class Llama:
    """The weights of a GGUF of architecture llama, in float32.

    Args:
        path: of any type that the gguf package can dequantize.
    """

    def __init__(self, path: Path) -> None:
        file = GGUFFile(path)
        self.weights: dict[str, Floats] = {name: np.array(file.read(name), np.float32) for name in file.tensors}
        self.blocks = file.whole("llama.block_count")
        self.heads = file.whole("llama.attention.head_count")
        self.kv_heads = file.whole("llama.attention.head_count_kv") or self.heads
        self.epsilon = float(file.get("llama.attention.layer_norm_rms_epsilon"))
        self.frequency = float(file.get("llama.rope.freq_base") or 10000.0)
        self._head = self.weights.get("output.weight", self.weights["token_embd.weight"])

    def module(self, block: int, kind: str) -> str:
        """llama.cpp's name of a linear layer."""
        return f"blk.{block}.{kind}.weight"

    def shape(self, module: str) -> tuple[int, int]:
        """(d_out, d_in)."""
        rows, width = self.weights[module].shape
        return rows, width

    def logprobs(self, ids: Ints, lora: Lora | None = None) -> Floats:
        """[n, T, vocabulary] log-probabilities of what follows each of the tokens [n, T]."""
        hidden, _ = self._hidden(ids, lora)
        return log_softmax(hidden @ self._head.T)

    def loss(self, ids: Ints, scored: NDArray[np.bool_], lora: Lora) -> float:
        """Mean negative log-probability of the scored tokens; puts its gradient into `lora`.

        Args:
            ids: [n, T], shorter rows filled up at their ends with any token.
            scored: [n, T - 1], whether token t + 1 is.
            lora: to be trained.
        """
        hidden, back = self._hidden(ids[:, :-1], lora)
        targets = ids[:, 1:][scored]
        found = log_softmax(hidden[scored] @ self._head.T)
        places = np.arange(len(targets))
        loss = -float(found[places, targets].mean())
        by_logits = np.exp(found)
        by_logits[places, targets] -= 1
        by_hidden = np.zeros_like(hidden)
        by_hidden[scored] = (by_logits / len(targets)) @ self._head
        back(by_hidden)
        return loss

    def _hidden(self, ids: Ints, lora: Lora | None) -> tuple[Floats, Back]:
        """[n, T, d] what the output matrix is applied to."""
        x = self.weights["token_embd.weight"][ids]
        angles = rotary_angles(ids.shape[1], self._head_width, self.frequency)
        backs: list[Back] = []
        for block in range(self.blocks):
            x, back = self._block(x, block, angles, lora)
            backs.append(back)
        normed, back_norm = rms_norm(x, self.weights["output_norm.weight"], self.epsilon)

        def back_all(by_normed: Floats) -> Floats:
            by_x = back_norm(by_normed)
            for back in reversed(backs):
                by_x = back(by_x)
            return by_x

        return normed, back_all

    @property
    def _head_width(self) -> int:
        return self.shape(self.module(0, "attn_q"))[0] // self.heads

    def _block(self, x: Floats, block: int, angles: Floats, lora: Lora | None) -> tuple[Floats, Back]:
        def linear(kind: str, given: Floats) -> tuple[Floats, Back]:
            name = self.module(block, kind)
            return adapted_linear(given, self.weights[name], name, lora)

        def norm(name: str, given: Floats) -> tuple[Floats, Back]:
            return rms_norm(given, self.weights[f"blk.{block}.{name}.weight"], self.epsilon)

        before, back_before = norm("attn_norm", x)
        (q, back_q), (k, back_k), (v, back_v) = (linear(kind, before) for kind in ("attn_q", "attn_k", "attn_v"))
        mixed, back_mixed = attention(q, k, v, self.heads, self.kv_heads, angles)
        attended, back_attended = linear("attn_output", mixed)
        middle = x + attended
        between, back_between = norm("ffn_norm", middle)
        (gate, back_gate), (up, back_up) = (linear(kind, between) for kind in ("ffn_gate", "ffn_up"))
        gated, back_gated = swiglu(gate, up)
        fed, back_fed = linear("ffn_down", gated)

        def back(by_out: Floats) -> Floats:
            by_gate, by_up = back_gated(back_fed(by_out))
            by_middle = by_out + back_between(back_gate(by_gate) + back_up(by_up))
            by_q, by_k, by_v = back_mixed(back_attended(by_middle))
            return by_middle + back_before(back_q(by_q) + back_k(by_k) + back_v(by_v))

        return middle + fed, back


def log_softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


def adapted_linear(x: Floats, weight: Floats, name: str, lora: Lora | None) -> tuple[Floats, Back]:
    """x Wᵀ, and scaling · (x Aᵀ) Bᵀ where the module is adapted. The gradient by the factors goes into `lora`."""
    pair = lora.factors.get(name) if lora else None
    if lora is None or pair is None:
        return x @ weight.T, lambda by_y: by_y @ weight
    (a, b), scaling = pair, np.float32(lora.scaling)
    narrow = x @ a.T

    def back(by_y: Floats) -> Floats:
        by_narrow = scaling * (by_y @ b)
        rows, by_rows = x.reshape(-1, x.shape[-1]), by_y.reshape(-1, by_y.shape[-1])
        by_a = by_narrow.reshape(-1, a.shape[0]).T @ rows
        by_b = scaling * (by_rows.T @ narrow.reshape(-1, a.shape[0]))
        lora.gradient[name] = (by_a, by_b)
        return by_y @ weight + by_narrow @ a

    return x @ weight.T + scaling * (narrow @ b.T), back


def rms_norm(x: Floats, weight: Floats, epsilon: float) -> tuple[Floats, Back]:
    """x / √(mean x² + ε) · w over the last axis."""
    inverse = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(epsilon))

    def back(by_y: Floats) -> Floats:
        g = by_y * weight
        found: Floats = inverse * (g - x * inverse**2 * (g * x).mean(axis=-1, keepdims=True))
        return found

    return x * inverse * weight, back


def swiglu(gate: Floats, up: Floats) -> tuple[Floats, Callable[[Floats], tuple[Floats, Floats]]]:
    """gate · σ(gate) · up."""
    share = 1 / (1 + np.exp(-gate))
    swish = gate * share

    def back(by_y: Floats) -> tuple[Floats, Floats]:
        return by_y * up * share * (1 + gate * (1 - share)), by_y * swish

    return swish * up, back


def rotary_angles(length: int, width: int, frequency: float) -> Floats:
    """[T, width / 2] by which neighbouring pairs of a head's rows are turned, as llama.cpp stores them."""
    each = frequency ** (-np.arange(0, width, 2) / width)
    return np.outer(np.arange(length), each).astype(np.float32)


def turned(x: Floats, angles: Floats) -> Floats:
    """[…, T, width] with the pairs (0, 1), (2, 3), … of its last axis turned."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cosine, sine = np.cos(angles), np.sin(angles)
    out = np.empty_like(x)
    out[..., 0::2], out[..., 1::2] = even * cosine - odd * sine, even * sine + odd * cosine
    return out


def attention(
    q: Floats, k: Floats, v: Floats, heads: int, kv_heads: int, angles: Floats
) -> tuple[Floats, Callable[[Floats], tuple[Floats, Floats, Floats]]]:
    """Causal attention with rotary positions; `heads / kv_heads` queries share a key. [n, T, d] each."""
    n, length, _ = q.shape
    group, width = heads // kv_heads, q.shape[-1] // heads
    scale = np.float32(width**-0.5)

    def parted(x: Floats, each: int) -> Floats:
        """[n, T, kv · each · width] → [n, kv, each, T, width]."""
        return np.ascontiguousarray(x.reshape(n, length, kv_heads, each, width).transpose(0, 2, 3, 1, 4))

    def joined(x: Floats) -> Floats:
        return x.transpose(0, 3, 1, 2, 4).reshape(n, length, -1)

    queries, keys, values = turned(parted(q, group), angles), turned(parted(k, 1), angles), parted(v, 1)
    hidden = np.triu(np.full((length, length), -np.inf, np.float32), 1)
    share = np.exp(log_softmax(scale * (queries @ keys.swapaxes(-1, -2)) + hidden))

    def back(by_y: Floats) -> tuple[Floats, Floats, Floats]:
        by_out = parted(by_y, group)
        by_share = by_out @ values.swapaxes(-1, -2)
        by_scores = scale * share * (by_share - (by_share * share).sum(axis=-1, keepdims=True))
        by_queries = by_scores @ keys
        by_keys = (by_scores.swapaxes(-1, -2) @ queries).sum(axis=2, keepdims=True)
        by_values = (share.swapaxes(-1, -2) @ by_out).sum(axis=2, keepdims=True)
        return joined(turned(by_queries, -angles)), joined(turned(by_keys, -angles)), joined(by_values)

    return joined(share @ values), back
