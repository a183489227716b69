"""What is used of Keras and TensorFlow that they do not make public, all in this file, and what is set right in them.

- Several workers. https://github.com/keras-team/keras/issues/20585: `Model.fit` (1) averages a batch over the workers
  to learn its shape, which fails on their structure, and (2) averages the metrics along an axis that scalars do not
  have. The model is built beforehand, so (1) has nothing to do; (2) is averaged without an axis. When Keras has mended
  it, tests/devices/test_workers.py says so.
- Files. A layer, loss or optimizer of ours that differs from Keras' own in speed or in rounding alone is written to a
  model.keras as Keras' own, so that the file opens without this package: `saved_as_stock`.
"""

import functools
import inspect
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import trainer
from keras.src.random.seed_generator import global_seed_generator
from keras.src.saving import serialization_lib
from keras.src.utils.naming import reset_uids
from tensorflow.python.framework import config as framework_config

ClassT = TypeVar("ClassT", bound=type)

# ---------------------------------------------------------------- files

#: Name in a file -> class of ours that is read in its place by `read_model`.
FASTER: dict[str, type] = {}


def saved_as_stock(stock: type) -> Any:
    """Decorates a subclass that a model.keras shall name as Keras' own class `stock`.

    Its `get_config` must return what `stock` takes. Plain Keras makes the stock class of the file, `read_model` ours;
    files of before, which name it "recipes>...", are read too.
    """

    def decorate(ours: ClassT) -> ClassT:
        public = serialization_lib.serialize_with_public_class(stock)
        keras.saving.get_custom_objects()[f"recipes>{ours.__name__}"] = ours
        # Keras writes a class that is not registered by its module and name, and reads these as its own.
        ours.__module__, ours.__name__, ours.__qualname__ = public["module"], public["class_name"], public["class_name"]
        FASTER[ours.__name__] = ours
        return ours

    return decorate


def named_in_files(name: str) -> Any:
    """Decorates a class that files have known by another name: they are read, and written, by it.

    Of a layer the class's own name is changed too: Keras names its weights in model.weights.h5 by that.
    """

    def decorate(ours: ClassT) -> ClassT:
        keras.saving.register_keras_serializable("recipes", name)(ours)
        if issubclass(ours, keras.layers.Layer) and not issubclass(ours, keras.Model):
            ours.__name__ = name
        return ours

    return decorate


def read_model(path: str | Path) -> keras.Model:
    """Returns the model in a model.keras, with the classes of `saved_as_stock` where it was saved with them."""
    return keras.models.load_model(path, custom_objects=FASTER)


def classes_of_ours(path: str | Path) -> set[str]:
    """Returns the classes that a model.keras needs this package for; none of them where Keras' own suffice."""
    with zipfile.ZipFile(path) as archive:
        return set(re.findall(r'"registered_name": "recipes>(\w+)"', archive.read("config.json").decode()))


# ---------------------------------------------------------------- models


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the model, its layers, and the layers inside of them."""
    return list(model._flatten_layers())


def name_layers_from_the_start() -> None:
    """Has Keras count layer names from the first again: the order in which gradients are added follows from names."""
    reset_uids()


def global_seed_state() -> keras.Variable:
    """Returns the state of the generator that keras.random draws with where it is given no seed."""
    return global_seed_generator().state


def has_rate_schedule(optimizer: keras.optimizers.Optimizer | None) -> bool:
    """Returns whether a schedule sets an optimizer's learning rate; Keras then lets nothing else do so."""
    return isinstance(getattr(optimizer, "_learning_rate", None), keras.optimizers.schedules.LearningRateSchedule)


def give_constant_rate(optimizer: keras.optimizers.Optimizer, rate: float) -> None:
    """Replaces an optimizer's schedule by a number, which callbacks may change, before it is built.

    The number is a variable of the optimizer, as if it had been made with it: checkpoints and model.keras hold it.
    """
    with keras.name_scope(optimizer.name):
        variable = keras.Variable(
            rate, trainable=False, dtype=keras.config.floatx(), aggregation="only_first_replica", name="learning_rate"
        )
    optimizer._learning_rate = variable  # which tracks it, too


def clip_by_norm_of_whole(optimizer: keras.optimizers.Optimizer, norm: float) -> None:
    """Has an optimizer clip gradients to a norm, all weights together and those of all replicas added up."""
    optimizer.global_clipnorm = norm
    if not hasattr(optimizer, "clips_whole"):
        optimizer._clip_gradients = functools.partial(clipped_as_whole, optimizer._clip_gradients)
        optimizer.clips_whole = True


def clipped_as_whole(clip: Callable[[list[Any]], list[Any]], gradients: list[Any]) -> list[Any]:
    """Returns what `clip` makes of the gradients of all replicas added up; each replica has its share of it.

    Keras 3.15 clips each replica's own, which together are then longer than one device's.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return clip(gradients)
    whole = clip(context.all_reduce(tf.distribute.ReduceOp.SUM, gradients))
    return [gradient / context.num_replicas_in_sync for gradient in whole]  # they are summed once more


def adam_moments(optimizer: keras.optimizers.Adam, variable: tf.Variable) -> tuple[tf.Variable, tf.Variable]:
    """Returns Adam's first and second moment of a weight."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index].value, optimizer._velocities[index].value


def sgd_momentum(optimizer: keras.optimizers.SGD, variable: tf.Variable) -> tf.Variable:
    """Returns SGD's momentum of a weight."""
    return optimizer.momentums[optimizer._get_variable_index(variable)].value


def op_determinism_is_on() -> bool:
    """Returns whether `tf.config.experimental.enable_op_determinism` is in force."""
    return framework_config.is_op_determinism_enabled()


def turn_off_op_determinism() -> None:
    """Takes back `tf.config.experimental.enable_op_determinism`."""
    framework_config.disable_op_determinism()


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keeps warnings of TensorFlow and other packages about their own parts from the terminal."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


# ---------------------------------------------------------------- several workers

#: What is wrong with `reduce_per_replica`, in Keras's own words.
BROKEN = 'strategy.reduce("MEAN", v, axis=0)'


def is_broken() -> bool:
    """Returns whether this version of Keras still has the fault."""
    return BROKEN in inspect.getsource(trainer.reduce_per_replica)


@contextmanager
def workers_can_fit(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Makes `Model.fit` and `Model.evaluate` work for several workers; does nothing elsewhere, or once Keras does."""
    if not (isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and is_broken()):
        yield
        return
    original = trainer.reduce_per_replica

    def reduce_per_replica(values: Any, strategy: Any, reduction: str) -> Any:
        if reduction not in ("auto", "mean"):
            return original(values, strategy, reduction)
        return keras.tree.map_structure(lambda value: strategy.reduce("MEAN", value, axis=None), values)

    def already_built(*args: Any, **kwargs: Any) -> None:
        """Takes the place of `_maybe_symbolic_build`."""

    with (
        mock.patch.object(trainer, "reduce_per_replica", reduce_per_replica),
        mock.patch.object(trainer.TensorFlowTrainer, "_maybe_symbolic_build", already_built),
    ):
        yield


def build_all(model: keras.Model, batch_spec: Any) -> None:
    """Makes every variable that training will have: the compiled metrics' and the optimizer's too.

    `Model.fit` does so in its first step, which is too late for a checkpoint to be put back.

    Args:
        model: Compiled.
        batch_spec: The `tf.TensorSpec`s of a batch, as `Model.fit` takes one.
    """
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=batch_spec)
