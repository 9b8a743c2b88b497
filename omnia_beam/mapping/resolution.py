"""Resolve rules and rows into the mapping of each series: its target, its linear conversion, its status map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from omnia_beam.config import JobConfig, MappingConfig, MappingRow, render_template
from omnia_beam.config.create_missing import CreateMissing
from omnia_beam.core.errors import UsageError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries, TimeseriesDraft
from omnia_beam.io.base import TargetName, Targets
from omnia_beam.mapping.units import Conversion, UnitError, convert_unit
from omnia_beam.transforms.map_status import StatusRule
from omnia_beam.transforms.series_rule import SeriesRule

_AS_IT_IS: Final = Conversion()


@dataclass(frozen=True, slots=True)
class MappedSeries:
    """The mapping of one series.

    Args:
        source: its metadata; the id of a file's series is its name.
        target: how it is known in the target.
        existing: the target's metadata; None where it does not exist yet.
        draft: what to create where it does not exist; None where nothing is to be created.
        unit: unit of the source, unit of the target; None where it is not known.
        conversion: of values.
        status: the rule for statuses; None to keep them unchanged.
    """

    source: Timeseries
    target: TargetName
    existing: Timeseries | None = None
    draft: TimeseriesDraft | None = None
    unit: tuple[str | None, str | None] = (None, None)
    conversion: Conversion = _AS_IT_IS
    status: StatusRule | None = None

    def rule(self) -> SeriesRule:
        """Return the rule for `MapSeries`.

        Raises:
            ValueError: the target does not exist yet.
        """
        if self.existing is None:
            raise ValueError(f"{self.target} does not exist yet")
        return self.rule_of(self.existing.id)

    def rule_of(self, target_id: str) -> SeriesRule:
        """Return the rule as `rule` does, for a target of the given id."""
        return SeriesRule(target_id, self.conversion.scale, self.conversion.offset, self.status)


@dataclass(frozen=True)
class Resolution:
    """A mapping that is resolved for every series.

    Args:
        mapped: series that will be copied, in the order of the source's.
        findings: what would be lost, or stops the run.
        left_out: series that will not be copied.
        unused_rows: sources of rows that match no series.
    """

    mapped: tuple[MappedSeries, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[Timeseries, ...] = ()
    unused_rows: tuple[str, ...] = ()

    def created(self, targets: Targets) -> Resolution:
        """Create what is missing in the target, and return the resolution with it. Raises what `Targets.create` raises."""
        drafts = [each.draft for each in self.mapped if each.existing is None and each.draft is not None]
        made = targets.create(drafts) if drafts else {}
        return replace(self, mapped=tuple(_with_created(each, made) for each in self.mapped))


def resolve_mapping(
    series: Sequence[Timeseries],
    job: JobConfig,
    rows: Sequence[MappingRow],
    targets: Targets,
    spell: Callable[[str], str] = str,
) -> Resolution:
    """Resolve the mapping of each series of the source.

    Args:
        series: of the source.
        job: its mapping and its sink.
        rows: of the mapping file.
        targets: where targets are looked up; nothing is created.
        spell: returns an id in the source's spelling.

    Raises:
        UsageError: a template needs a field that a series does not have; pint is not installed where it is needed.
        ServiceError: the target cannot be asked.
    """
    by_source = _rows_by_source(rows, spell)
    create = targets.creation
    if create is not None and create.source is not None:
        raise UsageError("sink.create_missing.source: the service sets this field itself: remove the key")
    findings: list[Finding] = []
    named: list[tuple[Timeseries, MappingRow | None, TargetName]] = []
    left_out: list[Timeseries] = []
    for found in series:
        row = (by_source.get(spell(found.id)) or by_source.get(found.name)) if by_source else None
        each = found if row is None or row.source_unit is None else replace(found, unit=row.source_unit)
        target = _target_name(each, row, job, create)
        if target is None:
            left_out.append(each)
            findings.append(_unmapped(each, job.mapping))
        else:
            named.append((each, row, target))
    existing = targets.find(target for _, _, target in named)
    mapped: list[MappedSeries] = []
    for each, row, target in named:
        one = _mapped(each, row, target, existing.get(target), job, create, findings)
        if one is None:
            left_out.append(each)
        else:
            mapped.append(one)
    findings.extend(_duplicates(mapped))
    return Resolution(tuple(mapped), tuple(findings), tuple(left_out), tuple(_unused(rows, series, spell)))


def _unused(rows: Sequence[MappingRow], series: Sequence[Timeseries], spell: Callable[[str], str]) -> Iterator[str]:
    """Yield the sources of rows that match no series."""
    known = {spell(each.id) for each in series} | {each.name for each in series} if rows else set()
    yield from (row.source for row in rows if not {row.source, spell(row.source)} & known)


def _rows_by_source(rows: Sequence[MappingRow], spelled: Callable[[str], str]) -> dict[str, MappingRow]:
    found: dict[str, MappingRow] = {}
    for row in rows:
        first = found.setdefault(spelled(row.source), row)
        if first is not row:
            raise UsageError(
                f"mapping.file: the rows for {first.source} (line {first.line}) and {row.source} (line {row.line}) are of one "
                "series: leave one of them out"
            )
    return {**{row.source: row for row in rows}, **found}


def template_values(series: Timeseries) -> dict[str, str | None]:
    """Return the values that a template can refer to, by field; None for a field without a value."""
    return {
        "id": series.id,
        "name": series.name or None,
        "facility": series.facility or None,
        "description": series.description,
        "unit": series.unit,
        "source": series.source,
        "assetId": series.asset_id,
        "externalId": series.external_id,
    }


def _target_name(
    series: Timeseries, row: MappingRow | None, job: JobConfig, create: CreateMissing | None
) -> TargetName | None:
    """Return how the target is known; None where nothing maps the series."""
    mapping = job.mapping
    if row is not None and row.target_id is not None:
        return TargetName(row.target_id)
    if row is not None and row.target_name is not None:
        return TargetName(name=row.target_name, facility=row.target_facility or _facility(series, create))
    by = None if mapping is None else mapping.by
    if by == "name_and_facility":
        return TargetName(name=series.name, facility=series.facility)
    if by == "template" and mapping is not None and mapping.target_name is not None:
        values = template_values(series)
        facility = _facility(series, create)
        if mapping.target_facility is not None:
            facility = render_template(mapping.target_facility, values)
        return TargetName(name=render_template(mapping.target_name, values), facility=facility)
    if by == "same_id":
        return TargetName(series.id)
    if row is None and mapping is not None and mapping.file is not None:
        return TargetName(series.id) if mapping.on_unmapped == "same_id" else None
    if create is not None:
        name = render_template(create.name, template_values(series))
        return TargetName(name=name, facility=_facility(series, create))
    return TargetName(series.id)


def _facility(series: Timeseries, create: CreateMissing | None) -> str:
    if create is not None and create.facility is not None:
        return render_template(create.facility, template_values(series))
    return series.facility


def _unmapped(series: Timeseries, mapping: MappingConfig | None) -> Finding:
    skipped = mapping is not None and mapping.on_unmapped == "skip"
    message = "no row of the mapping file names it; it is left out"
    if not skipped:
        message += ": add a row, a rule (mapping.by), or mapping.on_unmapped: skip"
    return Finding("unmapped_series", series.name or series.id, message, not skipped)


def _mapped(
    series: Timeseries,
    row: MappingRow | None,
    target: TargetName,
    existing: Timeseries | None,
    job: JobConfig,
    create: CreateMissing | None,
    findings: list[Finding],
) -> MappedSeries | None:
    """Map one series; None where there is no target and none will be created, which adds a finding."""
    shown = series.name or series.id
    creatable = create is not None and target.id is None
    if existing is None and (not creatable or not target.facility):
        cure = "give it a name and facility instead of an id" if create is not None else "set sink.create_missing"
        if target.id is None and not target.facility:
            cure = "its facility is not known: set source.facility, mapping.target_facility or sink.create_missing.facility, "
            cure += "or give target_facility in the mapping file"
        findings.append(Finding("missing_target", shown, f"the target has no timeseries {target}: {cure}"))
        return None
    unit = _target_unit(series, row, existing, job.mapping, create)
    conversion = _conversion(series, row, unit, job.mapping, shown, findings)
    draft = None
    if existing is None and create is not None:
        draft = _draft(series, target, unit, create)
    status = _status_rule(row, job.mapping)
    return MappedSeries(series, target, existing, draft, (series.unit, unit), conversion, status)


def _target_unit(
    series: Timeseries,
    row: MappingRow | None,
    existing: Timeseries | None,
    mapping: MappingConfig | None,
    create: CreateMissing | None,
) -> str | None:
    if row is not None and row.target_unit is not None:
        return row.target_unit
    if mapping is not None and series.unit in mapping.units:
        return mapping.units[series.unit].to
    if existing is not None:
        return existing.unit or series.unit
    if create is not None and create.unit is not None:
        return render_template(create.unit, template_values(series))
    return series.unit


def _conversion(
    series: Timeseries,
    row: MappingRow | None,
    unit: str | None,
    mapping: MappingConfig | None,
    shown: str,
    findings: list[Finding],
) -> Conversion:
    if row is not None and (row.scale is not None or row.offset is not None):
        return _given(row)
    requested = mapping is not None and series.unit is not None and (row is None or row.target_unit is None)
    rule = mapping.units.get(series.unit) if requested and mapping is not None and series.unit is not None else None
    if rule is not None and (rule.scale is not None or rule.offset is not None):
        return _given(rule)
    if unit is None or unit == series.unit:
        return _AS_IT_IS
    if series.unit is None:
        explicit = row is not None and row.target_unit is not None
        text = f"has no unit in the source, {unit!r} in the target; values are carried as they are"
        cure = ": give scale and offset, 1 and 0 if they are in that unit already" if explicit else ""
        findings.append(Finding("unknown_unit", shown, text + cure, blocking=explicit))
        return _AS_IT_IS
    try:
        return convert_unit(series.unit, unit)
    except UnitError as error:
        findings.append(
            Finding("unknown_unit", shown, f"{error}: give scale and offset in the mapping file or in mapping.units")
        )
        return _AS_IT_IS


def _given(rule: Any) -> Conversion:
    return Conversion(1.0 if rule.scale is None else rule.scale, 0.0 if rule.offset is None else rule.offset)


def _status_rule(row: MappingRow | None, mapping: MappingConfig | None) -> StatusRule | None:
    if mapping is None:
        return None
    table = mapping.status_table()
    if row is not None and row.status_map is not None:
        table = mapping.tables()[row.status_map]
    return None if table is None else StatusRule(dict(table), mapping.unlisted_status)


def _draft(series: Timeseries, target: TargetName, unit: str | None, create: CreateMissing) -> TimeseriesDraft:
    values = template_values(series)

    def filled(template: str | None, carried: str | None) -> str | None:
        return carried if template is None else render_template(template, values)

    if not target.name or not target.facility:
        raise UsageError(
            f"{series.name or series.id}: cannot be created without a name and a facility: set sink.create_missing"
        )
    return TimeseriesDraft(
        target.name,
        target.facility,
        description=filled(create.description, series.description),
        step=series.step if create.step is None else create.step,
        unit=unit,
        asset_id=filled(create.assetId, series.asset_id),
        external_id=filled(create.externalId, series.external_id),
        metadata=series.attributes or None,
    )


def _duplicates(mapped: Sequence[MappedSeries]) -> Iterator[Finding]:
    """Yield a finding for each series whose target another one has too, also when one is named by id and the other by name."""
    by_target: dict[str, list[MappedSeries]] = defaultdict(list)
    for each in mapped:
        by_target[each.existing.id if each.existing is not None else f"new {each.target}"].append(each)
    for group in by_target.values():
        for each in group[1:]:
            first = group[0].source.name or group[0].source.id
            yield Finding(
                "duplicate_target",
                each.source.name or each.source.id,
                f"{each.target} is the target of {first} too: their points would become one series",
            )


def _with_created(series: MappedSeries, made: Mapping[TargetName, Timeseries]) -> MappedSeries:
    if series.existing is not None:
        return series
    return replace(series, existing=made[TargetName(name=series.target.name, facility=series.target.facility)])
