"""Everything that the command line of the emulated PI Web API sets, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from omnia_beam.emulator.settings import SharedSettings

MAX_ITEMS: Final = 150_000
"""Default of `MaxReturnedItemsPerCall` on a real server."""

Rounding: TypeAlias = Literal["nearest", "down", "up", "none"]
"""How a time is put on the archive's grid of 1/65536 s; `none` keeps 100 ns."""

ROUNDINGS: Final[tuple[Rounding, ...]] = ("nearest", "down", "up", "none")


@dataclass(frozen=True, slots=True)
class PiSettings(SharedSettings):
    """The behaviour of one emulated PI Web API. See `command.py` for what each setting means to the user."""

    retry_after: Literal["seconds", "date", "none"] = "none"
    auth: Literal["none", "basic"] = "none"
    data_server: str = "EMU"
    max_items: int = MAX_ITEMS
    rounding: Rounding = "nearest"
    streamset_limit: Literal["stream", "request"] = "stream"
    time_zone: str = "UTC"
    csrf: bool = False
