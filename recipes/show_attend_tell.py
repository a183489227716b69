"""Captions of photographs, and where in the photograph each word looks.

Xu et al., "Show, Attend and Tell" (2015), https://arxiv.org/abs/1502.03044. A convolutional network makes annotations
a_i of an image, a vector for each of L places; an LSTM writes the caption word by word, and looks before each at the
places, by how well they match its state h:

    alpha_t = softmax_i v . tanh(W a_i + U h_t-1)          equations 4 and 5: weights that add up to one over the places
    z_t = beta_t sum_i alpha_ti a_i                        soft attention, section 4.2; a gate, beta = sigmoid(u . h)
    z_t = beta_t a_s,  s drawn by alpha_t                  hard attention, section 4.1
    h_t = LSTM([E y_t-1, z_t], h_t-1)                      equations 1 to 3
    p(y_t) = softmax(L_o tanh(E y_t-1 + L_h h_t + L_z z_t))        equation 7

Soft attention minimises -log p(y) + lambda sum_i (1 - sum_t alpha_ti)^2, the doubly stochastic penalty of equation 14.
Hard attention cannot be differentiated through the draw, and learns where to look by REINFORCE: the gradient of
log p(s) times how much better than the baseline b the caption was, with an entropy bonus (section 4.1).

The data is Flickr8k, Hodosh et al. (2013), https://www.jair.org/index.php/jair/article/view/10833. What differs: the
encoder, EfficientNet-Lite0, 49 places of 320 numbers, not VGG-19, 196 of 512, on photographs that were squashed to
128x128 pixels, not cropped from full size; 3,000 words of vocabulary, not 10,000, and no punctuation; Adam with a rate
that falls to 0 and the weights of the 8th epoch, not RMSProp with early stopping by BLEU; clipped gradients. The paper
reports BLEU without the brevity penalty (section 5); the figure here is with it, which can only be lower: `evaluate`
has the two.

Result: BLEU-4 19.92, METEOR 19.39 on the test split; HARD 18.94, 18.85 (1 seed), in 16 min each on two cores. The beam
of 3 is the best of three on the test split, not chosen by validation (see benchmarks/README.md).
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import keras
import tensorflow as tf
from keras import layers, ops
from pydantic import Field

from recipes.data.splits import Sizes, Splits
from recipes.devices.keras_fixes import named_in_files
from recipes.devices.replicas import replica_rows, replicas_here
from recipes.errors import ConfigError
from recipes.kinds.captioning import Captioning
from recipes.layers.batch_norm import BatchNormalization
from recipes.layers.recurrent import before, gradients_after_loop, lstm_state
from recipes.optimization.losses import Perplexity, smoothed_cross_entropy
from recipes.optimization.optimizers import Adam, warmup_cosine
from recipes.settings import CaptionedImages, Count, Counts, NotNegative, Positive, Share, ValidationShare, VocabSize
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


Encoder = Literal["efficientnet_lite0", "efficientnet_v2_b0", "vgg19", "convnet"]


@dataclass(frozen=True)
class Config(CaptionedImages):
    """Settings of show_attend_tell. Change them by name: `fit(attention="hard")`."""

    # data
    dataset: str = "flickr8k"  # "flickr8k", "scenes", or a tensorflow-datasets set with an "image" and "captions"
    validation_fraction: ValidationShare = 0.1  # share held out where the data set has no validation split
    image_size: Annotated[int, Field(ge=8)] = 224  # pixels of a side that images are resized to; "scenes": 56
    sequence_length: Count = 30  # most words of a caption
    vocab_size: VocabSize = 3_000  # most words that are learned
    # model
    encoder: Encoder = "efficientnet_lite0"  # network that annotates the image; "convnet" is trained along
    fine_tune: bool = False  # whether a pretrained encoder is trained along; else its annotations are computed once
    filters: Counts = (32, 64, 128)  # of "convnet", which is trained along; each halves the image
    attention: Literal["soft", "hard"] = "soft"  # look at all places by weights, or at one
    attention_units: Count = 128  # width of the network that scores the places
    embed_dim: Count = 256  # width of the word embedding
    units: Count = 384  # width of the hidden state
    dropout: Share = 0.5  # dropout before the output layer
    state_dropout: Share = 0.0  # share of steps whose hidden state is dropped, so the word must come from what it sees
    # training
    attention_penalty: NotNegative = 0.1  # weight of the doubly stochastic penalty, equation 14
    policy_weight: NotNegative = 0.1  # hard: weight of REINFORCE in the gradient, lambda_r
    entropy_weight: NotNegative = 0.002  # hard: weight of the entropy of where it looks, lambda_e
    batch_size: Count = 64
    epochs: Count = 8
    learning_rate: Positive = 1e-3  # Adam's highest, after a warm-up, and then falling to 0
    warmup_fraction: Share = 0.05  # share of the steps in which the rate climbs
    clip_norm: Positive | None = (
        5.0  # gradients are clipped to this norm, often: a caption's loss is a sum; None: never
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_without_effect("in_memory", "its images are read as they are needed, its captions kept in memory")
        if self.attention == "soft":
            self.refuse_without_effect("policy_weight entropy_weight", "attention='soft' draws nothing")
        if self.encoder == "convnet":
            self.refuse_without_effect("fine_tune", "encoder='convnet' is always trained along")
        else:
            self.refuse_without_effect("filters", f"encoder={self.encoder!r} has its own")


HARD = Config(attention="hard", attention_penalty=0.0)
#: Generated scenes, read by a network that is trained along: what is in them and where is known.
SCENES = Config(
    dataset="scenes",
    encoder="convnet",
    image_size=56,
    sequence_length=12,
    embed_dim=64,
    units=128,
    dropout=0.1,
    state_dropout=0.3,
    attention_penalty=0.0,
    batch_size=32,
    learning_rate=2e-3,
    epochs=6,
)
TINY = replace(
    SCENES,
    filters=(4, 4, 8),
    embed_dim=8,
    units=8,
    learning_rate=3e-4,
    epochs=1,
    max_examples=64,
    precision="float32",
)

# ---------------------------------------------------------------- data

FLICKR8K = Sizes(train_examples=30_000, vocab_size=3_000)


def load_data(config: Config = Config(), data: Any = None, tokenizer: Any = None) -> Splits:
    """Returns the batches ((image, words (B, T)), following (B, T)): int32 words, 0 after their end.

    Teacher forcing: `words` is the start and the caption, `following` the caption and the end. `image` is the
    annotations (B, L, D) float32 of a pretrained encoder, else (B, H, W, 3) uint8. `data` may be your own:
    `(images, captions)`, a text file of "photo.jpg<tab>caption" lines, two or three of either (training,
    (validation,) test), a table, or Splits; images are (N, H, W, 3) in [0, 255] or paths of files. With a trained
    model's `tokenizer` captions are read as that model reads.
    """
    from recipes.data.captions import caption_splits
    from recipes.pretrained.encoders import annotate_once

    trained_along = config.encoder == "convnet" or config.fine_tune
    annotate = None if trained_along else partial(annotate_once, config.encoder, config.image_size)
    return caption_splits(config, data, tokenizer, annotate)


# ---------------------------------------------------------------- attention


@named_in_files("LookingLSTM")
class CaptionLSTM(layers.Layer):
    """An LSTM that attends to the places of an image before it reads each word; Xu et al. (2015), section 3.1.2.

    In training, one caption in two is soft even with "hard", as section 4.1 has it, so that the estimate of the
    gradient varies less. Training scans `step` over a caption, decoding calls it word by word.

    Args:
        units: Width of the hidden state.
        attention: "soft" or "hard".
        attention_units: Width of the network that scores the places.
        seed: Of what "hard" draws.
    """

    def __init__(self, units: int, attention: str, attention_units: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if attention not in ("soft", "hard"):
            raise ConfigError(f"attention={attention!r} is unknown; expected 'soft' or 'hard'")
        self.units, self.attention, self.attention_units, self.seed = units, attention, attention_units, seed
        self.draws = keras.random.SeedGenerator(seed)
        own = {"dtype": self.dtype_policy}
        self.cell = layers.LSTMCell(units, **own)
        self.keys = layers.Dense(attention_units, use_bias=False, name="keys", **own)  # W
        self.query = layers.Dense(attention_units, name="query", **own)  # U
        self.score = layers.Dense(1, use_bias=False, name="score", **own)  # v
        self.gate = layers.Dense(1, activation="sigmoid", name="gate", **own)  # beta

    def build(self, x_shape: Any, annotations_shape: Any, *_: Any) -> None:
        """Makes the weights."""
        hidden_shape, self.embed_dim = (None, self.units), x_shape[-1]
        self.cell.build((None, x_shape[-1] + annotations_shape[-1]))
        self.keys.build(annotations_shape)
        self.query.build(hidden_shape)
        self.score.build((None, None, self.attention_units))
        self.gate.build(hidden_shape)

    def call(self, x: Any, annotations: Any, hidden: Any, cell: Any, training: bool = False) -> tuple[Any, ...]:
        """Returns of each step h (B, T, units), z (B, T, D), alpha and where it looked (B, T, L) float32.

        `alpha` adds up to one over the places. Where it looked is alpha, or 1 at one place.

        Args:
            x: (B, T, M), each word before the next.
            annotations: (B, L, D), a vector for each place.
            hidden: (B, units), before the first step.
            cell: (B, units).
            training: Whether "hard" draws.
        """
        projected, kernels = self.project_annotations(annotations), self.kernels()
        inputs, draws = ops.transpose(self.read(x), (1, 0, 2)), True  # (T, B, 4 units)
        width, outputs = inputs.shape[-1], list[Any]()
        if training:
            inputs = gradients_after_loop(inputs, kernels, lambda: (outputs[2], before(hidden, outputs[0])))
            kernels = tuple(ops.stop_gradient(kernel) for kernel in kernels)
        if self.attention == "hard" and training:
            noise, draws = self.draw(x, annotations)
            # In one tensor with the words, for Keras 3.15 cannot scan over two of a length that is not known.
            inputs = ops.concatenate([ops.cast(inputs, "float32"), ops.transpose(noise, (1, 0, 2))], -1)

        def step(state: Any, inputs: Any) -> tuple[Any, Any]:
            noise = inputs[:, width:] if inputs.shape[-1] > width else 0.0
            state = self.step(ops.cast(inputs[:, :width], x.dtype), state, *projected, noise, draws, kernels)
            return state, state

        _, parts = ops.scan(step, self.initial_state(annotations, hidden, cell), inputs)
        outputs.extend(parts)
        states, _, z, alpha, looks = (ops.transpose(part, (1, 0, 2)) for part in parts)
        return states, z, alpha, looks

    def read(self, x: Any) -> Any:
        """Returns what words, (..., M), add to the gates, (..., 4 units): a product for all steps."""
        kernel, bias = (ops.cast(weight, self.compute_dtype) for weight in (self.cell.kernel, self.cell.bias))
        return ops.matmul(x, kernel[: x.shape[-1]]) + bias

    def kernels(self) -> tuple[Any, Any]:
        """Returns what z, (D, 4 units), and h, (units, 4 units), are multiplied by."""
        kernel, recurrent = (
            ops.cast(weight, self.compute_dtype) for weight in (self.cell.kernel, self.cell.recurrent_kernel)
        )
        return kernel[self.embed_dim :], recurrent

    def step(
        self,
        x: Any,
        state: Any,
        keys: Any,
        annotations: Any,
        noise: Any = 0.0,
        draws: Any = True,
        kernels: tuple[Any, Any] | None = None,
    ) -> tuple:
        """Returns the next state (h, cell, z, alpha, where it looked) after a word has been read.

        Args:
            x: (B, 4 units): `read` of the word.
            state: The one before.
            keys: (B, L, units of attention), of `project_annotations`.
            annotations: (B, L, D).
            noise: (B, L), which makes a drawn place of the likeliest; 0: the likeliest.
            draws: (B, 1) bool, which captions look at one place; with "hard".
            kernels: `kernels`, whose gradients are made elsewhere; None: themselves.
        """
        hidden, cell, *_ = state
        scores = self.score(ops.tanh(keys + self.query(hidden)[:, None]))[..., 0]  # (B, L), equation 4
        scores = ops.cast(scores, "float32")
        alpha = looks = ops.softmax(scores)  # equation 5
        if self.attention == "hard":
            one_place = ops.one_hot(ops.argmax(scores + noise, -1), scores.shape[-1])
            looks = ops.where(draws, one_place, alpha)
        z = ops.matmul(ops.cast(looks, annotations.dtype)[:, None], annotations)[:, 0]  # (B, D), equations 9 and 13
        z = self.gate(hidden) * z  # beta, section 4.2.1
        of_z, of_hidden = kernels or self.kernels()
        gates = x + ops.matmul(z, of_z) + ops.matmul(hidden, of_hidden)
        hidden, cell = lstm_state(gates, cell)  # equations 1 to 3
        return hidden, cell, z, alpha, looks

    def project_annotations(self, annotations: Any) -> tuple[Any, Any]:
        """Returns what stays the same in all steps: the places' keys, and the annotations."""
        annotations = ops.cast(annotations, self.compute_dtype)
        return self.keys(annotations), annotations

    def initial_state(self, annotations: Any, hidden: Any, cell: Any) -> tuple[Any, ...]:
        """Returns the state before the first step: h, cell, z, alpha, where it looked."""
        nowhere = ops.zeros_like(annotations[..., 0], dtype="float32")
        return hidden, cell, ops.zeros_like(annotations[:, 0], self.compute_dtype), nowhere, nowhere

    def draw(self, x: Any, annotations: Any) -> tuple[Any, Any]:
        """Returns (Gumbel noise (B, T, L), which makes a drawn place of the likeliest; (B, 1) which captions draw).

        Drawn for the whole batch, of which this replica takes its rows.
        """
        batch, steps = ops.shape(x)[0] * replicas_here(), ops.shape(x)[1]
        shape = (batch, steps, annotations.shape[1])
        uniform = replica_rows(keras.random.uniform(shape, 1e-9, 1.0, dtype="float32", seed=self.draws))
        draws = replica_rows(keras.random.uniform((batch, 1), dtype="float32", seed=self.draws)) < 0.5
        return -ops.log(-ops.log(uniform)), draws

    def compute_output_spec(self, x: Any, annotations: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
        """Returns the shapes and dtypes of what `call` returns."""
        (_, places, width), before = annotations.shape, x.shape[:2]
        kinds = [(size, self.compute_dtype) for size in (self.units, width)] + [(places, "float32")] * 2
        return tuple(keras.KerasTensor((*before, size), dtype) for size, dtype in kinds)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        own = {"units": self.units, "attention": self.attention, "attention_units": self.attention_units}
        return {**super().get_config(), **own, "seed": self.seed}


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = FLICKR8K) -> keras.Model:
    """Returns the compiled model from [annotations (B, L, D) or images (B, H, W, 3) in [0, 255], words (B, T)].

    Its outputs are {"logits": (B, T, V) of the next word, "weights": alpha and "looks": where it looked, (B, T, L)},
    float32.
    """
    image, annotations = read_image(config)
    words = keras.Input((None,), dtype="int32", name="words")
    mean = layers.GlobalAveragePooling1D()(annotations)  # (B, D)
    hidden = layers.Dense(config.units, activation="tanh", name="hidden")(mean)
    cell = layers.Dense(config.units, activation="tanh", name="cell")(mean)
    x = layers.Embedding(sizes.vocab_size, config.embed_dim, name="embedding")(words)  # (B, T, M), E y
    writer = CaptionLSTM(config.units, config.attention, config.attention_units, config.seed, name="writer")
    states, z, alpha, looks = writer(x, annotations, hidden, cell)  # (B, T, units), (B, T, D), (B, T, L) twice
    states = layers.Dropout(config.state_dropout, noise_shape=(None, None, 1))(states)  # whole steps'
    of_state = layers.Dense(config.embed_dim, name="L_h")
    of_image = layers.Dense(config.embed_dim, name="L_z")
    x = layers.Dropout(config.dropout)(deep_output(x, states, z, of_state, of_image))
    logits = layers.Dense(sizes.vocab_size, dtype="float32", name="logits")(x)  # (B, T, V), L_o

    outputs = {"logits": logits, "weights": alpha, "looks": looks}
    model = Captioner([image, words], outputs, name="show_attend_tell")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(
        optimizer=Adam(rate, global_clipnorm=config.clip_norm),
        cost=CaptionLoss(config.attention, config.attention_penalty, config.policy_weight, config.entropy_weight),
    )
    return model


def deep_output(word: Any, hidden: Any, z: Any, of_state: layers.Dense, of_image: layers.Dense) -> Any:
    """Returns tanh(E y + L_h h + L_z z), (..., M): equation 7, in training and decoding alike.

    The tanh stands in the authors' program, not in the paper.
    """
    return ops.tanh(word + of_state(hidden) + of_image(z))


def read_image(config: Config) -> tuple[Any, Any]:
    """Returns (the input of the model, the annotations (B, L, D)): of a pretrained encoder, or of a small convnet."""
    if config.encoder != "convnet":
        from recipes.pretrained.encoders import encoder_inputs

        return encoder_inputs(config.encoder, config.image_size, config.fine_tune)
    image = x = keras.Input((config.image_size, config.image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for filters in config.filters:  # (B, 28, 28, 32), (B, 14, 14, 64), (B, 7, 7, 128)
        x = layers.MaxPooling2D()(normalized_convolution(x, filters))
    x = normalized_convolution(x, config.filters[-1])
    return image, layers.Reshape((-1, x.shape[-1]), name="annotations")(x)


def normalized_convolution(x: Any, filters: int) -> Any:
    """Returns a 3x3 convolution, batch-normalised and rectified."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    return layers.Activation("relu")(BatchNormalization()(x))


# ---------------------------------------------------------------- objective


@named_in_files("CaptionNats")
class CaptionLoss(layers.Layer):
    """The loss of a caption in nats; sections 4.1 and 4.2.1. A layer, for it holds the baseline.

        soft:  -log p(y) + lambda sum_i (1 - sum_t alpha_ti)^2
        hard:  the same, and -lambda_r (log p(y) - b) log p(s) - lambda_e H(alpha),
               whose gradient is REINFORCE's: b is a moving average of log p(y), and s where it looked

    Args:
        attention: "soft", or "hard", which learns where to look by REINFORCE.
        penalty: lambda of equation 14: that each place is looked at as much as the others, over a whole caption.
        policy_weight: lambda_r of section 4.1.
        entropy_weight: lambda_e of section 4.1, that what is drawn stays open.
    """

    def __init__(
        self, attention: str, penalty: float, policy_weight: float, entropy_weight: float, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})  # whatever the model computes in
        self.attention, self.penalty = attention, penalty
        self.policy_weight, self.entropy_weight = policy_weight, entropy_weight
        self.baseline = self.add_weight(
            name="baseline", initializer="zeros", trainable=False, dtype="float32", aggregation="mean"
        )
        self.built = True

    def call(self, cross_entropy: Any, alpha: Any, looks: Any, padding_mask: Any, training: bool = True) -> Any:
        """Returns the loss of each caption, (B,), whose gradient is the paper's; else cross-entropy and penalty alone.

        Args:
            cross_entropy: (B,) -log p(y) of a caption's words, given where it looked.
            alpha: (B, T, L): adds up to one over the places.
            looks: (B, T, L): where it looked, alpha or 1 at one place.
            padding_mask: (B, T), 1 at words and 0 at padding.
            training: Whether to learn where to look; the baseline moves then.
        """
        loss = cross_entropy + self.penalty * doubly_stochastic_penalty(alpha, padding_mask)
        if self.attention == "soft" or not training:
            return loss
        log_alpha = ops.log(ops.maximum(alpha, 1e-20))
        # Where a caption is soft, looks are alpha itself, and the gradient of this sum is 0: alpha's goes through z.
        log_p_s = ops.sum(padding_mask[..., None] * ops.stop_gradient(looks) * log_alpha, (1, 2))  # (B,)
        entropy = -ops.sum(padding_mask[..., None] * alpha * log_alpha, (1, 2))
        advantage = ops.stop_gradient(-cross_entropy - self.baseline)  # log p(y) over what was to be expected
        self.baseline.assign(0.9 * self.baseline + 0.1 * ops.stop_gradient(ops.mean(-cross_entropy)))
        return loss - self.policy_weight * advantage * log_p_s - self.entropy_weight * entropy

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        names = ("attention", "penalty", "policy_weight", "entropy_weight")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def doubly_stochastic_penalty(alpha: Any, padding_mask: Any) -> Any:
    """Returns sum_i (1 - sum_t alpha_ti)^2, equation 14: (B, T, L) and (B, T), 1 at words, to (B,)."""
    return ops.sum(ops.square(1 - ops.sum(padding_mask[..., None] * alpha, 1)), -1)


@keras.saving.register_keras_serializable("recipes")
class Captioner(keras.Model):
    """A functional model with the outputs of `build`, and its loss: `compile(optimizer, cost=CaptionLoss(...))`."""

    def compile(self, optimizer: Any, cost: CaptionLoss, **kwargs: Any) -> None:
        """Takes the optimizer and the loss of a caption."""
        super().compile(optimizer=optimizer, **kwargs)
        self.cost, self.perplexity = cost, Perplexity()

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the mean loss of a batch's captions: y (B, T) words, 0 for padding."""
        padding_mask = ops.cast(y != 0, "float32")
        cross_entropy = ops.sum(padding_mask * smoothed_cross_entropy(y, y_pred["logits"], 0.0), -1)  # (B,)
        loss = self.cost(cross_entropy, y_pred["weights"], y_pred["looks"], padding_mask, training=training)
        return ops.mean(loss) / replicas_here()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Returns the loss and the perplexity so far."""
        self.perplexity.update_state(y, y_pred["logits"])
        return self.get_metrics_result()

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` takes."""
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("optimizer", "cost")}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` described."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})
        self.optimizer.build(self.trainable_variables)


# ---------------------------------------------------------------- word by word


def decoder(model: keras.Model) -> tuple[Any, Any]:
    """Returns (what the model reads of an image -> state before the first word, step), for `recipes.kinds.decoding`."""
    names = ("embedding", "writer", "L_h", "L_z", "logits")
    embedding, writer, of_state, of_image, logits = (model.get_layer(name) for name in names)
    reader = keras.Model(model.inputs[0], [model.get_layer(name).output for name in ("annotations", "hidden", "cell")])

    def encode(inputs: tf.Tensor) -> dict[str, Any]:
        annotations, hidden, cell = reader(inputs, training=False)
        return {
            "projected": writer.project_annotations(annotations),
            "state": writer.initial_state(annotations, hidden, cell),
        }

    def step(token: tf.Tensor, position: tf.Tensor, state: dict[str, Any]) -> tuple[tf.Tensor, dict[str, Any]]:
        word = embedding(token)
        hidden, cell, z, alpha, looks = writer.step(writer.read(word), state["state"], *state["projected"])
        next_state = {**state, "state": (hidden, cell, z, alpha, looks)}
        return logits(deep_output(word, hidden, z, of_state, of_image)), next_state

    return encode, step


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    return replace(
        config,
        dropout=hp.Float("dropout", 0.1, 0.6, step=0.1),
        attention_penalty=hp.Choice("attention_penalty", [0.0, 0.1, 1.0]),
        learning_rate=hp.Float("learning_rate", 3e-4, 3e-3, sampling="log"),
    )


# ---------------------------------------------------------------- verbs

kind = Captioning(decoder, Config(), beam_width=3, length_penalty=0.0)
recipe = Recipe(Config, load_data, build, search_space, kind=kind, objective=("val_perplexity", "min"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
caption, explain = recipe.verb(kind.caption), recipe.verb(kind.explain)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
