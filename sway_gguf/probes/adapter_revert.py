"""adapter_revert: under reframed prompts, does the reply fall back to the base's?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers, LogProbs
from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.queries import Embed, Generate, Query, shorten
from sway_gguf.core.rules import AboveNull
from sway_gguf.core.sections import Paraphrase
from sway_gguf.probes.base import Probe
from sway_gguf.probes.lift import beyond
from sway_gguf.probes.paraphrase_invariance import Case
from sway_gguf.probes.sources import embedded_by
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.interval import MIN_ITEMS


class AdapterRevertOptions(ProbeOptions):
    """Fields of `adapter_revert`."""

    kind: Literal["adapter_revert"] = "adapter_revert"
    cases: list[Case] = Field(default_factory=list, description="default: the data's paraphrases")
    max_new_tokens: int = Field(default=48, ge=1, description="length of a reply")
    base_gold_similarity_cap: float = Field(
        default=0.95, le=1.0, description="a pair whose base reply is as near to gold already says nothing"
    )


class AdapterRevert(Probe[AdapterRevertOptions]):
    """Mean over reworded prompts of cos(reply, gold) − cos(base's reply, gold), by embeddings, less that of others.

    Positive where the tuned model's replies are nearer to the wanted ones than the base's are, by more than they came
    nearer to what is wanted elsewhere: broken replies come nearer to everything. Beside it the revert
    rate: how often a reply is nearer to the base's than to gold. Embeddings are those of `engine.embedder`, or the mean
    of the base's own hidden states, whose cosines lie close together. What it reads off greedy text is coarse, so a
    value among the nulls warns.
    """

    kind = "adapter_revert"
    axis = "direction"
    question = "Asked in other words, does the model still answer as it was trained to, or as the base does?"
    unit = "cosine"
    passing = "the approach to gold lies above zero, beats every null and chance over all probes (WARN otherwise)"
    caveat = "nearness of embeddings is not correctness."
    options_type = AdapterRevertOptions
    quick = False
    rule = AboveNull("higher", fails=False)
    retired: ClassVar[Mapping[str, str]] = {
        "assert_z_gte": "z is shown, never the gate",
        "assert_revert_rate_lt": "the nulls decide; the revert rate is shown",
        "embedding_model": "engine.embedder names a GGUF embedding model",
    }

    @property
    def cases(self) -> list[Paraphrase]:
        """Cases in use, each once."""
        given = [self.sources.spoken(case.as_paraphrase()) for case in self.options.cases]
        return list(dict.fromkeys(given or self.sources.paraphrases))

    def missing(self) -> str:
        """Cases."""
        return "" if any(self._pairs()) else "give cases, or --data FILE.jsonl with prompt, gold and paraphrases"

    def ask(self) -> Sequence[Query]:
        """A greedy reply to every rewording."""
        return [self._query(prompt) for prompt, _ in self._pairs()]

    def follow_up(self, base: Answers, own: Answers) -> Sequence[Query]:
        """Embeddings of the replies, and once of what is wanted."""
        wanted = [Embed(gold) for _, gold in self._pairs()] if base is own else []
        return [*(Embed(own.generated(self._query(prompt)).text) for prompt, _ in self._pairs()), *wanted]

    def foresee(self) -> Sequence[Query]:
        """Embeddings of replies about as long as gold."""
        return [Embed(gold) for _, gold in self._pairs()]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Approach to gold per pair that the base does not answer already."""
        items, controls, reverted = [], list[Item](), 0
        for prompt, gold in self._pairs():
            wanted = base.embedding(gold)
            before = base.embedding(base.generated(self._query(prompt)).text)
            reply = other.generated(self._query(prompt)).text
            after = other.embedding(reply)
            if float(before @ wanted) > self.options.base_gold_similarity_cap:
                continue
            controls += _elsewhere(base, [g for _, g in self._pairs() if g != gold], before, after, prompt)
            reverted += float(after @ before) > float(after @ wanted)
            detail = {"reply": reply, "to_gold": float(after @ wanted), "to_base": float(after @ before)}
            nearer = float(after @ wanted) - float(before @ wanted)
            items.append(Item(self.label(prompt), nearer, detail, asked=(prompt, gold)))
        few = len(items) < MIN_ITEMS
        return Measurement(
            beyond(items, controls),
            tuple(items),
            tuple(controls) if len(controls) >= MIN_ITEMS else (),
            undecided=f"only {len(items)} pairs tell base and gold apart; give {MIN_ITEMS} or more" if few else "",
            notes=(
                f"{reverted} of {len(items)} replies are nearer to the base's than to the wanted one",
                embedded_by(self.sources),
            ),
            details={"reverted": reverted, "pairs": len(items)},
        )

    def _pairs(self) -> Iterator[tuple[str, str]]:
        pairs = ((prompt, case.gold) for case in self.cases for prompt in case.paraphrases)
        return iter(self.held(pairs, lambda pair: self._query(pair[0])))

    def _query(self, prompt: str) -> Generate:
        return Generate(prompt, self.options.max_new_tokens)


def _elsewhere(base: Answers, golds: Sequence[str], before: LogProbs, after: LogProbs, prompt: str) -> list[Item]:
    """By how much a reply came nearer to what is wanted of other prompts; nothing where there are none."""
    others = [base.embedding(gold) for gold in dict.fromkeys(golds)]
    nearer = [float(after @ vector) - float(before @ vector) for vector in others]
    if not nearer:
        return []
    return [Item(shorten(prompt), sum(nearer) / len(nearer), group="wanted elsewhere", asked=(prompt,))]
