"""Reads a pickle of containers, numbers and text, opcode by opcode; names and stored objects are the caller's to give.

Python's own unpickler believes the file: a memo index of four billion takes all memory, and a key of tuples within
tuples is hashed for ever. Here a pickle costs what its length allows. Knows opcodes; not what a name means.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any

_MOST_OPCODES = 8_000_000
_MOST_BITS = 64
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_GIVEN = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
"""Opcodes that carry the value itself."""
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class PickleError(ValueError):
    """The bytes are no pickle, or one that holds more than data."""


def load_plain(data: bytes, find: Callable[[str, str], Any], stored: Callable[[Any], Any]) -> Any:
    """What a pickle of any protocol holds.

    Args:
        data: the pickle, whole.
        find: gives what (module, name) stands for, a function to be called or a value; raises for one it does not know.
        stored: gives the object that a persistent id stands for.

    Raises:
        PickleError: damaged, too long, or with an opcode that no data needs.
    """
    machine = _Machine(find, stored)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count == _MOST_OPCODES:
                raise PickleError(f"more than {_MOST_OPCODES:,} opcodes")
            machine.step(opcode.name, argument)
        return machine.pop()
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise PickleError(str(error) or type(error).__name__) from error


class _Machine:
    """The stack on which a pickle builds its object."""

    def __init__(self, find: Callable[[str, str], Any], stored: Callable[[Any], Any]) -> None:
        self._find, self._stored = find, stored
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._steps: Mapping[str, Callable[[], None]] = {
            "MARK": self._mark,
            "POP": self._drop,
            "POP_MARK": self._drop_to_mark,
            "LIST": lambda: self._push(self._to_mark()),
            "TUPLE": lambda: self._push(tuple(self._to_mark())),
            "EMPTY_LIST": lambda: self._push([]),
            "EMPTY_DICT": lambda: self._push({}),
            "DICT": self._dict,
            "APPEND": lambda: self._extend([self.pop()]),
            "APPENDS": lambda: self._extend(self._to_mark()),
            "SETITEM": lambda: self._update(self._last(2)),
            "SETITEMS": lambda: self._update(self._to_mark()),
            "MEMOIZE": lambda: self._keep(len(self._memo)),
            "STACK_GLOBAL": lambda: self._name(*self._last(2)),
            "BINPERSID": lambda: self._push(self._stored(self.pop())),
            "REDUCE": self._reduce,
            "BUILD": self._drop,
        }

    def step(self, name: str, argument: Any) -> None:
        """Do one opcode."""
        if name in self._steps:
            self._steps[name]()
        elif name in _CONSTANTS:
            self._push(_CONSTANTS[name])
        elif name in _GIVEN:
            if isinstance(argument, int) and argument.bit_length() > _MOST_BITS:
                raise PickleError(f"an integer of more than {_MOST_BITS} bits")
            self._push(argument)
        elif name in _TUPLES:
            self._push(tuple(self._last(_TUPLES[name])))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._keep(argument)
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._push(self._memo[argument])
        elif name == "GLOBAL":
            self._name(*argument.split(" ", 1))
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise PickleError(f"the opcode {name} stands in no file of tensors")

    def pop(self) -> Any:
        """The top of the stack."""
        return self._stack.pop()

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _last(self, count: int) -> list[Any]:
        """The topmost values, in the order in which they were pushed."""
        return [self.pop() for _ in range(count)][::-1]

    def _keep(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _to_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _drop(self) -> None:
        self.pop()

    def _drop_to_mark(self) -> None:
        self._to_mark()

    def _dict(self) -> None:
        items = self._to_mark()
        self._push({})
        self._update(items)

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise PickleError("items without a list")
        self._stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise PickleError("keys and values without a mapping")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int):
                raise PickleError(f"a key of type {type(key).__name__}")
            target[key] = value

    def _name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("a name that is no text")
        self._push(self._find(module, name))

    def _reduce(self) -> None:
        called, arguments = self._last(2)
        if not isinstance(arguments, tuple) or not callable(called):
            raise PickleError("a call of what is no function")
        self._push(called(*arguments))
