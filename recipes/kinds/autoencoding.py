"""Autoencoders: an encoder, images to a code, and a decoder, a code to the logits of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from recipes.errors import DataError

if TYPE_CHECKING:
    from recipes.data.in_memory import EvaluationData
    from recipes.data.splits import Splits
    from recipes.runs.exhibits import Exhibit
    from recipes.verbs.export import Signature, Source
    from recipes.verbs.export_network import Network


class Autoencoding:
    """The kind of a model whose layers "encoder" and "decoder" are its two halves.

    The encoder takes (B, H, W, C) pixels in [0, 255] to a code, or to a list whose first is one; the decoder takes a
    code to (B, H, W, C) logits of pixels.

    `predict` answers with the "code" and the reconstructed "image", (H, W, C) float32 in [0, 255]. Signatures of an
    export: `serving_default` (`image_bytes`, encoded images), `image` and `image_uint8` answer with `code` and `image`,
    the first also with `image_bytes` (B,) string, PNG files; `decode` takes `code` (B, ...) float32 and answers with
    `image`.
    """

    name = "autoencoding"

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns the loss and the compiled metrics on the test split, in nats."""
        from recipes.verbs.evaluate import compiled_metrics

        return compiled_metrics(model, splits)

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields reconstructions.png: test images as they went in, as they came out, and as they are without noise."""
        from recipes.kinds.plots import draw_images

        if splits.test is None:
            return
        images, targets = next(splits.test.unbatch().batch(12).as_numpy_iterator(), (np.zeros(0), np.zeros(0)))
        if not len(images):
            return
        rows = {"input": images, "output": self.reconstruct(model, images), "target": 255 * targets}
        title = "Test images as they went in (above), as they came out, and as they are without noise (below)"
        if np.allclose(images, rows["target"], atol=0.5):
            title = "Test images as they went in (above) and as they came out (below)"
            del rows["target"]
        drawn = np.concatenate(list(rows.values()))
        yield title, "reconstructions.png", lambda: draw_images(drawn, columns=len(images), row_labels=list(rows))

    def evaluation_data(self, data: Any, model: keras.Model) -> EvaluationData:
        """Returns the test split of a user's images, or all of them."""
        from recipes.data.images import evaluation_images

        return evaluation_images(data, model)

    def predict(self, model: keras.Model, inputs: Any) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (name, {"code", "image"}) of images; see `inputs.read_images`."""
        from recipes.kinds.inputs import predict_each, read_images
        from recipes.verbs.export import in_float32

        reconstruct, _ = served_functions(*map(in_float32, encoder_and_decoder(model)))
        compiled = tf.function(reconstruct, reduce_retracing=True)

        def predict(images: list[np.ndarray]) -> list[dict[str, Any]]:
            answer = compiled(tf.constant(np.stack(images)))
            codes, outputs = answer["code"].numpy(), answer["image"].numpy()
            return [{"code": code, "image": image} for code, image in zip(codes, outputs, strict=True)]

        return predict_each(read_images(inputs, tuple(model.input_shape[1:])), predict)

    def signatures(self, model: keras.Model, source: Source) -> tuple[Sequence[Any], dict[str, Signature]]:
        """Returns both halves, and the signatures that the class docstring lists."""
        from recipes.data.images import check_channels
        from recipes.kinds.image_classification import image_signatures, with_png_files
        from recipes.verbs.export import Signature, in_float32

        shape = tuple(model.input_shape[1:])
        check_channels(shape)
        encoder, decoder = map(in_float32, encoder_and_decoder(model))
        reconstruct, decode = served_functions(encoder, decoder)
        images = np.rint(source.examples(8)).astype(np.float32)  # with noise they are no whole numbers, as files are
        answer = {name: value.numpy() for name, value in reconstruct(tf.constant(images)).items()}
        signatures = with_png_files(
            image_signatures(reconstruct, shape, images, answer, "The code and the reconstruction")
        )
        code_spec = {"code": tf.TensorSpec((None, *decoder.input_shape[1:]), tf.float32)}
        signatures["decode"] = Signature(
            decode, code_spec, {"code": answer["code"]}, {"image": answer["image"]}, "The image that a code stands for"
        )
        return [encoder, decoder], signatures

    def networks(self, model: keras.Model, source: Source, count: int = 8) -> dict[str, Network]:
        """Returns {"model": `image` (B, H, W, C) to `code` and `reconstruction`, "decoder": `code` to `image`}.

        Images are in [0, 255]. ONNX has no output of the name of an input.
        """
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        encoder, decoder = map(in_float32, encoder_and_decoder(model))
        images = source.examples(count).astype(np.float32)

        def decode(code: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"image": to_pixels(decoder(code, training=False))}

        def reconstruct(image: tf.Tensor) -> dict[str, tf.Tensor]:
            code = first_output(encoder(image, training=False))
            return {"code": code, "reconstruction": decode(code)["image"]}

        image_spec = {"image": tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)}
        code_spec = {"code": tf.TensorSpec((None, *decoder.input_shape[1:]), tf.float32)}
        outside = "decode the image file, resize it to (H, W), keep the pixels in [0, 255]"
        codes = {"code": predict_in_batches(encoder, images)}
        return {
            "model": Network(reconstruct, image_spec, {"image": images}, models=[encoder, decoder], outside=outside),
            "decoder": Network(decode, code_spec, codes, models=[decoder], outside="make or change codes"),
        }

    def encode(self, model: keras.Model, images: Any) -> np.ndarray:
        """Returns the codes of images, (B, H, W, C) in [0, 255] to (B, ...) float32."""
        return predict_in_batches(encoder_and_decoder(model)[0], images)

    def decode(self, model: keras.Model, codes: Any) -> np.ndarray:
        """Returns the images that codes stand for, (B, ...) to (B, H, W, C) float32 in [0, 255]."""
        logits = predict_in_batches(encoder_and_decoder(model)[1], codes)
        return keras.ops.convert_to_numpy(to_pixels(logits))

    def reconstruct(self, model: keras.Model, images: Any) -> np.ndarray:
        """Returns images encoded and decoded, (B, H, W, C) in [0, 255] twice: without their noise, of a denoiser."""
        return self.decode(model, self.encode(model, images))


def served_functions(encoder: keras.Model, decoder: keras.Model) -> tuple[Callable, Callable]:
    """Returns (images -> {"code", "image"}, codes -> {"image"}), of batches that may be empty, in TensorFlow alone."""
    from recipes.data.batch_rows import with_one_if_empty

    def decode_some(code: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image": to_pixels(decoder(code, training=False))}

    def reconstruct_some(image: tf.Tensor) -> dict[str, tf.Tensor]:
        code = first_output(encoder(tf.cast(image, tf.float32), training=False))
        return {"code": code, **decode_some(code)}

    def decode(code: tf.Tensor) -> dict[str, tf.Tensor]:
        return with_one_if_empty(decode_some, code)

    def reconstruct(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return with_one_if_empty(reconstruct_some, image)

    return reconstruct, decode


def encoder_and_decoder(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns the two halves of an autoencoder."""
    return model.get_layer("encoder"), model.get_layer("decoder")


def to_pixels(logits: Any) -> Any:
    """Returns the pixels in [0, 255] that a decoder's logits stand for."""
    return 255 * keras.ops.sigmoid(logits)


def predict_in_batches(network: keras.Model, values: Any, batch_size: int = 256) -> np.ndarray:
    """Returns a network's outputs for (N, ...) values of any number, batch by batch; of several outputs the first."""
    values = np.asarray(values)
    if not len(values):  # kernels fail on an empty batch: the answer to a batch of one zero, cut off
        return predict_in_batches(network, np.zeros((1, *values.shape[1:])))[:0]
    outputs = []
    for start in range(0, len(values), batch_size):
        batch = np.asarray(values[start : start + batch_size], np.float32)
        outputs.append(keras.ops.convert_to_numpy(first_output(network(batch, training=False))))
    return np.concatenate(outputs)


def first_output(outputs: Any) -> Any:
    """Returns the first of several outputs, or the only one."""
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs
