"""Models of labelled images: how they are scored, reported, asked and exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from recipes.errors import ConfigError, DataError

if TYPE_CHECKING:
    import keras

    from recipes.data.in_memory import EvaluationData
    from recipes.data.splits import DataInfo, Splits
    from recipes.runs.exhibits import Exhibit
    from recipes.verbs.export import Signature, Source
    from recipes.verbs.export_network import Network


class ImageClassification:
    """The kind of a model of (B, H, W, C) pixels in [0, 255] to (B, classes) logits, or to (B, 1) numbers.

    `predict` answers with "label", "probability" of the label, and "probabilities" {label: probability}; where an
    example may have several labels with "labels", a list, and "probabilities"; where it has a number with "value".
    `predict(..., min_probability=0.9)` gives no label, None, where that of the likeliest class is below;
    `predict(..., samples=30)` the mean and the "spread" over networks that drop units; see `classes.answer_of`.

    Signatures of an export, each with the outputs `label` (B,) string, `probability` (B,) float32 and `probabilities`
    (B, classes) float32; of several labels `labels` (B, V) string, "" where one is not there, and `probabilities`
    (B, V); of a number `value` (B,) float32:

    - `serving_default`: `image_bytes` (B,) string, encoded JPEG, PNG, GIF, WebP or BMP of any size up to 64
      megapixels, colour or grey, turned as its EXIF says.
    - `image`: `image` (B, H, W, C) float32 in [0, 255].
    - `image_uint8`: `image` (B, H, W, C) uint8.
    - `classify`, of a number `regress`: tf.Examples with the feature "image_bytes"; see `tf_examples`.
    - `embed`, with `embeds`: `image_bytes` (B,) string to `embedding` (B, D) float32.

    Args:
        embeds: The name of the layer whose outputs (B, D) are an image's embedding; "": there is none.
    """

    name = "image_classification"

    def __init__(self, embeds: str = "") -> None:
        self.embeds = embeds

    def evaluate(self, model: keras.Model, splits: Splits, views: bool = False) -> dict[str, float]:
        """Returns the loss and other figures on the test split, by name; see `label_figures.figures`.

        With `views` also "accuracy_of_views", of classes: test-time augmentation, see `image_views.logits_of_views`.
        """
        from recipes.kinds.label_figures import figures

        if views and splits.info.task != "classification":
            raise ConfigError(f"views={views} averages over the classes, and this is {splits.info.task}; leave it out")
        values = figures(model, splits)
        if not views or splits.test is None:
            return values
        from recipes.kinds.image_views import accuracy_over_views

        return {**values, "accuracy_of_views": accuracy_over_views(model, splits.test)}

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields what the report shows of the test split: see `plots`, or `label_figures` of other labels."""
        from recipes.kinds.label_figures import exhibits
        from recipes.kinds.plots import classifier_exhibits

        return classifier_exhibits(model, splits) if splits.info.task == "classification" else exhibits(model, splits)

    def evaluation_data(self, data: Any, model: keras.Model) -> EvaluationData:
        """Returns the test split of a user's images, or all of them."""
        from recipes.data.images import evaluation_images

        return evaluation_images(data, model)

    def predict(
        self, model: keras.Model, inputs: Any, min_probability: float = 0.0, samples: int = 0
    ) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (name, what the class docstring says) of images; see `inputs.read_images`."""
        import numpy as np
        import tensorflow as tf

        from recipes.kinds.classes import answer_of, check_doubts, named_answers
        from recipes.kinds.inputs import predict_each, read_images
        from recipes.verbs.export import in_float32
        from recipes.verbs.load import run_of

        info, asked = run_of(model).info, in_float32(model)
        check_doubts(asked, info, min_probability, samples)
        classify = tf.function(classify_function(asked, info), reduce_retracing=True)

        def predict(images: list[np.ndarray]) -> list[dict[str, Any]]:
            answer = answer_of(asked, classify, tf.constant(np.stack(images)), samples)
            return named_answers(answer, info, min_probability)

        return predict_each(read_images(inputs, tuple(model.input_shape[1:])), predict)

    def signatures(self, model: keras.Model, source: Source) -> tuple[Sequence[Any], dict[str, Signature]]:
        """Returns the model, and the signatures that the class docstring lists."""
        import numpy as np

        from recipes.data.images import check_channels
        from recipes.kinds.classes import numbers_of
        from recipes.kinds.tf_examples import example_signatures
        from recipes.verbs.export import in_float32

        shape = tuple(model.input_shape[1:])
        check_channels(shape)
        served, images = in_float32(model), source.examples(16)
        classify = classify_function(served, source.info)
        answer = numbers_of(served.predict(images.astype(np.float32), verbose=0), source.info.task)
        what = "The number" if source.info.task == "regression" else "The labels and their probabilities"
        signatures = image_signatures(classify, shape, images, answer, what)
        if self.embeds in [layer.name for layer in model.layers]:  # an ensemble has none
            signatures["embed"] = embedding_signature(served, self.embeds, images)
        return [served], signatures | example_signatures(signatures["serving_default"], source.info)

    def networks(self, model: keras.Model, source: Source, count: int = 16) -> dict[str, Network]:
        """Returns {"model": `image` (B, H, W, C) float32 in [0, 255] to `probabilities` (B, V), or `value` (B,)}."""
        import numpy as np
        import tensorflow as tf

        from recipes.kinds.classes import numbers_function
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        served, numbers = in_float32(model), numbers_function(source.info.task)
        network = Network(
            lambda image: numbers(served(image, training=False)),
            {"image": tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)},
            {"image": source.examples(count).astype(np.float32)},
            models=[served],
            outside="decode the image file, turn it as its EXIF says, resize it to (H, W), keep the pixels in [0, 255]",
        )
        return {"model": network}


def classify_function(model: keras.Model, info: DataInfo) -> Callable[[Any], dict[str, Any]]:
    """Returns the function (B, H, W, C) images in [0, 255] -> what `name_function` answers."""
    import tensorflow as tf

    from recipes.data.batch_rows import with_one_if_empty
    from recipes.kinds.classes import name_function

    name = name_function(model, info)

    def classify(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return with_one_if_empty(lambda image: name(model(tf.cast(image, tf.float32), training=False)), image)

    return classify


def image_signatures(
    function: Callable[[Any], dict[str, Any]],
    image_shape: Any,
    images: Any,
    answer: dict[str, Any] | None = None,
    meaning: str = "",
) -> dict[str, Signature]:
    """Returns the three signatures of a function of images: encoded bytes, float32 and uint8.

    Args:
        function: (B, H, W, C) float32 in [0, 255] -> outputs by name.
        image_shape: H, W, C; encoded images of other sizes are resized.
        images: Examples; of encoded ones and of uint8 the answer is known where these can hold them.
        answer: What the trained model answers to them; None: what the function does.
        meaning: What is answered of an image, in one line.
    """
    import numpy as np
    import tensorflow as tf

    from recipes.data.batch_rows import graph_of
    from recipes.data.image_files import decode_images
    from recipes.verbs.export import Signature

    images = images.astype(np.float32)
    exact = np.array_equal(images, np.rint(images))  # what a PNG can hold
    pixels = images.astype(np.uint8)
    png = np.array([tf.io.encode_png(image).numpy() for image in pixels], object)

    def spec(dtype: tf.DType) -> dict[str, tf.TensorSpec]:
        return {"image": tf.TensorSpec((None, *image_shape), dtype)}

    encoded = {"image_bytes": tf.TensorSpec((None,), tf.string)}
    # One graph of the model, and one of the decoder, for all signatures.
    of_images = graph_of(function, *spec(tf.float32).values())
    decode = graph_of(lambda image_bytes: decode_images(image_bytes, image_shape), *encoded.values())

    def of_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return of_images(decode(image_bytes))

    def of_floats(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return of_images(image)

    def of_integers(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return of_images(tf.cast(image, tf.float32))

    if answer is None:
        answer = {name: value.numpy() for name, value in of_images(tf.constant(images)).items()}
    known = answer if exact else {}
    return {
        "serving_default": Signature(of_bytes, encoded, {"image_bytes": png}, known, f"{meaning} of an image file"),
        "image": Signature(of_floats, spec(tf.float32), {"image": images}, answer, f"{meaning} of pixels in [0, 255]"),
        "image_uint8": Signature(of_integers, spec(tf.uint8), {"image": pixels}, known, f"{meaning} of pixels"),
    }


def embedding_signature(model: keras.Model, layer: str, images: Any) -> Signature:
    """Returns the signature of encoded images that answers with the outputs (B, D) of a layer."""
    import keras

    from recipes.data.batch_rows import with_one_if_empty

    network = keras.Model(model.inputs[0], model.get_layer(layer).output)

    def embed(image: Any) -> dict[str, Any]:
        return with_one_if_empty(lambda image: {"embedding": network(image, training=False)}, image)

    signatures = image_signatures(embed, tuple(model.input_shape[1:]), images, meaning="The embedding")
    return signatures["serving_default"]


def with_png_files(signatures: dict[str, Signature]) -> dict[str, Signature]:
    """Returns signatures of which `serving_default` answers with its "image" as PNG files, "image_bytes", too."""
    of_bytes = signatures["serving_default"].function

    def with_files(image_bytes: Any) -> dict[str, Any]:
        outputs = of_bytes(image_bytes)
        return outputs | {"image_bytes": png_files(outputs["image"])}

    return signatures | {"serving_default": signatures["serving_default"]._replace(function=with_files)}


def png_files(image: Any) -> Any:
    """Returns images as PNG files, (B, H, W, C) in [0, 255] to (B,) string, in TensorFlow operations alone."""
    import tensorflow as tf

    pixels = tf.cast(tf.round(image), tf.uint8)
    return tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.TensorSpec((), tf.string))
