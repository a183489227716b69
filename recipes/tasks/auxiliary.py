"""Classifiers half way up a network that help to train it and are not there afterwards."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("recipes")
class WithAuxiliary(keras.Model):
    """A network whose further outputs are classifiers that count only while it trains.

    Args:
        network: Image to [logits, auxiliary logits, ...].
        weight: Of each auxiliary loss.

    Szegedy et al. (2014), section 5; https://arxiv.org/abs/1409.4842.
    """

    def __init__(self, network: keras.Model, weight: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network, self.weight = network, weight
        self.main = keras.Model(network.inputs, network.outputs[0])  # what is exported
        self.built = True

    input_shape = property(lambda self: self.main.input_shape)
    output_shape = property(lambda self: self.main.output_shape)

    def call(self, image: Any, training: bool = False) -> Any:
        """Returns the logits; while training, those of all classifiers."""
        return self.network(image, training=True) if training else self.main(image, training=False)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the loss of the logits plus, while training, the weighted ones of the auxiliary classifiers."""
        logits, *others = y_pred if isinstance(y_pred, (list, tuple)) else [y_pred]
        losses = [super(WithAuxiliary, self).compute_loss(x, y, each, sample_weight) for each in (logits, *others)]
        return losses[0] + self.weight * sum(losses[1:])

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Returns the metrics of the logits."""
        return super().compute_metrics(x, y, y_pred[0] if isinstance(y_pred, (list, tuple)) else y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network, "weight": self.weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WithAuxiliary":
        """Returns the model that get_config described."""
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})
