"""Options of Flink that Beam's own option classes for Python lack. To import this module makes Beam know them."""

from __future__ import annotations

from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions


class CheckpointOptions(PipelineOptions):
    """Options for Flink's checkpoints, which Beam's own option classes for Python lack."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--checkpointing_interval", type=int, help="Milliseconds between two checkpoints of Flink.")
        parser.add_argument(
            "--finish_bundle_before_checkpointing",
            action="store_true",
            help="Hand on all output before a checkpoint of Flink.",
        )
