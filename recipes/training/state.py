"""Everything that the rest of a run depends on, taken out of the process and put back.

Weights, optimizers, metrics, the state of every random generator, and the callbacks' own; the position in the data is a
number of steps, because the order of examples and their augmentation follow from (seed, step).
"""

import copy
import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.random.seed_generator import global_seed_generator

from recipes.errors import RunError
from recipes.training.checkpoints import Checkpoint, is_plain, pack, unpack

#: Attributes of a callback that are not its state.
NOT_STATE = {"model", "_model", "params"}


def variables(model: keras.Model) -> list[tf.Variable]:
    """Returns every variable that training changes, in an order that is the same in every process.

    The model's and its metrics', those of random generators (keras.random without a seed has one of its own), and of
    whatever else hangs on the model: optimizers of a custom step, `tf.Variable`s, `tf.random.Generator`s.
    """
    found = [*model.variables, *model.metrics_variables, global_seed_generator().state]
    found += [
        thing
        for thing in tf.train.TrackableView(model).descendants()
        if isinstance(thing, (keras.Variable, tf.Variable))
    ]
    plain = [variable.value if isinstance(variable, keras.Variable) else variable for variable in found]
    return list({id(variable): variable for variable in plain}.values())


def attributes(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Returns a copy of a callback's plain attributes: numbers, text, arrays, lists, tuples and dictionaries."""
    plain = {name: value for name, value in vars(callback).items() if name not in NOT_STATE and is_plain(value)}
    return copy.deepcopy(plain)


def take_state(
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    fresh: Sequence[dict[str, Any]],
    position: Any,
) -> Checkpoint:
    """Returns the state of a run.

    On several workers, all must call it: metrics are summed over them.

    Args:
        model: With all its variables made.
        callbacks: Whose plain attributes are kept, where training has changed them.
        fresh: The callbacks' `attributes` before training.
        position: Where the run is; anything that JSON can hold.
    """
    strategy = model.distribute_strategy
    arrays, copies = [], []
    for variable in variables(model):
        values = _copies(variable, strategy)
        same = all(np.array_equal(values[0], value, equal_nan=True) for value in values[1:])
        arrays.append(values[0] if same else np.stack(values))
        copies.append(1 if same else len(values))
    state = {
        "position": position,
        "copies": copies,
        "callbacks": [
            [type(callback).__name__, pack(_changed(callback, before), arrays)]
            for callback, before in zip(callbacks, fresh, strict=True)
        ],
        "stopped": bool(model.stop_training),
        "python_random": pack(random.getstate(), arrays),
        "numpy_random": pack(np.random.get_state(), arrays),
    }
    return Checkpoint(arrays, state)


def put_state(checkpoint: Checkpoint, model: keras.Model, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Puts back what `take_state` returned.

    Raises:
        RunError: If the model or the callbacks are not those that it was taken from.
    """
    arrays, state = checkpoint
    kept, own = [name for name, _ in state["callbacks"]], [type(callback).__name__ for callback in callbacks]
    if kept != own:
        raise RunError(
            f"the unfinished run has the callbacks {', '.join(kept)}; got {', '.join(own)}. Pass the same, or "
            "resume=False to start over"
        )
    owned = variables(model)
    kept_shapes = [array.shape[copies > 1 :] for array, copies in zip(arrays, state["copies"], strict=False)]
    if kept_shapes != [tuple(variable.shape) for variable in owned]:
        raise RunError(
            f"the unfinished run has {len(kept_shapes)} variables, and this model {len(owned)} or of other shapes; "
            "pass resume=False to start over"
        )
    strategy = model.distribute_strategy
    for variable, array, copies in zip(owned, arrays, state["copies"], strict=False):
        _put(variable, array, copies, strategy)
    for callback, (_, values) in zip(callbacks, state["callbacks"], strict=True):
        vars(callback).update(unpack(values, arrays))
    random.setstate(unpack(state["python_random"], arrays))
    np.random.set_state(unpack(state["numpy_random"], arrays))


def _changed(callback: keras.callbacks.Callback, before: dict[str, Any]) -> dict[str, Any]:
    """Returns the attributes that are not what they were: what a callback was made with is left to the line itself."""

    def packed(value: Any) -> tuple[Any, list]:
        arrays: list[np.ndarray] = []
        return pack(value, arrays), [array.tolist() for array in arrays]

    now = attributes(callback)
    return {name: value for name, value in now.items() if name not in before or packed(value) != packed(before[name])}


def _copies(variable: Any, strategy: tf.distribute.Strategy) -> list[np.ndarray]:
    """Returns the value on each replica of this process; of a metric on several workers, the sum over all."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and _is_summed(variable):
        return [np.asarray(variable.read_value())]
    return [np.asarray(place) for place in strategy.experimental_local_results(variable)]


def _is_summed(variable: Any) -> bool:
    return variable.synchronization == tf.VariableSynchronization.ON_READ


def _put(variable: Any, array: np.ndarray, copies: int, strategy: tf.distribute.Strategy) -> None:
    local = strategy.experimental_local_results(variable)
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and _is_summed(variable):
        context = strategy.cluster_resolver.task_id
        for number, place in enumerate(local):
            place.assign(array if context == number == 0 else np.zeros_like(array))
    elif copies == len(local) > 1:
        for place, value in zip(local, array, strict=True):
            place.assign(value)
    elif copies > 1 and _is_summed(variable):  # taken on another number of replicas
        for number, place in enumerate(local):
            place.assign(array.sum(0) if number == 0 else np.zeros_like(array[0]))
    else:
        for place in local:
            place.assign(array[0] if copies > 1 else array)
