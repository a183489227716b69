"""`fit_model`: Keras's own loop, with a run folder around it, exact continuation and clear errors."""

import sys
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import keras
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.devices.keras_fixes import build_all, workers_can_fit
from recipes.devices.precision import choose_precision, deterministic_ops, environment
from recipes.devices.strategies import describe_strategy
from recipes.devices.workers import Workers, lost_workers_explained
from recipes.errors import NotFiniteError
from recipes.errors.hardware_errors import clear_errors
from recipes.runs.atomic_files import write_atomically
from recipes.runs.checkpoint_callback import EpochIsOver, Saving, signals_to
from recipes.runs.finish import Figures, Pictures, evaluate_model, finish_run, keep_interrupted, no_pictures
from recipes.runs.progress import Progress, StopOnNaN
from recipes.runs.report import HistoryFile
from recipes.runs.run_folder import Run, begun
from recipes.settings import ConfigT, change


def follow_data(config: ConfigT, splits: Splits) -> ConfigT:
    """Returns the config with the fields that the data decides: image_shape, num_classes, train_examples.

    A field that the config does not have is left out.
    """
    names = {field.name for field in fields(config)}  # type: ignore[arg-type]
    return change(config, **{name: value for name, value in splits.info.follows.items() if name in names})


def fit_model(
    model: keras.Model,
    splits: Splits,
    run: Run,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    pictures: Pictures = no_pictures,
    figures: Figures = evaluate_model,
) -> keras.Model:
    """Trains a compiled model, evaluates it on the test split, and writes everything to the run's folder.

    A run that was begun before goes on at the step where its newest whole checkpoint was written. On several workers,
    all train and the chief writes.

    Args:
        model: Compiled, built under `training_scope(config)` after `open_run`.
        splits: The data.
        run: What `open_run` returned; of its config, reads `epochs`, `batch_size`, `deterministic` and
            `checkpoint_...`.
        callbacks: Your own Keras callbacks, called before ours. Their plain attributes are part of a checkpoint.
        pictures: (model, splits, folder) -> title -> name of the picture that it wrote there, for the report.
        figures: (model, splits) -> its figures on the test split.

    Returns:
        The model, trained; on several workers a copy of it that needs none of the others. Its `run` tells the folder
        and the metrics, its `history` the curves.

    Raises:
        TrainingError: Out of memory, disk full, a lost worker, or a loss that is no number. The run stays unfinished.
        RunError: If another process is training in the run's folder.
        KeyboardInterrupt: As pressed; what was learned by then is saved first.
        SystemExit: With status 75 after SIGTERM; what was learned by then is saved first.
    """
    strategy = model.distribute_strategy
    workers, precision = Workers(strategy), run.precision or choose_precision(run.config.precision)
    where = {
        "strategy": describe_strategy(strategy),
        "precision": precision.policy,
        "why": precision.reason,
        "workers": workers.count,
        "command": sys.argv,
        **environment(),
    }
    with clear_errors(run.config.batch_size, run.folder), lost_workers_explained(strategy), begun(run, where, workers):
        model.run = run
        with deterministic_ops(run.config.deterministic):
            return _train(model, splits, run, list(callbacks), pictures, figures, workers, where)


def _train(
    model: keras.Model,
    splits: Splits,
    run: Run,
    callbacks: list[keras.callbacks.Callback],
    pictures: Pictures,
    figures: Figures,
    workers: Workers,
    where: dict[str, Any],
) -> keras.Model:
    """Trains from the run's last checkpoint, or the beginning, to its end."""
    build_all(model, splits.train.element_spec)
    history = keras.callbacks.History()
    steps = splits.steps_per_epoch if splits.train_from and splits.info.fingerprint else None
    saving = Saving(run.folder / "checkpoints", [*callbacks, history], steps or 1, run.config, workers)
    if run.continues:
        saving.look()
    position = (saving.epoch, saving.step)
    progress = Progress(position, saving.seconds_before)
    last = [history, StopOnNaN(position)]
    if run.writes:
        _announce(run, where, position)
        board = keras.callbacks.TensorBoard(str(run.folder / "tensorboard"), write_graph=False)
        last += [HistoryFile(history, run.folder / "history.csv"), board, progress]
    else:
        print(f"worker {workers.index} of {workers.count} trains along; the chief reports", flush=True)
    if steps:
        last.append(saving)
    with signals_to(saving):
        try:
            epochs = saving.epoch if saving.stopped else run.config.epochs
            data = _share(splits, workers, model.distribute_strategy, saving.first_step)
            run_epochs(
                model, replace(splits, train=data), epochs, [EpochIsOver(saving), *callbacks, *last], saving.epoch
            )
            return finish_run(model, splits, run, saving.seconds_in_all, workers, pictures, figures)
        except KeyboardInterrupt:
            progress.close()
            if run.writes and not run.metrics:  # else it was pressed when all was done but the last words
                keep_interrupted(model, splits, run, steps is not None)
            raise
        except NotFiniteError as error:  # going on from the checkpoint would end there again
            if run.writes:
                said = str(error)
                write_atomically(run.folder / "failed.txt", lambda part: part.write_text(said + "\n"))
            raise
        finally:
            progress.close()


def run_epochs(
    model: keras.Model,
    splits: Splits,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
    first_epoch: int = 0,
) -> keras.callbacks.History:
    """Returns the curves of `Model.fit` on the training split, validated after each epoch, in silence."""
    with workers_can_fit(model.distribute_strategy):
        return model.fit(
            splits.train,
            epochs=epochs,
            initial_epoch=first_epoch,
            steps_per_epoch=splits.steps_per_epoch,
            validation_data=splits.validation,
            callbacks=callbacks,
            verbose=0,
            shuffle=False,  # the split is shuffled already, and Keras warns where it is told to
        )


def _share(splits: Splits, workers: Workers, strategy: tf.distribute.Strategy, first_step: int) -> Any:
    """Returns the training data from a step on; on several workers, the part of each batch that is this one's."""
    train_from = splits.train_from
    if train_from is None:
        return splits.train  # a user's own: one worker, or shared out by TensorFlow
    if workers.count == 1:
        return train_from(first_step, 0, 1)
    replicas = strategy.num_replicas_in_sync // workers.count

    def mine(context: tf.distribute.InputContext) -> tf.data.Dataset:
        data = train_from(first_step, context.input_pipeline_id, context.num_input_pipelines)
        if replicas == 1:
            return data
        return data.rebatch(data.element_spec[0].shape[0] // replicas, drop_remainder=True)

    return strategy.distribute_datasets_from_function(mine)


def _announce(run: Run, where: dict[str, Any], position: tuple[int, int]) -> None:
    print(f"{run.recipe} on {run.info}")
    print(f"strategy: {where['strategy']}   precision: {where['precision']} ({where['why']})")
    print(f"run folder: {run.folder}", flush=True)
    if run.continues:
        epochs, steps = position
        print(
            f"continuing the unfinished run there, after {epochs} whole epochs and {steps} steps "
            "(resume=False, --no-resume, starts over)",
            flush=True,
        )
