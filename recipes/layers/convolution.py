"""A convolution whose training step uses bfloat16 arithmetic well."""

from typing import Any

import keras
import tensorflow as tf

from recipes.devices.keras_fixes import saved_as_stock
from recipes.devices.replicas import on_processor

SMALL, MANY = 8, 128  # sides of an image, channels


@saved_as_stock(keras.layers.Conv2D)
class Conv2D(keras.layers.Conv2D):
    """Keras's layer: (B, H, W, C) to (B, H', W', filters).

    In bfloat16 on a processor the gradient of a kernel is by far the slowest of a convolution's three products where
    images are small and channels are many. There it is one product of matrices here, the image's patches by the
    gradient of the outputs, in little more than half the time. A saved model has Keras's layer in its place.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Returns the convolution, without its bias."""
        channels = inputs.shape[-1]
        plain = self.strides == self.dilation_rate == (1, 1) and self.groups == 1
        is_odd = all(size % 2 for size in self.kernel_size)
        pays = self.compute_dtype == "bfloat16" and on_processor() and min(channels, self.filters) >= MANY
        if plain and is_odd and pays and self.data_format == "channels_last":
            height, width = self.compute_output_shape(inputs.shape)[1:3]
            if max(height or 99, width or 99) <= SMALL:
                images = tf.convert_to_tensor(inputs)
                return convolution(images, tf.convert_to_tensor(kernel), self.padding.upper())
        return super().convolution_op(inputs, kernel)


def convolution(images: tf.Tensor, kernel: tf.Tensor, padding: str) -> tf.Tensor:
    """Returns images (B, H, W, C) * kernel (h, w, C, F), h and w odd: (B, H', W', F).

    Args:
        images: What is convolved.
        kernel: By what.
        padding: "SAME", with zeros, or "VALID".
    """

    @tf.custom_gradient
    def convolved(images: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_images = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(images), filter=kernel, out_backprop=upstream, strides=[1] * 4, padding=padding
            )
            return of_images, gradient_of_kernel(images, upstream, kernel.shape)

        return tf.nn.conv2d(images, kernel, 1, padding), gradient

    return convolved(images, kernel)


def gradient_of_kernel(images: tf.Tensor, upstream: tf.Tensor, shape: Any) -> tf.Tensor:
    """Returns sum_(b, y, x) image[b, y + i, x + j, c] g[b, y, x, f], a product of matrices for each i and j.

    Args:
        images: (B, H, W, C), which is padded with zeros on all sides to (B, H' + h - 1, W' + w - 1, C).
        upstream: The gradient g with respect to the outputs, (B, H', W', F).
        shape: (h, w, C, F), of the kernel.
    """
    rows, columns, channels, filters = shape
    height, width = upstream.shape[1:3]
    places = tf.size(upstream) // filters
    around = [((size + more - 1 - old) // 2,) * 2 for size, more, old in zip((height, width), shape, images.shape[1:3])]
    # The batch comes last: what is shifted are then long runs of numbers.
    padded = tf.pad(tf.transpose(images, (3, 1, 2, 0)), [(0, 0), *around, (0, 0)])
    upstream = tf.reshape(tf.transpose(upstream, (3, 1, 2, 0)), (filters, places))
    shifted = [padded[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
    products = [tf.matmul(tf.reshape(each, (channels, places)), upstream, transpose_b=True) for each in shifted]
    return tf.reshape(tf.concat(products, 0), shape)
