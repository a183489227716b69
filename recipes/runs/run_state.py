"""Everything that the rest of a run depends on, taken out of the process and put back.

Weights, optimizers, metrics, the state of every random generator, and the callbacks' own; the position in the data is a
number of steps, because the order of examples and their augmentation follow from (seed, step).
"""

import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.devices.keras_fixes import global_seed_state
from recipes.devices.workers import Workers
from recipes.errors import RunError
from recipes.runs.callback_state import CallbackStates
from recipes.runs.checkpoints import Checkpoint, pack, unpack


def variables(model: keras.Model) -> list[tf.Variable]:
    """Returns every variable that training changes, in an order that is the same in every process.

    The model's and its metrics', those of random generators (keras.random without a seed has one of its own), and of
    whatever else hangs on the model: optimizers of a custom step, `tf.Variable`s, `tf.random.Generator`s.
    """
    everything = [*model.variables, *model.metrics_variables, global_seed_state()]
    everything += [
        thing
        for thing in tf.train.TrackableView(model).descendants()
        if isinstance(thing, (keras.Variable, tf.Variable))
    ]
    plain = [variable.value if isinstance(variable, keras.Variable) else variable for variable in everything]
    return list({id(variable): variable for variable in plain}.values())


def take_state(model: keras.Model, callbacks: CallbackStates, position: Any) -> Checkpoint:
    """Returns the state of a run.

    On several workers, all must call it: each has its own part of the metrics.

    Args:
        model: With all its variables made.
        callbacks: What training has changed in them is kept.
        position: Where the run is; anything that JSON can hold.
    """
    workers = Workers(model.distribute_strategy)
    arrays: list[np.ndarray] = []
    copies = []
    for variable in variables(model):
        values = _copies(variable, workers)
        same = not _is_local(variable) and all(np.array_equal(values[0], value, equal_nan=True) for value in values[1:])
        arrays.append(values[0] if same else np.stack(values))
        copies.append(0 if same else len(values))
    state = {
        "position": position,
        "copies": copies,
        "callbacks": callbacks.take(arrays),
        "stopped": bool(model.stop_training),
        "python_random": pack(random.getstate(), arrays),
        "numpy_random": pack(np.random.get_state(), arrays),
    }
    return Checkpoint(arrays, state)


def put_state(checkpoint: Checkpoint, model: keras.Model, callbacks: CallbackStates) -> None:
    """Puts back what `take_state` returned.

    Raises:
        RunError: If the model is not the one that it was taken from.
    """
    arrays, state = checkpoint
    owned = variables(model)
    kept_shapes = [array.shape[copies > 0 :] for array, copies in zip(arrays, state["copies"], strict=False)]
    if kept_shapes != [tuple(variable.shape) for variable in owned]:
        raise RunError(
            f"the unfinished run has {len(kept_shapes)} variables, and this model {len(owned)} or of other shapes; "
            "pass resume=False to start over"
        )
    workers = Workers(model.distribute_strategy)
    for variable, array, copies in zip(owned, arrays, state["copies"], strict=False):
        _put(variable, array, copies, workers)
    callbacks.put(state["callbacks"], arrays)
    random.setstate(unpack(state["python_random"], arrays))
    np.random.set_state(unpack(state["numpy_random"], arrays))


def _copies(variable: Any, workers: Workers) -> list[np.ndarray]:
    """Returns the value on each replica: of this process, or of all workers where each has its own, as metrics have."""
    local = np.stack([np.asarray(place) for place in workers.strategy.experimental_local_results(variable)])
    if workers.count > 1 and _is_local(variable):
        local = np.concatenate(list(workers.gather(local)))
    return list(local)


def _is_local(variable: Any) -> bool:
    """Returns whether each replica has its own part, which is put together only where it is read."""
    return variable.synchronization == tf.VariableSynchronization.ON_READ


def _put(variable: Any, array: np.ndarray, copies: int, workers: Workers) -> None:
    """Puts back a variable's value, or values: those of as many replicas as there are, or what they come to."""
    local = workers.strategy.experimental_local_results(variable)
    if array.dtype.kind == "V":  # numpy knows bfloat16 by its size alone
        array = array.view(variable.dtype.as_numpy_dtype)
    first = len(local) * (workers.index if _is_local(variable) else 0)
    replicas = len(local) * (workers.count if _is_local(variable) else 1)
    for number, place in enumerate(local):
        if not copies:
            place.assign(array)
        elif copies == replicas:
            place.assign(array[first + number])
        elif variable.aggregation == tf.VariableAggregation.SUM:  # on another number of replicas than before
            place.assign(array.sum(0) if first + number == 0 else np.zeros_like(array[0]))
        elif variable.aggregation == tf.VariableAggregation.MEAN:
            place.assign(array.mean(0))
        else:
            place.assign(array[0])
