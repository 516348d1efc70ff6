"""YAML as specs use it: mappings, lists, text, numbers, true and false, null, and aliases. Knows YAML, no fields.

Everything else that YAML can say is refused by its line, and so is what grows: nesting, and aliases of aliases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.error import MarkedYAMLError
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sway_gguf.core.errors import UserError

MOST_BYTES = 4 << 20
"""Of a spec: PyYAML reads about 100 kB a second."""
_DEEPEST = 64
_MOST_NODES = 500_000
_LONGEST_NUMBER = 400
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_KINDS: dict[str, type[Node]] = {
    **{f"{_TAG}{name}": ScalarNode for name in ("null", "bool", "int", "float", "str", "merge")},
    f"{_TAG}seq": SequenceNode,
    f"{_TAG}map": MappingNode,
}


def parse_yaml(text: str, where: Path) -> Any:
    """What the text stands for; None for an empty one.

    Raises:
        UserError: not YAML, or YAML that no spec needs, with the line.
    """
    try:
        return yaml.load(text, _SpecLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML: {_problem(error)}") from None


def compose_yaml(text: str, where: Path) -> Node | None:
    """The text's nodes with their places in it.

    Raises:
        UserError: as `parse_yaml`.
    """
    try:
        return yaml.compose(text, _SpecLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML: {_problem(error)}") from None


class _SpecLoader(yaml.SafeLoader):
    """PyYAML's safe loader without dates and sets, and with bounds."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, form) for tag, form in known if tag in _KINDS]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """A node; an alias counts as often as it is used."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ConstructorError(None, None, f"nested more than {_DEEPEST} deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, AliasEvent) and id(node) not in self._sizes:
            raise ConstructorError(None, None, "an alias stands within what it names", mark)
        if node is not None and self._size(node) > _MOST_NODES:
            raise ConstructorError(None, None, f"more than {_MOST_NODES:,} values, aliases written out", mark)
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """A value whose tag is known and whose text is one of its kind."""
        if not isinstance(node, _KINDS.get(node.tag, ())):
            raise ConstructorError(None, None, f"the tag {node.tag!r} does not stand here in a spec", node.start_mark)
        if not isinstance(node, ScalarNode):
            return super().construct_object(node, deep=deep)
        kind = node.tag.removeprefix(_TAG)
        if kind in ("int", "float") and len(node.value) > _LONGEST_NUMBER:
            raise ConstructorError(None, None, f"a number of {len(node.value):,} digits", node.start_mark)
        try:
            value = super().construct_object(node, deep=deep)
            str(value).encode()
        except UnicodeEncodeError:
            raise ConstructorError(None, None, "half of a surrogate pair is no character", node.start_mark) from None
        except (ValueError, LookupError):
            problem = f"{node.value[:40]!r} is no {kind}"
            raise ConstructorError(None, None, problem, node.start_mark) from None
        if isinstance(value, str) and "\0" in value:
            raise ConstructorError(None, None, "a NUL character stands in a text", node.start_mark)
        return value

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping in which each key stands once."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, ScalarNode) else None
            if name in seen and key.tag != _MERGE:
                raise ConstructorError(None, None, f"the key {key.value[:40]!r} stands twice", key.start_mark)
            if name:
                seen.add(name)
        return super().construct_mapping(node, deep=deep)

    def _size(self, node: Node) -> int:
        """Values in a node with aliases written out; those of its parts are known."""
        if id(node) not in self._sizes:
            flat = [] if isinstance(node, ScalarNode) else list(node.value)
            if isinstance(node, MappingNode):
                flat = [part for pair in flat for part in pair]
            self._sizes[id(node)] = 1 + sum(self._sizes[id(part)] for part in flat)
        return self._sizes[id(node)]


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())[:200]
