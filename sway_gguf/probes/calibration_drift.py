"""calibration_drift: does the model still know what it knew?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.dialogue import exchange
from sway_gguf.core.inputs import at_home
from sway_gguf.core.measurement import Item, Measurement, checked
from sway_gguf.core.queries import Completion, Query, shorten
from sway_gguf.core.sections import Section
from sway_gguf.material.chunks import spread
from sway_gguf.material.knowledge import knowledge
from sway_gguf.probes.base import CONTROLS, mean_of
from sway_gguf.probes.tolerance import ToleranceOptions, ToleranceProbe, counted
from sway_gguf.spec.options import BUILT_IN
from sway_gguf.stats.interval import MIN_ITEMS

_REQUEST = "Finish this sentence: {} …"
"""Of the wordings tried on SmolLM2, the one by which a base shows most of what it knows."""


class CalibrationDriftOptions(ToleranceOptions):
    """Fields of `calibration_drift`."""

    kind: Literal["calibration_drift"] = "calibration_drift"
    pack: str = Field(default=BUILT_IN, description="builtin, or a JSONL file of prompt and gold (or completion)")
    items: list[tuple[str, str]] = Field(default_factory=list, description="[prompt, gold] pairs in place of a pack")
    items_limit: int | None = Field(default=None, ge=1, description="at most so many, evenly spaced")
    tolerance: float = Field(
        default=-0.5, le=0.0, alias="assert_mean_delta_gte", description="accepted mean change, nats per token"
    )
    regression_nats: float = Field(default=1.0, gt=0, description="an item that lost more, in sum, has regressed")
    assert_fraction_regressed_lt: float = Field(default=0.15, gt=0, description="accepted share of regressed items")
    min_base_logprob: float = Field(
        default=-3.0, description="an answer to which the base gives less, nats in sum (-3 is 5%), was never known"
    )


class CalibrationDrift(ToleranceProbe[CalibrationDriftOptions]):
    """Mean over items that the base knows of the change in log-probability per token of the right answer, nats.

    An item is the beginning of a sentence, or a question. In a chat format the user asks it, or asks to finish the
    sentence, and the reply has begun with it.
    An item whose answer the base itself finds unlikely tells nothing about forgetting and is left out. The share of
    items that lost more than `regression_nats` decides between PASS and WARN; of these, forgotten are those whose
    answer is now as unlikely as one that the base never knew.
    """

    kind = "calibration_drift"
    axis = "collateral"
    question = "Does the model still know the facts that it knew?"
    unit = "nats/token"
    passing = "the whole interval of the change lies above the tolerance (WARN where too many items regressed)"
    caveat = "knowing the answer's words is not answering; items that the base never knew are not looked at."
    options_type = CalibrationDriftOptions
    quick_options: ClassVar[Mapping[str, Any]] = {"items_limit": 32}
    retired: ClassVar[Mapping[str, str]] = {"assert_z_gte": "nulls are shown beside the value, the tolerance decides"}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(prompt, gold) in use."""
        path = None if self.options.pack == BUILT_IN else self.sources.folder / at_home(self.options.pack)
        pairs = self.options.items or knowledge(path)
        return self.drawn(list(dict.fromkeys(spread(pairs, self.options.items_limit or len(pairs)))), share=CONTROLS)

    def missing(self) -> str:
        """Nothing: items ship with the package."""
        return ""

    def ask(self) -> Sequence[Query]:
        """Scores of every answer."""
        return [self._query(prompt, gold) for prompt, gold in self.pairs]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Change per item that the base knows."""
        items, regressed, forgotten = [], 0, 0
        for prompt, gold in self.pairs:
            query = self._query(prompt, gold)
            before, after = (answers.completion(query.prompt, query.completion) for answers in (base, other))
            if before.logprob < self.options.min_base_logprob:
                continue
            lost = before.logprob - after.logprob > self.options.regression_nats
            regressed += lost
            forgotten += lost and after.logprob < self.options.min_base_logprob
            detail = {"base": before.logprob, "other": after.logprob, "gold": gold}
            change = after.mean_logprob - before.mean_logprob
            items.append(Item(shorten(prompt), change, detail, asked=(query.prompt, query.completion)))
        share = regressed / len(items) if items else 0.0
        few = len(items) < MIN_ITEMS
        regressed_text = f"{share:.0%} of the known items regressed"
        accepted = share < self.options.assert_fraction_regressed_lt
        return Measurement(
            mean_of(items),
            tuple(items),
            checks=(checked("few regressed", accepted, regressed_text, f"{regressed_text}, more than accepted"),),
            undecided=f"the base knows only {len(items)} of {len(self.pairs)} items; give pack: FILE" if few else "",
            notes=(f"{len(items)} of {len(self.pairs)} items known to the base, {regressed} regressed",),
            details={"known": len(items), "asked": len(self.pairs), "regressed": regressed, "forgotten": forgotten},
            turned=counted(forgotten, len(items), "facts that the base knew", "forgot"),
        )

    def _query(self, prompt: str, gold: str) -> Completion:
        """The answer behind the beginning of its sentence, which in a chat format is the beginning of a reply."""
        if prompt.rstrip().endswith("?"):
            return Completion(self.sources.request(prompt), gold)
        request = _REQUEST.format(prompt.strip())
        begun = self.sources.spoken(Section("", prompt, dialogue=exchange(request, prompt)))
        return Completion(begun.prompt + begun.text, gold)
