"""A trial in TensorBoard's HParams tab: `tensorboard --logdir` of a search's folder shows its trials side by side."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from recipes.errors import one_line
from recipes.tuning.trial_results import TrialResult


def write_hparams(folder: Path, trial: TrialResult, objective: str) -> None:
    """Writes the event file of a trial: its hyperparameters, the objective after each epoch, and how it ended.

    The one that an earlier call has left there is replaced. Nothing of TensorFlow's runtime is started: a process
    that trains in others may do so.

    Args:
        folder: Of this trial alone; TensorBoard names the trial after it.
        trial: It has ended.
        objective: What its figures are.
    """
    from tensorboard.compat.proto.event_pb2 import Event  # these take seconds to import
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, summary
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("events.out.tfevents.*"):
        earlier.unlink()
    end = time.time()
    start = end - trial.seconds
    status = api_pb2.STATUS_FAILURE if trial.error else api_pb2.STATUS_SUCCESS
    values = {one_line(name): _as_hparam(value) for name, value in trial.values.items()}
    writer = EventFileWriter(str(folder))

    def write(message: Any, wall_time: float, step: int = 0) -> None:
        content = Summary.FromString(message.SerializeToString())  # HParams' messages are TensorFlow's classes
        writer.add_event(Event(summary=content, wall_time=wall_time, step=step))

    try:
        write(summary.session_start_pb(values, start_time_secs=start), start)
        for epoch, figure in enumerate(trial.figures, start=1):
            write(scalar_pb(objective, figure), start + trial.seconds * epoch / trial.epochs, epoch)
        write(summary.session_end_pb(status, end_time_secs=end), end)
    finally:
        writer.close()


def _as_hparam(value: Any) -> bool | float | str:
    """Returns a value as HParams takes it: what is no number is text."""
    return value if isinstance(value, (bool, int, float)) else one_line(value)
