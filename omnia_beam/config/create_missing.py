"""The keys that describe timeseries which a sink is to create."""

from __future__ import annotations

from omnia_beam.config.fields import Template
from omnia_beam.config.section import Section, key


class CreateMissing(Section):
    """Metadata of target timeseries that have to be created. What is not given is carried over from the source."""

    facility: Template | None = key(
        "Facility: a text or template such as `{facility}`. Without it, it comes from the mapping or the source.", None
    )
    name: Template = key("Name: a text or template such as `{name}`.", "{name}")
    description: Template | None = key("Description, as a template.", None)
    unit: Template | None = key("Engineering unit, as a template; the mapping's target unit takes precedence.", None)
    source: Template | None = key("System that the timeseries comes from, as a template.", None)
    assetId: Template | None = key("Asset id, as a template.", None)
    externalId: Template | None = key("External id, as a template.", None)
    step: bool | None = key("Whether values hold until the next one.", None)
