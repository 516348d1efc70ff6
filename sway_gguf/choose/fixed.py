"""What is loaded beside every candidate of a pick: adapters that ship already, each at its scale.

A candidate is then seen as the set of these and itself. Knows files and sets; measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.stack import Adapted, Member, Stack, read_stack
from sway_gguf.core.errors import UserError
from sway_gguf.core.loras import Lora, Loras, short_names
from sway_gguf.core.sections import Section, distinct
from sway_gguf.core.views import TUNED, ScaledView, View
from sway_gguf.engine.identity import adapter_digest
from sway_gguf.spec.models import MOST_ADAPTERS, AdapterSpec
from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.suite.speech import Speech
from sway_gguf.suite.texts import own_text


@dataclass(frozen=True)
class Fixed:
    """The adapters that are there in any case; none of them for a pick among adapters alone.

    Nulls turn the candidate and leave these as they are. Were the set turned as a whole, a candidate that learned
    nothing would beat its nulls by what these have learned.

    Attributes:
        loras: as named.
        members: the same, read; all of them held.
        hashes: sha256 of each file.
        digests: names, by what identifies an adapter whatever its file is called.
        own: by file, text of what an adapter taught, on which is told what a candidate takes from it.
    """

    loras: Loras = ()
    members: tuple[Member, ...] = ()
    hashes: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[Path, tuple[Section, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What reports call them; "" for none."""
        return " + ".join(short_names(self.loras))

    @property
    def alone(self) -> Stack | None:
        """The set without any candidate; None where there is none."""
        return Stack(self.members) if self.members else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """On which adapter of a folder was taken."""
        return Stack(self.members).said

    def beside(self, adapter: LoraAdapter, scale: float) -> tuple[Adapted, View]:
        """What is loaded for a candidate at a scale, and the view of it that is asked."""
        if not self.members:
            return adapter, ScaledView(scale)
        return Stack((*self.members, Member(adapter, scale))), TUNED

    def with_texts(self, members: Sequence[AdapterSpec], speech: Speech) -> Fixed:
        """The same with what some of these adapters were trained on, put as the pick's format has it.

        Raises:
            UserError: a file cannot be read, or holds too little.
        """
        own = {member.path: distinct(own_text(member, speech)) for member in members if member.data}
        for path, sections in own.items():
            if len(sections) < MIN_ITEMS:
                raise UserError(f"--data-of {path}: {len(sections)} items leave no interval; give {MIN_ITEMS} or more")
        return replace(self, own=own)

    def held_with(self, stack: Stack) -> Stack:
        """The set that is held against nulls of `stack`, a candidate at its scale."""
        return Stack((*self.members, *stack.members))


NOTHING = Fixed()


def read_fixed(loras: Sequence[Lora], base: BaseModel) -> Fixed:
    """Read or convert them all.

    Raises:
        UserError: one cannot be read, does not fit `base` or does nothing, or there are too many.
    """
    if len(loras) >= MOST_ADAPTERS:
        raise UserError(f"{len(loras)} adapters beside each candidate; at most {MOST_ADAPTERS} are run together")
    if idle := next((lora for lora in loras if lora.scale == 0.0), None):
        raise UserError(f"{idle}: at scale 0 it does nothing beside a candidate; leave it out, or give another scale")
    if not loras:
        return NOTHING
    stack, names = read_stack(loras, base), short_names(loras)
    return Fixed(
        loras=tuple(loras),
        members=tuple(Member(member.adapter, member.scale, held=True) for member in stack.members),
        hashes=tuple(sha256_of(adapter.path) for adapter in stack.adapters),
        digests={adapter_digest(each): name for each, name in zip(stack.adapters, names, strict=True)},
    )
