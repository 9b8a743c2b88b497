"""Read a YAML text as plain data, with the place of every key, which error messages point at.

Scalars stay the texts that they were written as (an empty one, `~` and `null` are None). The models know which key is
a number, so nothing is guessed: a facility `0123` or `NO` is not changed, and `2023-01-01T00:00:00.123456789Z` keeps
its nine decimals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from omnia_beam.config.secrecy import show_key
from omnia_beam.core.errors import UsageError

Path = tuple[str | int, ...]
"""Keys and list indices from the root."""

# PyYAML's parser in C, where it is built in, reads a list of 100,000 ids in a fraction of a second instead of ten.
LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final = frozenset(
    f"{_CORE}{name}" for name in ("str", "int", "float", "bool", "timestamp", "merge", "value")
)
_MAX_DEPTH: Final = 50
_MAX_NODES: Final = 5_000_000  # aliases of aliases grow without bound in memory, not in the file


@dataclass(frozen=True, order=True)
class Place:
    """The place of a key: `job.yaml:12:3`, with lines and columns from 1, or `--set` without either.

    Places sort in the order in which problems are listed: the command line before the file, the file from top to bottom.
    """

    line: int
    column: int
    origin: str

    @classmethod
    def of(cls, mark: Any, origin: str) -> Place:
        return cls.on_command_line(origin) if origin.startswith("--") else cls(mark.line + 1, mark.column + 1, origin)

    @classmethod
    def on_command_line(cls, option: str) -> Place:
        return cls(0, 0, option)

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}:{self.column}" if self.line else self.origin


@dataclass
class Document:
    """The data of a configuration, with the place of each of its keys.

    Attributes:
        data: nested dicts, lists, texts and None.
        places: path -> the place of its key, or of its item in a list.
    """

    data: dict[str, Any]
    places: dict[Path, Place] = field(default_factory=dict)

    def place(self, path: Path) -> Place:
        """Return the place of the key at `path`, or of the nearest one above it that has a place."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return Place.on_command_line("the configuration")


def parse_document(text: str, origin: str) -> Document:
    """Read one YAML mapping.

    Args:
        text: the YAML.
        origin: the file's name, for messages.

    Raises:
        UsageError: bad YAML, not a mapping, duplicate keys, unknown tags: one line for each problem, with line and
            column (from 1). The text itself is never quoted, since it may hold what should not be there.
    """
    root = _compose(text, origin)
    if root is None:
        raise UsageError(f"{origin}: the configuration is empty; it needs at least name, source, sink and state")
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(
            f"{_at(root, origin)}: the configuration must be a mapping of keys to values, such as `name: x`"
        )
    reader = _Reader(origin)
    document = Document(reader.mapping(root, ()), reader.places)
    document.places[()] = _at(root, origin)
    if reader.problems:
        raise UsageError("\n".join(reader.problems), problems=tuple(reader.problems))
    return document


def parse_value(text: str, origin: str) -> Any:
    """Read one YAML value, as `--set` gives it.

    Text that is not valid YAML but plainly meant as text stays text: `*PT*` would otherwise name an alias.

    Raises:
        UsageError: a list, mapping or quoted text that is not closed, or a duplicate key in it.
    """
    try:
        node = _compose(text, origin)
    except UsageError:
        if text.lstrip()[:1] in ("[", "{", '"', "'"):
            raise
        return text
    if node is None:
        return None
    reader = _Reader(origin)
    value = reader.value(node, ())
    if reader.problems:
        raise UsageError("\n".join(reader.problems), problems=tuple(reader.problems))
    return value


def _compose(text: str, origin: str) -> yaml.Node | None:
    problem: str
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=LOADER)
        return node
    except yaml.MarkedYAMLError as error:
        problem = _syntax_problem(error, origin)
    except yaml.YAMLError as error:
        problem = f"{origin}: not valid YAML: {getattr(error, 'reason', 'a character that YAML does not admit')}"
    except RecursionError:
        problem = f"{origin}: not valid YAML: nested too deeply"
    # Raised outside of the except blocks: PyYAML's errors carry pieces of the text, and would be the context of this one.
    raise UsageError(problem)


def _syntax_problem(error: yaml.MarkedYAMLError, origin: str) -> str:
    # PyYAML quotes names out of the text ("undefined alias 'abc'"); one may be a password that begins with a star.
    problem = re.sub(r"(alias|anchor|handle|tag) (['\"]).*\2", r"\1", error.problem or "cannot be read")
    mark = error.problem_mark or error.context_mark
    place = Place.of(mark, origin) if mark else origin
    context = f" {error.context}" if error.context and "'" not in error.context else ""
    hint = (
        "; quote a text that begins with *, &, @, %, ! or a bracket" if "alias" in problem or "token" in problem else ""
    )
    return f"{place}: not valid YAML: {problem}{context}{hint}"


def _at(node: yaml.Node, origin: str) -> Place:
    return Place.of(node.start_mark, origin)


class _Reader:
    """Turns nodes into data, and collects places and problems while it does so."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.places: dict[Path, Place] = {}
        self.problems: list[str] = []
        self._nodes = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if len(path) > _MAX_DEPTH or self._nodes > _MAX_NODES:
            # An alias that contains itself has no end either.
            raise UsageError(
                f"{_at(node, self.origin)}: nested too deeply, or aliases that repeat themselves without end"
            )
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, path)
        return self._scalar(node)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self._check_tag(node, f"{_CORE}map")
        data: dict[str, Any] = {}
        own: dict[str, Place] = {}
        for key_node, value_node, merged in self._own_last(node):
            key = self._key(key_node, path)
            if key is None:
                continue
            place = _at(key_node, self.origin)
            if key in own and not merged:
                shown = show_key((*path, key))
                self.problems.append(
                    f"{place}: {shown}: the key is given twice, first at {own[key]}; keep one of the two"
                )
                continue
            if not merged:
                own[key] = place
            data[key] = self.value(value_node, (*path, key))
            self.places[(*path, key)] = place
        return data

    def _own_last(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Yield (key, value, merged), those of merged mappings (`<<: *name`) first, so that the mapping's own keys replace them."""
        for key_node, value_node in node.value:
            if key_node.tag == f"{_CORE}merge":
                yield from ((key, value, True) for key, value in self._merged(value_node))
        for key_node, value_node in node.value:
            if key_node.tag != f"{_CORE}merge":
                yield key_node, value_node, False

    def _merged(self, node: yaml.Node, depth: int = 0) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        if isinstance(node, yaml.MappingNode) and depth < _MAX_DEPTH:
            for key_node, value_node in node.value:
                if key_node.tag == f"{_CORE}merge":
                    yield from self._merged(value_node, depth + 1)
            yield from ((key, value) for key, value in node.value if key.tag != f"{_CORE}merge")
        elif isinstance(node, yaml.SequenceNode) and depth < _MAX_DEPTH:
            for item in reversed(node.value):  # the first in the list wins
                yield from self._merged(item, depth + 1)
        else:
            self.problems.append(f"{_at(node, self.origin)}: <<: only a mapping, or a list of them, can be merged in")

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            self._check_tag(node, f"{_CORE}null", *_SCALAR_TAGS)
            return str(node.value)
        place = ".".join(map(str, path)) or "the configuration"
        self.problems.append(
            f"{_at(node, self.origin)}: {place}: a key must be a text; quote it if it begins with a bracket"
        )
        return None

    def _sequence(self, node: yaml.SequenceNode, path: Path) -> list[Any]:
        self._check_tag(node, f"{_CORE}seq")
        items: list[Any] = []
        for index, item in enumerate(node.value):
            self.places[(*path, index)] = _at(item, self.origin)
            items.append(self.value(item, (*path, index)))
        return items

    def _scalar(self, node: yaml.Node) -> str | None:
        if node.tag == f"{_CORE}null":
            return None
        self._check_tag(node, *_SCALAR_TAGS)
        return str(node.value)

    def _check_tag(self, node: yaml.Node, *known: str) -> None:
        if node.tag not in known:
            self.problems.append(
                f"{_at(node, self.origin)}: a YAML tag (an exclamation mark) has no meaning here; quote the text"
            )


def apply_setting(document: Document, dotted: str, value: Any, origin: str) -> None:
    """Set one key in `document`, and create the mappings on the way to it.

    Args:
        dotted: the key's path, such as `source.series.ids.0`; a number is a place in a list, the list's length
            appends to it.
        value: plain data, as `parse_value` returns it.
        origin: what a message about the key begins with, such as `--set`.

    Raises:
        UsageError: a path through something that is neither a mapping nor a list, or past a list's end.
    """
    parts = dotted.split(".")
    if not all(parts):
        raise UsageError(f"{origin}: {dotted!r} is not the path of a key; write --set source.rate.max_in_flight=4")
    path: Path = ()
    holder: Any = document.data
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if isinstance(holder, list):
            index = _index(holder, part, path, origin)
            path = (*path, index)
            if index == len(holder):
                holder.append(None)
            if not last and not isinstance(holder[index], dict | list):
                holder[index] = _container(holder[index], path, origin)
            if last:
                holder[index] = value
            holder = holder[index]
        else:
            path = (*path, part)
            if not last and not isinstance(holder.get(part), dict | list):
                holder[part] = _container(holder.get(part), path, origin)
            if last:
                holder[part] = value
            holder = holder[part]
        if last or path not in document.places:
            document.places[path] = Place.on_command_line(origin)
    for known in [known for known in document.places if len(known) > len(path) and known[: len(path)] == path]:
        del document.places[known]


def remove_setting(document: Document, path: Path, origin: str) -> bool:
    """Remove a key that this origin set to nothing from `document`. Returns whether there was such a key."""
    place = document.places.get(path)
    if not path or place is None or place.origin != origin:
        return False
    holder: Any = document.data
    for part in path[:-1]:
        holder = holder[part]
    if not isinstance(holder, dict) or holder.get(str(path[-1]), "") is not None:
        return False
    del holder[path[-1]]
    return True


def _index(holder: list[Any], part: str, path: Path, origin: str) -> int:
    if part.isascii() and part.isdigit() and int(part) <= len(holder):
        return int(part)
    raise UsageError(
        f"{origin}: {show_key(path)} is a list of {len(holder)}; {show_key((part,))} is no index of it: "
        f"use 0 to {len(holder)} ({len(holder)} appends)"
    )


def _container(value: Any, path: Path, origin: str) -> dict[str, Any]:
    if value is None:
        return {}
    raise UsageError(f"{origin}: {show_key(path)} holds a value, not keys: no key can be set below it")


def walk(data: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield every (path, value) of plain data, mappings and lists themselves included, parents first."""
    stack: list[tuple[Path, Any]] = [((), data)]
    while stack:
        path, value = stack.pop()
        yield path, value
        if isinstance(value, Mapping):
            stack.extend((((*path, key), item) for key, item in reversed(list(value.items()))))
        elif isinstance(value, list):
            stack.extend(((*path, at), value[at]) for at in reversed(range(len(value))))
