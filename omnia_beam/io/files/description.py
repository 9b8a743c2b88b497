"""Describe a folder of source files from their content: layout, delimiter, encoding, times, columns, first and last time.

`check` prints the description with the keys that would change it; `init` writes out what `discovered_keys` finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from omnia_beam.core.errors import UsageError
from omnia_beam.core.text import counted, one_line
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.io.facts import FileFacts
from omnia_beam.io.files.blocks import BlockFile
from omnia_beam.io.files.catalog import FileCatalog
from omnia_beam.io.files.compressed import compression_of
from omnia_beam.io.files.forms import FileSource, file_source
from omnia_beam.io.files.found import SourceFile, list_files
from omnia_beam.io.files.index import FileIndex, index_file
from omnia_beam.io.files.options import CsvSource, ParquetSource

_WHOLE_BYTES: Final = 64 << 20
"""Total bytes up to which files are read whole; beyond it, the first blocks of 20 files are read."""

_EXPANDS: Final = 8
"""Bytes of content that a byte of a compressed file is estimated to hold."""

_LOOKED_AT: Final = 20
_SHOWN: Final = 8

_KEYS: Final[Mapping[str, str]] = {
    "layout": "source.layout",
    "delimiter": "source.delimiter",
    "encoding": "source.encoding",
    "times": "source.time_format, source.timezone",
}
_PARQUET_KEYS: Final = {"times": "source.time_unit, source.time_format, source.timezone"}
_COLUMN_KEYS: Final = {
    "csv": "source.time_column, series_column, value_column, status_column, quality_columns",
    "parquet": "source.columns",
}

_TIME_FORMATS: Final = (
    None,
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%d-%b-%y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
    "%d-%b-%y %H:%M:%S.%f",
    "%d-%b-%Y %H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y%m%d%H%M%S",
    "%Y%m%d %H%M%S",
    "epoch_s",
    "epoch_ms",
    "epoch_us",
    "epoch_ns",
    "excel",
)
"""Formats in which exports write times, the likelier first; None is RFC 3339."""

_PLAUSIBLE_NS: Final = (parse_time("1985-01-01T00:00:00Z"), parse_time("2100-01-01T00:00:00Z"))
"""Times that are accepted as plausible, ns: epochs read in a wrong unit lie outside."""

_SWAPPED: Final = {"%d/%m/": "%m/%d/", "%m/%d/": "%d/%m/"}


@dataclass(frozen=True)
class FilesDescription:
    """What files were found to be.

    Args:
        kind: of the source.
        files, size: their number, and their bytes.
        whole: whether all of them were read; if not, times and series are those of the files that were.
        facts: of the first file with points.
        series: the names that were found.
        span: first and last time, ns; None without points.
        others: what differs in other files, a text each.
        warnings: of the files.
    """

    kind: str
    files: int
    size: int
    whole: bool
    facts: FileFacts = field(default_factory=FileFacts)
    series: tuple[str, ...] = ()
    span: tuple[int, int] | None = None
    others: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the description for people, with the keys that would change it, a line each."""
        keys = _KEYS if self.kind == "csv" else _PARQUET_KEYS
        seen = "" if self.whole else "; of the files that were inspected:"
        lines = [f"{counted(self.files, 'file')}, {self.size / 1e6:,.1f} MB{seen}"]
        form = [f"{name} {value}" for name, value in self.facts.form.items() if name in keys]
        if form:
            lines.append(f"{', '.join(form)} (change it by {', '.join(keys.values())})")
        if self.facts.columns:
            lines.append(f"columns: {self._columns()} (change it by {_COLUMN_KEYS[self.kind]})")
        shown = ", ".join(self.series[:_SHOWN]) + (", …" if len(self.series) > _SHOWN else "")
        lines.append(f"{len(self.series):,} series{f': {shown}' if shown else ''}")
        if self.span is not None:
            lines.append(f"first time {format_time(self.span[0])}, last time {format_time(self.span[1])}")
        lines.extend(self.others)
        lines.extend(f"warning: {text}" for text in self.warnings)
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        first, last = (None, None) if self.span is None else (format_time(each) for each in self.span)
        return {
            "files": self.files,
            "bytes": self.size,
            "looked_at_all": self.whole,
            "form": dict(self.facts.form),
            "columns": [list(each) for each in self.facts.columns],
            "series": len(self.series),
            "first_time": first,
            "last_time": last,
            "differences": list(self.others),
            "warnings": list(self.warnings),
        }

    def _columns(self) -> str:
        shown = [f"{name} = {meaning}" for name, meaning in self.facts.columns[:_SHOWN]]
        more = len(self.facts.columns) - _SHOWN
        return ", ".join(shown) + (f", … {more} more" if more > 0 else "")


def describe_files(source: CsvSource | ParquetSource) -> FilesDescription:
    """Read the files of a source and describe them: all of them where they are small together, otherwise the start of some.

    Raises:
        UsageError: a path without a file, or something that cannot be read: file, line, column, value.
    """
    requested = file_source(source)
    files = list_files(requested.paths)
    whole = sum(file.size * (1 if compression_of(file.path) is None else _EXPANDS) for file in files) <= _WHOLE_BYTES
    chosen = files if whole else tuple(dict.fromkeys((*files[: _LOOKED_AT - 1], files[-1])))
    looks = [(file, *(_of_index(index_file(requested, file)) if whole else _begin(requested, file))) for file in chosen]
    return _description(source.kind, files, whole, looks)


def describe_catalog(kind: str, catalog: FileCatalog) -> FilesDescription:
    """Describe files that have all been read into a catalog."""
    return _description(kind, catalog.files, True, [(index.file, *_of_index(index)) for index in catalog.indexes])


_Look = tuple[FileFacts, tuple[str, ...], tuple[int, int] | None]


def _description(
    kind: str, files: Sequence[SourceFile], whole: bool, looks: Sequence[tuple[SourceFile, *_Look]]
) -> FilesDescription:
    first = next((facts for _, facts, _, span in looks if span is not None), looks[0][1])
    spans = [span for *_, span in looks if span is not None]
    return FilesDescription(
        kind,
        len(files),
        sum(file.size for file in files),
        whole,
        first,
        tuple(sorted({name for _, _, names, _ in looks for name in names})),
        (min(each[0] for each in spans), max(each[1] for each in spans)) if spans else None,
        tuple(_differences(first, [(file, facts) for file, facts, *_ in looks])),
        tuple(text for _, facts, *_ in looks for text in facts.warnings),
    )


def _of_index(index: FileIndex) -> _Look:
    span = None if index.range is None else (index.range.start_ns, index.range.end_ns - 1)
    return index.about, index.series, span


def _begin(source: FileSource, file: SourceFile) -> _Look:
    with BlockFile(source, file.path) as opened:
        _, points = next(opened.blocks(), (None, {}))
        times = [each.times for each in points.values() if len(each.times)]
        span = (min(int(each.min()) for each in times), max(int(each.max()) for each in times)) if times else None
        return opened.notes.file_facts(), tuple(points), span


def _differences(first: FileFacts, looks: list[tuple[SourceFile, FileFacts]]) -> Iterator[str]:
    for name, value in first.form.items():
        others = [(file, facts.form[name]) for file, facts in looks if facts.form.get(name, value) != value]
        if others:
            file, other = others[0]
            have = "has" if len(others) == 1 else "have"
            yield f"{counted(len(others), 'file')} {have} another {name}, such as {file.path}: {other}"


def discovered_keys(kind: str, paths: tuple[str, ...]) -> tuple[dict[str, Any], FilesDescription | None]:
    """Find keys of a source under which its files can be read, by trying one set after the other on the files themselves.

    Args:
        kind: `csv` or `parquet`.
        paths: files and globs.

    Returns:
        The keys besides `kind` and `path` that are no defaults, and the description of the files with them; None for the
        latter where no set could read them. Where day and month could be swapped, `others` says so.

    Raises:
        UsageError: a path without a file.
    """
    list_files(paths)
    for keys in _tries(kind):
        given = {name: value for name, value in keys.items() if value is not None}
        found = _tried(kind, paths, given)
        if found is None:
            continue
        pattern = str(given.get("time_format", ""))
        other = _SWAPPED.get(pattern[:6])
        if other is not None and _tried(kind, paths, {**given, "time_format": other + pattern[6:]}) is not None:
            text = f"day and month could be the other way round ({other + pattern[6:]}): check a day after the 12th"
            found = replace(found, others=(*found.others, text))
        return given, found
    return {}, None


def starter_keys(kind: str, paths: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """Return keys of a source, and the description of its files, for a first job.

    Raises:
        UsageError: a path without a file.
    """
    keys, seen = discovered_keys(kind, paths)
    given = {"path": list(paths) if len(paths) > 1 else paths[0], **keys}
    if seen is None:
        return given, [
            "The files cannot be read as they are: omnia-beam check names the first place and the key to set."
        ]
    return given, [one_line(line) for line in seen.lines()]


def _tried(kind: str, paths: tuple[str, ...], given: Mapping[str, Any]) -> FilesDescription | None:
    """Describe the files as these keys read them; None where they cannot be read so, or give implausible times."""
    model: Any = CsvSource if kind == "csv" else ParquetSource
    try:
        found = describe_files(model.model_validate({"kind": kind, "path": list(paths), **given}))
    except UsageError:
        return None
    return found if found.span is not None and _is_plausible(found.span) else None


def _tries(kind: str) -> Iterator[dict[str, Any]]:
    if kind == "parquet":
        for unit in (None, "ms", "s", "us"):
            yield {"time_unit": unit}
        yield from ({"time_format": pattern} for pattern in _TIME_FORMATS[1:])
        return
    for encoding in (None, "cp1252"):
        for decimal in (None, ","):
            for pattern in _TIME_FORMATS:
                yield {"time_format": pattern, "decimal": decimal, "encoding": encoding}


def _is_plausible(span: tuple[int, int]) -> bool:
    return _PLAUSIBLE_NS[0] <= span[0] and span[1] <= _PLAUSIBLE_NS[1]
