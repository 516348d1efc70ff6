"""The survival matrix as plain records: what a deployment is, and what was found of it. Knows shapes only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sway_gguf.core.result import Verdict

Mode = Literal["runtime", "merged"]


@dataclass(frozen=True, slots=True)
class DeploymentResult:
    """One row.

    Attributes:
        type: of the weights, or the stem of a file that was given; "base" is a quantized base as it stands.
        mode: the adapter on top at run time, or merged in before quantizing.
        size: bytes of what ships.
        load_seconds, peak_memory: of a fresh process, memory in bytes; None where the system does not tell.
        prompt_speed, generation_speed: tokens per second on this machine.
        floor: mean KL(reference base ‖ this base) of the next token, nats: what quantization alone does.
        effect: mean change in log-probability of the document per token, nats.
        retained: effect over the reference's, with its 95% interval over sections.
        cosine: of the sections' effects with the reference's.
        top1_agreement: share of prompts on which the tuned models find the same token likeliest.
        collateral: mean change on general text, nats per token, with its interval.
        verdict, reason: on survival.
    """

    type: str
    mode: Mode
    size: int
    load_seconds: float
    peak_memory: int | None
    prompt_speed: float
    generation_speed: float
    floor: float
    effect: float
    retained: float
    retained_interval: tuple[float, float] | None
    cosine: float
    top1_agreement: float
    collateral: float
    collateral_interval: tuple[float, float] | None
    verdict: Verdict
    reason: str

    @property
    def name(self) -> str:
        """Such as "Q4_K_M merged"."""
        return f"{self.type} {self.mode}"


@dataclass(frozen=True, slots=True)
class SurvivalMatrix:
    """All rows; the first is the reference.

    Attributes:
        rows: in the order measured.
        wanted: share of the effect that must be kept.
        tolerance: accepted change on general text.
        recommended: name of the smallest row that passes and leaves general text alone, or "".
        pareto: names of rows that no smaller one matches in what is kept.
        summary: one sentence.
        remarks: on what these numbers cannot show.
        costs: loss of the base alone on general text against the reference's base, nats per token, by type of weights
            made here, ascending; empty where the reference is itself quantized.
        parameters: weights of the base; 0 in records of a time when this was not kept.
        vectors: digest of the base's vectors, by which it is known in any type of weights; "" likewise, and for a base
            without any.
    """

    rows: tuple[DeploymentResult, ...]
    wanted: float
    tolerance: float
    recommended: str
    pareto: tuple[str, ...]
    summary: str
    remarks: tuple[str, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    parameters: int = 0
    vectors: str = ""
