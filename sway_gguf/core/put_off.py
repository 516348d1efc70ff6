"""Packages of which nothing runs before something beside their submodules is wanted.

Some packages import all of themselves, and others, at their start, where we want one submodule. Knows import machinery;
not what any package is for.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_afterwards: dict[str, Callable[[], object]] = {}
_own: dict[str, str] = {}
_running = threading.local()


class _PutOff(ModuleType):
    """A package whose own code runs when a name of it is looked up that no submodule has brought."""

    def __getattr__(self, name: str) -> Any:
        # What a submodule wants as it is imported must not run the package, which would get half of that submodule.
        if (submodule := sys.modules.get(f"{self.__name__}.{name}")) is not None:
            return submodule
        own = sys.modules.get(f"{self.__name__}.{_own[self.__name__]}")
        if own is not None and name in vars(own) and not name.startswith("_"):
            return vars(own)[name]
        if getattr(_running, self.__name__, False):  # As of any module that is halfway through its code.
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        setattr(_running, self.__name__, True)
        try:
            # Two threads that come here at once run it twice over one namespace: a lock could wait for an import's own,
            # and that for it. It does for packages that take back no name at their end.
            self.__spec__.loader.exec_module(self)
        finally:
            setattr(_running, self.__name__, False)
        self.__class__ = ModuleType  # type: ignore[assignment]
        _afterwards[self.__name__]()
        return getattr(self, name)


def put_off(name: str, afterwards: Callable[[], object] = lambda: None, own: str = "") -> None:
    """Let submodules of a package be imported without it; one that is loaded or not there is left alone.

    Whoever wants something of the package itself gets all of it, as ever; our own files name the submodule.

    Args:
        name: of the package.
        afterwards: called once its own code has run.
        own: submodule whose public names are the package's own as well; they are found without it.
    """
    if name in sys.modules or (found := find_spec(name)) is None:
        return
    package = module_from_spec(found)
    package.__class__ = _PutOff
    _afterwards[name], _own[name] = afterwards, own
    sys.modules[name] = package
