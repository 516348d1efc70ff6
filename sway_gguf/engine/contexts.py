"""A pool of llama.cpp contexts and the adapters that each carries.

Making a context is cheap beside loading a model but not free: the latest shapes are kept. Adapters are put on
a context only when a batch is about to run there. Knows nothing of queries.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any, NamedTuple

from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.lora_write import lora_in_memory
from sway_gguf.artifacts.null import null_of
from sway_gguf.artifacts.stack import Adapted, Stack, as_stack
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.views import NullView, ScaledView, SetPart, View, is_rerun
from sway_gguf.engine.context import Context, Running
from sway_gguf.engine.crew import Crew
from sway_gguf.engine.doors import is_base
from sway_gguf.engine.interrupt import go_on
from sway_gguf.engine.limits import manner_of
from sway_gguf.engine.llama import Model
from sway_gguf.engine.packing import Limits
from sway_gguf.engine.reading import Manner
from sway_gguf.engine.timing import Decoder, OnBatch, TimedDecoder

_KEPT_CELLS = 32768
"""Tokens of KV cache kept over all shapes."""


class Shape(NamedTuple):
    """What a context was made for; the companion runs the base beside a view."""

    streams: int
    length: int
    limits: Limits
    unified: bool = False
    companion: bool = False

    @property
    def cells(self) -> int:
        """Tokens of KV cache."""
        return self.length if self.unified else self.streams * self.length


class ContextPool:
    """Contexts by shape, each with the view whose adapters it carries.

    Args:
        model, settings: what contexts are made of.
        adapter: the real one, or a set of them.
        rounding: what the base's rerun carries, if anything.
        crew: knows the threads, where they are shared with others; without it the settings do.

    Attributes:
        on_batch: called with the time of each batch; None where nobody wants it.
        kind: of the queries being answered, for `on_batch`.
    """

    def __init__(
        self,
        model: Model,
        settings: EngineSettings,
        adapter: Adapted | None,
        rounding: LoraAdapter | None = None,
        crew: Crew | None = None,
    ) -> None:
        self._model = model
        self._settings = settings
        self._stack = None if adapter is None else as_stack(adapter)
        self._contexts: OrderedDict[Shape, Context] = OrderedDict()
        self._carries: dict[Shape, View] = {}
        self._rounding = rounding
        self._crew = crew
        self._real: dict[int, Any] = {}
        self._negligible: Any | None = None
        self._null: Running | None = None
        self._drawn: NullView | None = None
        self.on_batch: OnBatch | None = None
        self.kind = ""

    def cleared(
        self,
        view: View,
        streams: int,
        length: int,
        limits: Limits,
        *,
        unified: bool = False,
        companion: bool = False,
    ) -> Decoder:
        """An empty context of this shape that runs `view`; two of a shape exist at once if one is a companion."""
        shape = Shape(streams, length, limits, unified, companion)
        if shape not in self._contexts:
            self._make_room(shape.cells, keep=shape._replace(companion=not companion))
            self._contexts[shape] = self._new(shape)
        self._contexts.move_to_end(shape)
        context = self._contexts[shape]
        context.clear()
        if self._crew:
            context.use_threads(self._crew.threads)
        if self._carries.get(shape) != view:
            # Before anything else: another null's, which is freed for it, has to be off this context too by then.
            running = self._running(view)
            self._carries.pop(shape, None)
            context.set_adapters(running)
            self._carries[shape] = view
        return TimedDecoder(context, str(view), self.kind, self.on_batch) if self.on_batch else context

    def drop_null(self) -> None:
        """Take the null adapter off every context that carries it, and free it."""
        for shape, carried in list(self._carries.items()):
            if isinstance(carried, NullView):
                self._contexts[shape].set_adapters(())
                del self._carries[shape]
        null, self._null, self._drawn = self._null, None, None  # Who is stopped as it is freed frees it no second time.
        if null is not None:
            self._model.free_adapter(null.handle)

    def swap(self, stack: Stack) -> None:
        """Put other adapters of the same base in the place of the real ones; contexts are made anew."""
        self.rest()
        self.drop_null()
        self._free_real()
        self._stack = stack

    @property
    def manner(self) -> Manner:
        """How prompts are read here."""
        return manner_of(self._settings)

    @property
    def cells(self) -> int:
        """Tokens of KV cache over all contexts."""
        return sum(shape.cells for shape in self._contexts)

    def rest(self) -> None:
        """Release all contexts; they are made anew when they are needed."""
        for context in self._contexts.values():
            context.close()
        self._contexts.clear()
        self._carries.clear()

    def close(self) -> None:
        """Release contexts and adapters; the model may go on without them."""
        self.rest()
        self.drop_null()
        self._free_real()
        handle, self._negligible = self._negligible, None
        if handle is not None:
            self._model.free_adapter(handle)

    def _free_real(self) -> None:
        while self._real:
            self._model.free_adapter(self._real.popitem()[1])

    def _new(self, shape: Shape) -> Context:
        return self._model.context(
            streams=shape.streams,
            length=shape.length,
            unified=shape.unified,
            batch=shape.limits.batch,
            ubatch=self._settings.ubatch,
            outputs=shape.limits.outputs,
            threads=self._settings.threads,
            kv_type=self._settings.kv_type,
            flash_attention=self._settings.flash_attention,
        )

    def _make_room(self, cells: int, keep: Shape) -> None:
        """Close the contexts longest unused, but not `keep`: its companion is about to run beside it."""
        for shape in list(self._contexts):
            if cells + self.cells <= _KEPT_CELLS:
                return
            if shape != keep:
                self._carries.pop(shape, None)
                self._contexts.pop(shape).close()

    def _running(self, view: View) -> tuple[Running, ...]:
        """The view's adapters, loaded when first needed."""
        if is_rerun(view) and self._rounding is not None:
            if self._negligible is None:
                self._negligible = self._loaded(self._rounding)
            return (Running(self._negligible, 1.0),)
        if is_base(view):
            return ()
        assert self._stack is not None
        if isinstance(view, NullView):
            held = [place for place, member in enumerate(self._stack.members) if member.held]
            null = self._null_of(view, self._stack.turned)
            return (*(self._member(place, self._stack, 1.0) for place in held), null)
        if isinstance(view, SetPart):
            return tuple(self._member(place, self._stack, 1.0) for place in view.places)
        assert isinstance(view, ScaledView)
        return tuple(self._member(place, self._stack, view.scale) for place in range(len(self._stack.members)))

    def _member(self, place: int, stack: Stack, times: float) -> Running:
        """One of the set, at its scale times λ. A file that stands there twice is loaded twice: llama.cpp runs a handle
        once."""
        member = stack.members[place]
        if place not in self._real:
            self._real[place] = self._loaded(member.adapter)
        return Running(self._real[place], member.scale * times)

    def _null_of(self, view: NullView, stack: Stack) -> Running:
        if self._null is None or self._drawn != view:  # whoever evaluates unit by unit leaves no view in between
            self.drop_null()
            if not all(pair.finite for adapter in stack.adapters for pair in adapter.pairs):
                raise NonFiniteError(str(view), "any text: it would be drawn from factors that are not finite")
            null = null_of(stack, view.seed, view.design, go_on)
            self._null = Running(self._loaded(replace(null.adapter, in_file=False)), null.scale)
            self._drawn = view
        return self._null

    def _loaded(self, adapter: LoraAdapter) -> Any:
        if adapter.in_file:
            return self._model.load_adapter(adapter.path)
        with lora_in_memory(adapter) as path:
            return self._model.load_adapter(path)
