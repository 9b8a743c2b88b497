"""Damage source files at random, form by form: each is read exactly, or refused; no traceback, no hang, bounded memory.

python -m tests.soak.damage --cases 10000 --seed 1 --form gz
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.blocks import BlockFile
from omnia_beam.io.files.forms import CsvForm, FileSource, ParquetForm
from omnia_beam.io.files.found import list_files
from omnia_beam.io.files.index import index_file
from tests.soak.damaged_forms import FORMS, Form, Rows, damage, make_text, read_text, same_rows

_HANG_S: Final = 20
_BLOCK_BYTES: Final = 300
"""So that small files have many blocks."""

_FILES: Final = 16
"""Different files that damage begins with."""

_KEPT: Final = 3
"""Files on which the product was wrong, kept in the folder of temporary files."""


@dataclass
class Verdict:
    """What became of the cases of one form.

    Attributes:
        exact, refused: how many.
        wrong: cases that were read otherwise, or ended in another error; the first of them in words.
        peak_bytes: of the process that read them, above what it held before.
    """

    form: str
    exact: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    peak_bytes: int = 0
    ways: Counter[str] = field(default_factory=Counter)


def judge(form: Form, cases: int, seed: int) -> Verdict:
    """Damage files of one form and read them."""
    verdict = Verdict(form.name)
    rng = random.Random(f"{seed} {form.name}")
    texts = [make_text(rng, 1 + n % 4, 5 + 12 * (n % 5)) for n in range(_FILES)]
    packed = [form.pack(text) for text in texts]
    # What a logger appends has no header; a whole second file has one, in the middle then.
    further = [form.pack(text if n % 3 == 0 else text.partition(b"\n")[2]) for n, text in enumerate(texts)]
    before = _peak()
    with tempfile.TemporaryDirectory() as folder:
        for case in range(cases):
            at = rng.randrange(_FILES)
            way, data = damage(packed[at], rng, further[rng.choice([at, rng.randrange(_FILES)])])
            path = Path(folder) / f"in{form.suffix}"
            path.write_bytes(data)
            verdict.ways[way] += 1
            wanted = _expected(form, data, texts[at])
            told = len(verdict.wrong)
            _judge_one(verdict, path, wanted, f"case {case} ({way}, {hashlib.sha1(data).hexdigest()[:8]})")
            if told < len(verdict.wrong) <= _KEPT:
                _keep(form, case, data)
    verdict.peak_bytes = _peak() - before
    return verdict


def _expected(form: Form, data: bytes, text: bytes) -> Sequence[Rows | None]:
    """What may come out; None in it where refusing is right, which it always may be."""
    if not data:
        return [{}]  # a file without a byte holds nothing, and is a warning
    if form.suffix == ".parquet":
        return [read_text(text)]
    content = form.content(data)
    return [None if content is None else read_text(content)]


def _judge_one(verdict: Verdict, path: Path, expected: Sequence[Rows | None], case: str) -> None:
    try:
        with _no_longer_than(_HANG_S):
            got = read_rows(path)
    except UsageError as error:
        verdict.refused += 1
        if path.name not in str(error):
            verdict.wrong.append(f"{case}: refused without the file's name: {error}")
    except BaseException as error:  # whatever else there is, is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        verdict.wrong.append(f"{case}: {type(error).__name__}: {str(error)[:200]}")
    else:
        if any(each is not None and same_rows(got, each) for each in expected):
            verdict.exact += 1
        else:
            wanted = expected[0]
            told = "refusal" if wanted is None else f"{len(wanted)} points"
            verdict.wrong.append(
                f"{case}: read {len(got)} points where {told} is right{_first_difference(got, wanted)}"
            )


def read_rows(path: Path) -> Rows:
    """What the product reads, in the index's pass and block by block again."""
    form = ParquetForm() if path.suffix == ".parquet" else CsvForm()
    source = FileSource((str(path),), form)
    index = index_file(source, list_files(source.paths)[0], _BLOCK_BYTES)
    found: Rows = {}
    with BlockFile(source, str(path), _BLOCK_BYTES) as opened:
        for block in range(len(index.places)):
            for name, points in opened.read(index.place(block)).items():
                columns = (points.times.tolist(), points.values.tolist(), points.statuses.tolist())
                found.update(((name, t), (struct.pack("<d", v), s)) for t, v, s in zip(*columns, strict=True))
    return found


def _first_difference(got: Rows, wanted: Rows | None) -> str:
    if wanted is None:
        return ""
    strange = next((key for key in got if key not in wanted or got[key] != wanted[key]), None)
    missing = next((key for key in wanted if key not in got), None)
    return f": {strange} is strange" if strange is not None else f": {missing} is missing"


def _keep(form: Form, case: int, data: bytes) -> None:
    folder = Path(tempfile.gettempdir()) / "omnia-beam-damage"
    folder.mkdir(exist_ok=True)
    (folder / f"{form.name}-{case}{form.suffix}").write_bytes(data)


def _peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    def hang(number: int, frame: Any) -> None:
        raise TimeoutError(f"still reading after {seconds} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="damage", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="of each form")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--form", choices=list(FORMS), action="append", help="only this; repeatable")
    asked = parser.parse_args(arguments)
    failed = False
    for name in asked.form or list(FORMS):
        began = time.monotonic()
        # A process of its own: a crash of a library is a finding too, and memory is measured from the start.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            verdict = pool.apply(judge_by_name, (name, asked.cases, asked.seed))
        failed |= bool(verdict.wrong)
        print(
            f"{name}: {asked.cases:,} damaged files: {verdict.exact:,} read exactly, {verdict.refused:,} refused, "
            f"{len(verdict.wrong):,} wrong; {verdict.peak_bytes >> 20} MB more at the peak; {time.monotonic() - began:.0f} s",
            flush=True,
        )
        for text in verdict.wrong[:10]:
            print(f"  {text}", flush=True)
    return int(failed)


def judge_by_name(name: str, cases: int, seed: int) -> Verdict:
    """`judge`, for another process."""
    return judge(FORMS[name], cases, seed)


if __name__ == "__main__":
    sys.exit(main())
