"""What happens to each series: rules, rows, units, statuses, and what is found to be in the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.config import JobConfig, read_mapping_file
from omnia_beam.config.accept import accepted
from omnia_beam.config.create_missing import CreateMissing
from omnia_beam.core.errors import UsageError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries, TimeseriesDraft
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.base import Accepts, TargetName
from omnia_beam.io.facts import SeriesFacts
from omnia_beam.io.kinds import sink_of
from omnia_beam.io.omnia.targets import ServiceTargets
from omnia_beam.io.targets import AnySeries
from omnia_beam.mapping.findings import loss_report
from omnia_beam.mapping.loss_report import LossReport
from omnia_beam.mapping.resolution import Resolution, resolve_mapping
from omnia_beam.mapping.units import Conversion
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.pipelines.config import load_config
from omnia_beam.transforms.map_status import StatusRule
from omnia_beam.transforms.series_rule import SeriesRule

PT = Timeseries("id-1", "PT-1", "1191", description="pressure", unit="bar", asset_id="A1")
TT = Timeseries("id-2", "TT-1", "1191", unit="degC", step=True)
PLAIN = Timeseries("raw", "raw", "")
THERE = [
    Timeseries("t-1", "PT-1", "1191", unit="kPa"),
    Timeseries("t-2", "TT-1", "1191", unit="degC"),
    Timeseries("id-1", "elsewhere", "X"),
]
CREATE = {"facility": "{facility}", "name": "N {name}", "description": "{description}, was {id}"}


class KnownTargets:
    """Targets from a list; what is created is remembered."""

    creation: CreateMissing | None = None

    def __init__(self, series: Iterable[Timeseries]) -> None:
        self.series = list(series)
        self.drafts: list[TimeseriesDraft] = []

    def find(self, names: Iterable[TargetName]) -> Mapping[TargetName, Timeseries]:
        found = {}
        for name in names:
            for each in self.series:
                if name in (TargetName(each.id), TargetName(name=each.name, facility=each.facility)):
                    found[name] = each
        return found

    def candidates(self) -> Sequence[Timeseries]:
        return self.series

    def create(self, drafts: Sequence[TimeseriesDraft]) -> Mapping[TargetName, Timeseries]:
        self.drafts += drafts
        made = [Timeseries(f"new-{draft.name}", draft.name, draft.facility) for draft in drafts]
        return {TargetName(name=each.name, facility=each.facility): each for each in made}


@pytest.fixture
def resolve(tmp_path: Path) -> Callable[..., tuple[Resolution, JobConfig]]:
    """Resolves a mapping given as YAML keys, its file as text."""

    def run(
        series: Sequence[Timeseries],
        mapping: dict[str, Any] | None = None,
        text: str = "",
        *,
        sink: dict[str, Any] | None = None,
        create: dict[str, Any] | None = None,
        targets: Any = None,
    ) -> tuple[Resolution, JobConfig]:
        if text:
            (tmp_path / "tags.csv").write_text(text)
            mapping = {**(mapping or {}), "file": str(tmp_path / "tags.csv")}
        omnia: dict[str, Any] = {
            "kind": "omnia",
            "base_url": "http://127.0.0.1:1/x",
            "credential": {"kind": "anonymous"},
            **({"create_missing": create} if create else {}),
        }
        job = {
            "name": "job",
            "source": {"kind": "csv", "path": "x.csv"},
            "sink": {**(omnia if sink is None or "nan" in sink or "time_resolution" in sink else {}), **(sink or {})},
            "state": str(tmp_path),
            **({"mapping": mapping} if mapping else {}),
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        config = load_config(str(path), now_ns=time.time_ns())
        rows = ()
        if config.mapping is not None and config.mapping.file is not None:
            rows = read_mapping_file(config.mapping.file, tuple(config.mapping.tables()))
        known = targets or KnownTargets(THERE)
        known.creation = getattr(config.sink, "create_missing", None)
        return resolve_mapping(series, config, rows, known), config

    return run


Resolve = Callable[..., tuple[Resolution, JobConfig]]


def rules(resolution: Resolution) -> dict[str, SeriesRule]:
    return {each.source.id: each.rule() for each in resolution.mapped}


def names(resolution: Resolution) -> list[tuple[str, str, bool]]:
    return [(each.name, each.series, each.blocking) for each in resolution.findings]


@pytest.mark.parametrize(
    ("mapping", "text", "targets"),
    [
        ({"by": "name_and_facility"}, "", {"id-1": "t-1", "id-2": "t-2"}),
        ({"by": "template", "target_name": "{name}", "target_facility": "1191"}, "", {"id-1": "t-1", "id-2": "t-2"}),
        ({}, "source,target_id\nPT-1,t-2\nid-2,t-1\n", {"id-1": "t-2", "id-2": "t-1"}),
        (
            {"by": "name_and_facility"},
            "source,target_name,target_facility\nPT-1,elsewhere,X\n",
            {"id-1": "id-1", "id-2": "t-2"},
        ),
        ({}, "source;target_name\nPT-1;PT-1\nTT-1;TT-1\n", {"id-1": "t-1", "id-2": "t-2"}),
    ],
)
def test_rows_go_before_rules(resolve: Resolve, mapping: Any, text: str, targets: dict[str, str]) -> None:
    one, two = (Timeseries(each.id, each.name, each.facility) for each in (PT, TT))
    resolution, _ = resolve([one, two], mapping, text)
    assert {source: rule.target_id for source, rule in rules(resolution).items()} == targets
    assert not [each for each in resolution.findings if each.blocking]


def test_without_a_mapping_every_series_keeps_its_id(resolve: Resolve) -> None:
    resolution, _ = resolve([PT, TT])
    assert {source: rule.target_id for source, rule in rules(resolution).items()} == {"id-1": "id-1"}
    assert names(resolution) == [("missing_target", "TT-1", True)]


def test_a_name_without_a_facility_is_told(resolve: Resolve) -> None:
    resolution, _ = resolve([PLAIN], {"by": "name_and_facility"})
    assert names(resolution) == [("missing_target", "raw", True)]
    assert "no timeseries raw: its facility is not known: set source.facility" in resolution.findings[0].message


def test_the_facility_of_what_is_created_may_come_from_the_mapping(resolve: Resolve) -> None:
    text = "source,target_name,target_facility\nraw,new,1191\n"
    resolution, _ = resolve([PLAIN], {}, text, create={"name": "{name}"})
    assert [(each.draft.name, each.draft.facility) for each in resolution.mapped if each.draft] == [("new", "1191")]
    rule = {"by": "template", "target_name": "n", "target_facility": "F"}
    resolution, _ = resolve([PLAIN], rule, create={"name": "{name}"})
    assert [(each.draft.name, each.draft.facility) for each in resolution.mapped if each.draft] == [("n", "F")]
    resolution, _ = resolve([PLAIN], None, create={"name": "{name}"})
    assert names(resolution) == [("missing_target", "raw", True)]
    assert "sink.create_missing.facility, or give target_facility" in resolution.findings[0].message


def test_a_unit_that_only_the_mapping_file_knows(resolve: Resolve) -> None:
    text = "source,source_unit,target_name,target_facility\nraw,bar,PT-1,1191\n"
    resolution, _ = resolve([PLAIN], {}, text)
    assert resolution.mapped[0].conversion == Conversion(100.0, 0.0)
    assert resolution.mapped[0].unit == ("bar", "kPa")
    assert resolution.findings == ()


def test_in_files_a_series_is_its_id_or_its_new_name(resolve: Resolve) -> None:
    sink = {"kind": "csv", "path": "out"}
    resolution, _ = resolve([PT, TT], sink=sink, targets=AnySeries())
    assert [rule.target_id for rule in rules(resolution).values()] == ["id-1", "id-2"]
    mapping = {"by": "template", "target_name": "{facility}.{name}"}
    resolution, _ = resolve([PT, TT], mapping, sink=sink, targets=AnySeries())
    assert [rule.target_id for rule in rules(resolution).values()] == ["1191.PT-1", "1191.TT-1"]


@pytest.mark.parametrize(
    ("on_unmapped", "left", "blocking"), [("fail", ["TT-1"], True), ("skip", ["TT-1"], False), ("same_id", [], None)]
)
def test_series_that_no_row_names(resolve: Resolve, on_unmapped: str, left: list[str], blocking: bool | None) -> None:
    targets = KnownTargets([*THERE, Timeseries("id-2", "any", "Y")])
    resolution, _ = resolve(
        [PT, TT], {"on_unmapped": on_unmapped}, "source,target_id\nPT-1,t-1\nnone,t-9\n", targets=targets
    )
    assert [each.name for each in resolution.left_out] == left
    assert names(resolution) == ([] if blocking is None else [("unmapped_series", "TT-1", blocking)])
    assert resolution.unused_rows == ("none",)


class TestCreation:
    """Series that the target lacks."""

    def test_metadata_is_carried_over_or_templated(self, resolve: Resolve) -> None:
        targets = KnownTargets([])
        mapping = {"by": "template", "target_name": "{name}"}
        resolution, _ = resolve([PT], mapping, create=CREATE, targets=targets)
        made = resolution.created(targets)
        expected = TimeseriesDraft("PT-1", "1191", description="pressure, was id-1", unit="bar", asset_id="A1")
        assert targets.drafts == [expected]
        assert rules(made)["id-1"].target_id == "new-PT-1"

    def test_a_unit_of_the_row_goes_before_all(self, resolve: Resolve) -> None:
        targets = KnownTargets([])
        text = "source,target_name,target_unit\nPT-1,P,kPa\n"
        resolution, _ = resolve([PT], {}, text, create={**CREATE, "unit": "mbar"}, targets=targets)
        resolution.created(targets)
        assert [(draft.name, draft.unit) for draft in targets.drafts] == [("P", "kPa")]
        assert resolution.mapped[0].conversion == Conversion(100.0, 0.0)

    def test_what_exists_is_not_created(self, resolve: Resolve) -> None:
        targets = KnownTargets(THERE)
        resolution, _ = resolve([PT], {"by": "name_and_facility"}, create=CREATE, targets=targets)
        assert resolution.created(targets).mapped == resolution.mapped
        assert targets.drafts == []

    def test_an_id_cannot_be_created(self, resolve: Resolve) -> None:
        resolution, _ = resolve([PT], {}, "source,target_id\nPT-1,gone\n", create=CREATE)
        assert names(resolution) == [("missing_target", "PT-1", True)]
        assert "name and facility instead of an id" in resolution.findings[0].message

    def test_a_template_without_its_field_is_refused(self, resolve: Resolve) -> None:
        with pytest.raises(UsageError, match=r"TT-1: has no description, which the template"):
            resolve([TT], {"by": "template", "target_name": "x"}, create=CREATE)

    def test_the_services_own_field_cannot_be_set(self, resolve: Resolve) -> None:
        with pytest.raises(UsageError, match=r"sink\.create_missing\.source"):
            resolve([PT], create={**CREATE, "source": "PI"})


class TestUnits:
    """Values in the target's unit."""

    @pytest.mark.parametrize(
        ("mapping", "text", "conversion"),
        [
            ({"by": "name_and_facility"}, "", (100.0, 0.0)),  # the unit of the series that is there
            ({"by": "name_and_facility", "units": {"bar": "psi"}}, "", (14.50377377302092, 0.0)),
            ({"by": "name_and_facility", "units": {"bar": {"to": "barg", "offset": -1.01325}}}, "", (1.0, -1.01325)),
            ({"by": "name_and_facility"}, "source,scale\nPT-1,2\n", (2.0, 0.0)),
            ({"by": "name_and_facility"}, "source,offset\nPT-1,2\n", (1.0, 2.0)),
            ({"by": "name_and_facility", "units": {"bar": "psi"}}, "source,target_unit\nPT-1,mbar\n", (1000.0, 0.0)),
        ],
    )
    def test_where_a_conversion_comes_from(
        self, resolve: Resolve, mapping: Any, text: str, conversion: tuple[float, float]
    ) -> None:
        resolution, _ = resolve([PT], mapping, text)
        assert resolution.mapped[0].conversion == Conversion(*conversion)
        assert resolution.findings == ()

    @pytest.mark.parametrize("unit", ["barg", "degC"])
    def test_what_cannot_be_converted_blocks(self, resolve: Resolve, unit: str) -> None:
        resolution, _ = resolve([PT], {"by": "name_and_facility"}, f"source,target_unit\nPT-1,{unit}\n")
        assert names(resolution) == [("unknown_unit", "PT-1", True)]
        assert "give scale and offset" in resolution.findings[0].message

    def test_a_source_without_units(self, resolve: Resolve) -> None:
        resolution, _ = resolve([PLAIN], {}, "source,target_id\nraw,t-1\n")
        assert names(resolution) == [("unknown_unit", "raw", False)]
        resolution, _ = resolve([PLAIN], {}, "source,target_id,target_unit\nraw,t-1,kPa\n")
        assert names(resolution) == [("unknown_unit", "raw", True)]
        resolution, _ = resolve([PLAIN], {}, "source,target_id,target_unit,scale\nraw,t-1,kPa,1\n")
        assert names(resolution) == []


def test_two_series_with_one_target_block(resolve: Resolve) -> None:
    text = "source,target_id,target_name,target_facility\nPT-1,t-2,,\nTT-1,,TT-1,1191\n"
    resolution, _ = resolve([PT, TT], {"units": {"bar": {"to": "degC", "scale": 1}}}, text)
    assert names(resolution) == [("duplicate_target", "TT-1", True)]
    mapping = {"by": "template", "target_name": "same"}
    resolution, _ = resolve([PT, TT], mapping, create={"facility": "F"}, targets=KnownTargets([]))
    assert names(resolution) == [("duplicate_target", "TT-1", True)]


def test_status_maps(resolve: Resolve) -> None:
    mapping = {
        "by": "name_and_facility",
        "status_map": "ip21",
        "unlisted_status": 0,
        "status_maps": {"own": {1: 192}},
        "units": {"bar": {"to": "kPa", "scale": 1}},
    }
    resolution, _ = resolve([PT, TT], mapping, "source,status_map\nTT-1,own\n")
    ip21 = {0: 192, 1: 64, 2: 0, 4: 24, 5: 8, 6: 60}
    assert [rule.status for rule in rules(resolution).values()] == [StatusRule(ip21, 0), StatusRule({1: 192}, 0)]


def accepts(config: JobConfig) -> Accepts:
    found: Accepts = sink_of(config).accepts
    return found


class TestReport:
    """What is told of points that files are known to hold."""

    def report(self, resolve: Resolve, facts: SeriesFacts, **keys: Any) -> LossReport:
        resolution, config = resolve(
            [PLAIN],
            keys.pop("mapping", {"by": "template", "target_name": "r", "target_facility": "F"}),
            targets=KnownTargets([Timeseries("r", "r", "F")]),
            **keys,
        )
        return loss_report(resolution, accepts(config), {"raw": facts})

    @pytest.mark.parametrize(
        ("sink", "facts", "name", "blocking"),
        [
            ({"nan": "dead_letter"}, SeriesFacts(9, 2), "nan_values", True),
            ({"nan": "drop_counted"}, SeriesFacts(9, 2), "nan_values", False),
            ({"nan": "as_bad_status"}, SeriesFacts(9, 2), "nan_values", False),
            ({"time_resolution": "dead_letter"}, SeriesFacts(9, 0, 3), "time_resolution", True),
            ({"time_resolution": "truncate"}, SeriesFacts(9, 0, 3), "time_resolution", False),
        ],
    )
    def test_what_a_service_cannot_hold(
        self, resolve: Resolve, sink: dict[str, Any], facts: SeriesFacts, name: str, blocking: bool
    ) -> None:
        report = self.report(resolve, facts, sink=sink)
        assert [(each.name, each.blocking, each.points) for each in report.findings] == [
            (name, blocking, facts.not_finite or facts.fine)
        ]

    @pytest.mark.parametrize(("unlisted", "blocking"), [("carry", False), ("reject", True), (64, False)])
    def test_statuses_without_an_image(self, resolve: Resolve, unlisted: Any, blocking: bool) -> None:
        mapping = {
            "by": "template", "target_name": "r", "target_facility": "F",
            "status_map": {192: 192}, "unlisted_status": unlisted,
        }  # fmt: skip
        report = self.report(resolve, SeriesFacts(9, 0, 0, {192: 5, 7: 3, 8: 1}), mapping=mapping)
        assert [(each.name, each.blocking, each.points) for each in report.findings] == [
            ("unlisted_status", blocking, 4)
        ]
        assert "7 (3 points), 8 (1 point)" in report.findings[0].message

    def test_files_hold_everything(self, resolve: Resolve) -> None:
        resolution, config = resolve([PLAIN], sink={"kind": "parquet", "path": "out"}, targets=AnySeries())
        assert loss_report(resolution, accepts(config), {"raw": SeriesFacts(9, 9, 9, {7: 9})}).findings == ()

    def test_wide_csv_has_no_statuses(self, resolve: Resolve) -> None:
        sink = {"kind": "csv", "path": "out", "layout": "wide"}
        resolution, config = resolve([PLAIN], sink=sink, targets=AnySeries())
        found = loss_report(resolution, accepts(config), {}).findings
        assert [(each.name, each.blocking) for each in found] == [("unlisted_status", False)]

    def test_blocking_findings_are_listed_and_can_be_accepted(self) -> None:
        findings = (*(Finding("nan_values", f"s{i}", "x") for i in range(30)), Finding("unknown_unit", "u", "y"))
        report = LossReport(findings)
        with pytest.raises(UsageError) as caught:
            report.check(accepted(["unknown_unit"]))
        lines = str(caught.value).splitlines()
        assert lines[0] == "30 findings in the way of this migration; nothing was moved:"
        assert lines[1] == "nan_values: s0: x"
        assert lines[-2:] == [
            "… and 10 more: omnia-beam plan lists them all",
            "fix them, or accept them by name: accept: [nan_values]",
        ]
        report.check(accepted(["unknown_unit", "nan_values"]))


class TestServiceTargets:
    """Looking targets up in a service."""

    @pytest.mark.parametrize("count", [3, 60])
    def test_found_by_id_and_by_name_and_made_once(self, count: int) -> None:
        with EmulatorThread() as emulator:
            session = shared_session(ServiceSettings(emulator.url, requests_per_second=None))
            targets = ServiceTargets(session)
            drafts = [TimeseriesDraft(f"n{i}", f"F{i % 2}", unit="bar") for i in range(count)]
            wanted = [TargetName(name=each.name, facility=each.facility) for each in drafts]
            assert targets.find(wanted) == {}
            made = targets.create(drafts)
            assert set(made) == set(wanted)
            assert targets.create(drafts) == made
            assert targets.find(wanted) == made
            by_id = [TargetName(each.id) for each in made.values()]
            unknown = [TargetName("00000000-0000-0000-0000-000000000000"), TargetName(name="n1", facility="elsewhere")]
            found = targets.find([*by_id, *unknown])
            assert {name: each.id for name, each in found.items()} == {name: name.id for name in by_id}
