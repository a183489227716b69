"""LitServe serving a Keras model: what benchmarks/serving.py is compared with.

    python benchmarks/serving_peer.py MODEL.keras PORT

It takes TensorFlow Serving's row format, one row a request: {"instances": [...]} of an image's pixels, or of
{"b64": ...} of an encoded image. litserve is installed by hand: pip install litserve
"""

import base64
import sys

import litserve


class KerasModel(litserve.LitAPI):
    """A model that is asked one row at a time."""

    def setup(self, device):
        """Loads the model."""
        import keras
        import tensorflow as tf

        self.model = keras.models.load_model(sys.argv[1], compile=False)
        self.answer = tf.function(lambda image: self.model(image, training=False), reduce_retracing=True)
        self.decode = lambda encoded: tf.io.decode_image(encoded, self.model.input_shape[-1], expand_animations=False)
        self.tensor = lambda rows: tf.cast(tf.convert_to_tensor(rows), tf.float32)

    def decode_request(self, request):
        """Returns the image, (H, W, C)."""
        [row] = request["instances"]
        return self.decode(base64.b64decode(row["b64"])) if isinstance(row, dict) else row

    def predict(self, image):
        """Returns the probabilities, (1, classes)."""
        return self.answer(self.tensor([image]) if isinstance(image, list) else self.tensor(image[None]))

    def encode_response(self, output):
        """Returns the JSON."""
        return {"predictions": output.numpy().tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(KerasModel(), accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(port=int(sys.argv[2]), host="127.0.0.1", generate_client_file=False, log_level="error")
