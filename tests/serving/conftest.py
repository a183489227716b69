"""Models small enough to be exported and served in a moment, with the numbers of TF Serving's own tests."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import tensorflow as tf

from recipes.serving.engine import Engine
from recipes.serving.inference import Inference
from recipes.serving.limits import Limits
from recipes.serving.model_config import ModelConfig
from recipes.serving.models import Models


class HalfPlusTwo(tf.Module):
    """y = x / 2 + 2, y2 = x / 2 + 3, y3 = x2 / 2 + 3."""

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, "x")])
    def predict(self, x):
        return {"y": x / 2 + 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regress_x_to_y(self, inputs):
        return {"outputs": feature(inputs, "x") / 2 + 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regress_x_to_y2(self, inputs):
        return {"outputs": feature(inputs, "x") / 2 + 3}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, "inputs")])
    def regress_x2_to_y3(self, inputs):
        return {"outputs": inputs / 2 + 3}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify_x_to_y(self, inputs):
        return {"scores": feature(inputs, "x") / 2 + 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify_x_to_labels(self, inputs):
        x = feature(inputs, "x")
        return {"classes": tf.where(x > 0, [["positive", "any"]], [["other", "any"]]), "scores": tf.concat([x, -x], 1)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, "inputs")])
    def classify_x2_to_y3(self, inputs):
        return {"scores": inputs / 2 + 3}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None], tf.int64, "times")])
    def repeat(self, text, times):
        joined = tf.map_fn(lambda pair: tf.strings.reduce_join(tf.repeat(*pair)), (text, times), tf.string)
        return {"joined": joined, "lengths": tf.strings.length(joined)}


def feature(examples, name):
    return tf.io.parse_example(examples, {name: tf.io.FixedLenFeature([1], tf.float32, [0.0])})[name]


class Counter(tf.Module):
    """A model whose signatures have no inputs, and that remembers."""

    def __init__(self):
        self.value = tf.Variable(0.0)

    @tf.function(input_signature=[])
    def get_counter(self):
        return {"output": self.value.read_value()}

    @tf.function(input_signature=[])
    def incr_counter(self):
        return {"output": self.value.assign_add(1.0)}

    @tf.function(input_signature=[])
    def reset_counter(self):
        return {"output": self.value.assign(0.0)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "delta")])
    def incr_counter_by(self, delta):
        return {"output": self.value.assign_add(delta)}


def signatures(module):
    """Returns all functions of a module by their names; `predict` is the default signature."""
    names = [name for name, value in vars(type(module)).items() if hasattr(value, "get_concrete_function")]
    return {"serving_default" if name == "predict" else name: getattr(module, name) for name in names}


@pytest.fixture(scope="session")
def half_plus_two(tmp_path_factory):
    """The base path of a model with the versions 123 and 124, which answer alike."""
    base_path = tmp_path_factory.mktemp("half_plus_two")
    module = HalfPlusTwo()
    for version in ("00000123", "124"):
        tf.saved_model.save(module, str(base_path / version), signatures(module))
    return base_path


@pytest.fixture(scope="session")
def counter_model(tmp_path_factory):
    """The base path of the counter, version 1."""
    base_path = tmp_path_factory.mktemp("counter")
    module = Counter()
    tf.saved_model.save(module, str(base_path / "1"), signatures(module))
    return base_path


@dataclass(frozen=True)
class ModelsAt:
    """Makes an Inference over base paths, without any server; all versions are served."""

    closing: list

    def __call__(self, base_paths: dict[str, Path], *, limits=None, labels=None, latest=0) -> Inference:
        configs = [
            ModelConfig(name, path, latest=latest, labels=(labels or {}).get(name, {}))
            for name, path in base_paths.items()
        ]
        models = Models(lambda: configs, lambda config, path: Engine(path), poll_seconds=0)
        models.start()
        self.closing.append(models)
        return Inference(models, limits or Limits())


@pytest.fixture(scope="session")
def inference_of():
    """Returns a function: {model name: base path}, limits=, labels={model name: {label: version}} -> Inference."""
    closing = []
    yield ModelsAt(closing)
    for models in closing:
        models.close()


@pytest.fixture(scope="session")
def inference(inference_of, half_plus_two, counter_model):
    """An Inference over both models; version 123 of half_plus_two is also "stable"."""
    return inference_of(
        {"half_plus_two": half_plus_two, "counter": counter_model}, labels={"half_plus_two": {"stable": 123}}
    )
