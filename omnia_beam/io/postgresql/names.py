"""Names and literals of SQL, quoted so that any text is safe in a statement."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_PART: Final = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


def identifier(name: str) -> str:
    """Return a name as SQL spells it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a literal, for connections with standard_conforming_strings, which this package sets."""
    return "'" + text.replace("'", "''") + "'"


def text_array(texts: Iterable[str]) -> str:
    """Return texts as an array of SQL."""
    return f"array[{', '.join(map(literal, texts))}]::text[]"


@dataclass(frozen=True, slots=True)
class TableName:
    """The name of a table.

    Args:
        schema: None for the first of the search path that has the table.
        table: as the catalog spells it.

    Examples:
        >>> TableName.parse("plant.readings").sql
        '"plant"."readings"'
        >>> str(TableName.parse('"odd.schema".t'))
        'odd.schema.t'
    """

    schema: str | None
    table: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Return the name that a text gives, with or without double quotes.

        Raises:
            ValueError: it is no name of a table.
        """
        parts: list[str] = []
        at = 0
        while found := _PART.match(text, at):
            quoted, plain = found.groups()
            parts.append(quoted.replace('""', '"') if quoted is not None else plain)
            at = found.end()
            if text[at : at + 1] != ".":
                break
            at += 1
        if at != len(text) or not 1 <= len(parts) <= 2 or text.endswith("."):
            raise ValueError("is not the name of a table: write table or schema.table")
        return cls(parts[0] if len(parts) == 2 else None, parts[-1])

    @property
    def sql(self) -> str:
        """The name as SQL spells it."""
        return identifier(self.table) if self.schema is None else f"{identifier(self.schema)}.{identifier(self.table)}"

    @property
    def sql_beside_parameters(self) -> str:
        """The same for a statement with parameters, in which a percent sign has a meaning."""
        return self.sql.replace("%", "%%")

    def __str__(self) -> str:
        return self.table if self.schema is None else f"{self.schema}.{self.table}"
