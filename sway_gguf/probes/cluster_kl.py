"""cluster_kl: did the right topics move, and the others less?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sway_gguf.core.answers import Answers, LogProbs
from sway_gguf.core.divergence import BY_NAME
from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.queries import Embed, NextToken, Query
from sway_gguf.core.rules import AboveNull
from sway_gguf.probes.base import Probe
from sway_gguf.probes.sources import embedded_by
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.clusters import clusters, specificity


class ClusterKlOptions(ProbeOptions):
    """Fields of `cluster_kl`."""

    kind: Literal["cluster_kl"] = "cluster_kl"
    prompts: list[str] = Field(default_factory=list, description="default: the run's prompts")
    num_clusters: int = Field(default=5, ge=2, le=32, description="topics")
    divergence: Literal["js", "kl"] = Field(default="js", description="js, or kl(tuned ‖ base)")
    min_prompts: int = Field(default=20, ge=4, description="fewer cannot be clustered")


class Topic(TypedDict):
    """A cluster: its size, the mean divergence in it, and the prompt nearest to its middle."""

    size: int
    mean: float
    exemplar: str


class ClusterKl(Probe[ClusterKlOptions]):
    """Share of the variance of the per-prompt divergence that lies between topics: between / (between + within).

    Topics are k-means clusters of the embeddings of what the prompts ask, the same for every view. 1 where each topic
    moves by its own amount, near 0 where topic does not matter. An adapter may rightly move all topics alike, so a
    value among the nulls warns and does not fail.
    """

    kind = "cluster_kl"
    axis = "signal"
    question = "Do some topics move more than others, as an adapter with a subject makes them?"
    unit = "share"
    passing = "the share beats every null and chance over all probes (WARN otherwise)"
    caveat = "topics are what the embeddings make of your prompts; a few prompts per topic are a coarse picture."
    options_type = ClusterKlOptions
    follows = (Embed(""),)
    quick = False
    rule = AboveNull("higher", fails=False)
    retired: ClassVar[Mapping[str, str]] = {
        "top_k": "divergences are exact over the vocabulary",
        "assert_z_gte": "z is shown, never the gate",
        "assert_specificity_gte": "the nulls decide, not a fixed share",
        "embedding_model": "engine.embedder names a GGUF embedding model",
    }

    @property
    def prompts(self) -> list[str]:
        """Prompts in use."""
        return self.drawn(self.held(self.prompts_of(self.options.prompts), NextToken), least=self._fewest)

    @property
    def _fewest(self) -> int:
        return max(self.options.min_prompts, 2 * self.options.num_clusters)

    def missing(self) -> str:
        """Enough prompts."""
        found, wanted = len(self.prompts), self._fewest
        return "" if found >= wanted else f"{found} prompts are too few to cluster; give {wanted} or more"

    def ask(self) -> Sequence[Query]:
        """The next token after each prompt."""
        return [NextToken(prompt) for prompt in self.prompts]

    def follow_up(self, base: Answers, own: Answers) -> Sequence[Query]:
        """Embeddings, which do not depend on the view, with the base's answers."""
        return [Embed(self.asked(prompt)) for prompt in self.prompts] if base is own else ()

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Divergence per prompt, split by topic."""
        divergence = BY_NAME[self.options.divergence]
        values = np.array([divergence(base.next_token(p), other.next_token(p)) for p in self.prompts])
        vectors = np.stack([base.embedding(self.asked(prompt)) for prompt in self.prompts])
        labels = clusters(vectors, self.options.num_clusters, seed=self.sources.seed)
        items = tuple(
            Item(self.label(prompt), float(value), {"cluster": int(label)}, asked=(prompt,))
            for prompt, value, label in zip(self.prompts, values, labels, strict=True)
        )
        topics = [self._topic(values, vectors, labels, label) for label in np.unique(labels)]
        strongest = max(topics, key=lambda topic: topic["mean"])
        return Measurement(
            specificity(values, labels),
            items,
            interval=False,
            notes=(
                f"most moved: {strongest['size']} prompts like {self.label(strongest['exemplar'])}",
                embedded_by(self.sources),
            ),
            details={"clusters": topics},
        )

    def _topic(self, values: NDArray[np.float64], vectors: LogProbs, labels: NDArray[np.int64], label: int) -> Topic:
        inside = np.flatnonzero(labels == label)
        middle = vectors[inside].mean(axis=0)
        nearest = inside[np.argmin(((vectors[inside] - middle) ** 2).sum(axis=1))]
        return Topic(size=int(inside.size), mean=float(values[inside].mean()), exemplar=self.prompts[int(nearest)])
