"""The errors that this package raises, for `except`; each says in its message what is wrong and how to mend it."""

from __future__ import annotations

from sway_gguf.core.errors import EngineError, NonFiniteError, UnknownNameError, UserError, ViewError

__all__ = ["EngineError", "NonFiniteError", "UnknownNameError", "UserError", "ViewError"]
