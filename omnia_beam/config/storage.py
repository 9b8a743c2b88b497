"""The settings of object stores: one entry for the places below a prefix, given to every place of a job."""

from __future__ import annotations

from collections.abc import Sequence

from omnia_beam.config.section import Section
from omnia_beam.store.place import Place, StorageEntry, with_settings


class StorageOptions(Section):
    """One entry below `storage:`. The model that reads a file narrows it; see `pipelines.config.storage`."""

    @property
    def entry(self) -> StorageEntry:
        """The settings as the stores take them."""
        # Only the model that narrows this one knows the credentials, which this layer must not import.
        raise NotImplementedError("an entry of storage: is made by the model that reads a file")


def give_settings(section: Section, entries: Sequence[StorageEntry]) -> None:
    """Give every place in a section, and in those below it, the settings of the entry that fits it best."""
    for name, value in section.__dict__.items():
        if isinstance(value, Place):
            section.__dict__[name] = with_settings(value, entries)
        elif isinstance(value, tuple) and any(isinstance(each, Place) for each in value):
            section.__dict__[name] = tuple(with_settings(each, entries) for each in value)
        elif isinstance(value, Section):
            give_settings(value, entries)
