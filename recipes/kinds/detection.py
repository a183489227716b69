"""Models that find objects: how they are scored, reported, asked and exported."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from recipes.data.splits import Splits
from recipes.errors import ConfigError, DataError
from recipes.runs.exhibits import Exhibit

MOST = 100  # objects that are found in a photograph
SAME = 0.5  # of two boxes of a class that overlap more, the likelier is kept
LIKELY = 0.4  # an object is there from this probability on

#: A model's outputs -> boxes (B, A, 4), and the probabilities of the classes (B, A, C)
Decode = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# ---------------------------------------------------------------- boxes


def area(boxes: Any) -> Any:
    """Returns the areas of boxes (..., 4)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlap(boxes: Any, others: Any) -> Any:
    """Returns the intersection of boxes (..., 4) over their union, in [0, 1].

    >>> float(overlap(np.array([0.0, 0, 2, 2]), np.array([1.0, 1, 3, 3])) * 7)
    1.0
    """
    top, bottom = ops.maximum(boxes[..., :2], others[..., :2]), ops.minimum(boxes[..., 2:], others[..., 2:])
    both = ops.prod(ops.maximum(bottom - top, 0), -1)
    return both / ops.maximum(area(boxes) + area(others) - both, 1e-9)


def kept_objects(boxes: tf.Tensor, probabilities: tf.Tensor, least: float) -> tuple[tf.Tensor, ...]:
    """Returns the objects that boxes (B, A, 4) of classes (B, A, C) show, without boxes that mean the same one.

    Args:
        boxes: y_min, x_min, y_max, x_max, shares of height and width.
        probabilities: Of each class.
        least: From which probability on one is there.

    Returns:
        boxes (B, 100, 4) in [0, 1], probabilities (B, 100), the highest first, classes (B, 100) int32, how many there
        are (B,) int32; what is beyond these is zeros.
    """
    boxes = tf.clip_by_value(boxes, 0, 1)
    detections = tf.image.combined_non_max_suppression(
        boxes[:, :, tf.newaxis], probabilities, MOST, MOST, iou_threshold=SAME, score_threshold=least
    )
    return detections[0], detections[1], tf.cast(detections[2], tf.int32), detections[3]


def average_precision(
    detections: Sequence[tuple[Any, ...]], boxes: Any, labels: Any, label: int, least_overlap: float = 0.5
) -> tuple[float, np.ndarray]:
    """Returns (the average precision of a class, its precision at 101 shares of its objects that are found).

    As COCO has it: of each photograph the objects found, the likeliest first, take the object that they overlap the
    most and none has taken; precision at a recall is the best from there on. NaN where there is none of the class.

    Args:
        detections: Of each photograph boxes (n, 4), probabilities (n,) and classes (n,), the likeliest first.
        boxes: (N, M, 4), what is there.
        labels: (N, M), -1 where there is no more.
        label: The class.
        least_overlap: By which a box must overlap an object.
    """
    probabilities, is_right, objects = [], [], 0
    for (places, scores, classes), true_boxes, true_labels in zip(detections, boxes, labels, strict=True):
        there = np.asarray(true_boxes[true_labels == label])
        mine = np.flatnonzero(classes == label)
        is_free = np.ones(len(there), bool)
        objects += len(there)
        if not len(mine):
            continue
        shared = np.asarray(overlap(places[mine, np.newaxis].astype(np.float64), there[np.newaxis].astype(np.float64)))
        for row in range(len(mine)):
            open_ones = np.where(is_free, shared[row], -1)
            best = int(open_ones.argmax()) if len(there) else 0
            hit = bool(len(there)) and open_ones[best] >= least_overlap
            is_right.append(hit)
            if hit:
                is_free[best] = False
        probabilities.extend(scores[mine])
    if not objects:
        return float("nan"), np.zeros(101)
    order = np.argsort(-np.array(probabilities), kind="stable")
    right = np.cumsum(np.array(is_right, float)[order])
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    at = np.searchsorted(right / objects, np.linspace(0, 1, 101))
    curve = np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)] if len(precision) else 0.0, 0.0)
    return float(curve.mean()), curve


class Detection:
    """The kind of a model that finds objects: (B, H, W, C) pixels in [0, 255] to what a `decoder` makes boxes of.

    `predict` answers with the objects of a photograph, the likeliest first: "labels", "probabilities" and "boxes",
    [x_min, y_min, x_max, y_max] each, in the photograph's own pixels, turned as its EXIF says, counted from 0 at its
    top left corner; "count", how many, and "counts", {label: how many}. `min_probability=0.4` says from which
    probability on.

    Signatures of an export, each with `boxes` (B, 100, 4) float32, `labels` (B, 100) string, `probabilities` (B, 100)
    float32, zeros and "" beyond the objects found, and `count` (B,) int32, how many these are:

    - `serving_default`: `image_bytes` (B,) string, encoded images; boxes in the pixels of each, upright.
    - `image`, `image_uint8`: `image` (B, H, W, C); boxes in its pixels.

    Args:
        decoder: A model -> a function of its outputs that gives boxes (B, A, 4), y_min, x_min, y_max, x_max in shares
            of height and width, and of each the probabilities (B, A, C) of the classes.
    """

    name = "detection"
    drawn = "objects"  # by `draw_answer`: photo-objects.png

    def __init__(self, decoder: Callable[[keras.Model], Decode]) -> None:
        self.decoder = decoder

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns the loss and other figures on the test split.

        "map_50" is the mean of the classes' average precision of boxes that overlap by half and more, "map_50_95" over
        0.5, 0.55, ... 0.95, COCO's; "ap_50_LABEL" of each class that there is; "count_error_LABEL" by how many the
        count of a photograph is wrong, on average, and "objects_LABEL" how many there are of it, on average.
        """
        from recipes.verbs.evaluate import compiled_metrics

        figures = compiled_metrics(model, splits)
        if splits.originals is None:
            return figures
        boxes, labels = splits.originals
        detections, names = detections_in(model, self.decoder(model), splits.test), splits.info.label_names
        there = [label for label in range(len(names)) if (labels == label).any()]

        def precisions(least_overlap: float) -> list[float]:
            return [average_precision(detections, boxes, labels, label, least_overlap)[0] for label in there]

        of_class = precisions(0.5)
        if there:
            figures["map_50"] = float(np.mean(of_class))
            figures["map_50_95"] = float(np.mean([precisions(least) for least in np.linspace(0.5, 0.95, 10)]))
        for label, precision in zip(there, of_class, strict=True):
            figures[f"ap_50_{names[label]}"] = precision
        for label, name in enumerate(names):
            true_counts = (labels == label).sum(1)
            counts = np.array([np.sum((classes == label) & (scores >= LIKELY)) for _, scores, classes in detections])
            figures[f"count_error_{name}"] = float(np.abs(counts - true_counts).mean())
            figures[f"objects_{name}"] = float(true_counts.mean())
        return figures

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields detections.png, what is found in test photographs, and precision.png, precision over recall."""
        if splits.test is None or splits.originals is None:
            return
        boxes, labels = splits.originals
        detections, names = detections_in(model, self.decoder(model), splits.test), splits.info.label_names
        images = splits.examples(6)
        shown = [likely(one) for one in detections[: len(images)]]
        truth = [(of_each[kept >= 0], kept[kept >= 0]) for of_each, kept in zip(boxes, labels, strict=True)]
        title = "The first test photographs: what is found (in colour, with its probability), and what is there (white)"
        yield title, "detections.png", lambda: draw_objects(images, shown, names, truth)
        of_class = {name: average_precision(detections, boxes, labels, label) for label, name in enumerate(names)}
        curves = {name: one for name, one in of_class.items() if np.isfinite(one[0])}
        title = "Precision over recall, of boxes that overlap by half and more"
        yield title, "precision.png", lambda: draw_curves(curves)

    def evaluation_data(self, data: Any, model: keras.Model) -> Any:
        """Returns the test split of a user's photographs with boxes, or all of them."""
        from recipes.data.boxes import evaluation_boxes

        return evaluation_boxes(data, model)

    def predict(
        self, model: keras.Model, inputs: Any, min_probability: float = LIKELY
    ) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (name, what the class docstring says) of images; see `inputs.read_images`."""
        from recipes.data.image_items import read_image, upright_size
        from recipes.kinds.inputs import predict_each, read_each
        from recipes.verbs.export import in_float32
        from recipes.verbs.load import run_of

        if not 0 < min_probability < 1:
            raise ConfigError(f"min_probability={min_probability}; expected a probability, above 0 and below 1")
        names, shape = run_of(model).info.label_names, tuple(model.input_shape[1:])
        find = detect_function(in_float32(model), self.decoder(model), names, min_probability)
        answer = tf.function(find, reduce_retracing=True)

        def read(item: Any, name: str) -> tuple[np.ndarray, tuple[int, int]]:
            return read_image(item, shape, name), upright_size(item, name)

        def predict(photos: list[tuple[np.ndarray, tuple[int, int]]]) -> list[dict[str, Any]]:
            images, sizes = zip(*photos, strict=True)
            values = answer(tf.constant(np.stack(images)), tf.constant(sizes, tf.float32))
            return objects_of({name: value.numpy() for name, value in values.items()}, names)

        return predict_each(read_each(inputs, read), predict)

    def draw_answer(self, model: keras.Model, photo: Any, answer: dict[str, Any]) -> Any:
        """Returns a figure of a photograph with the boxes of `predict`'s answer to it."""
        return draw_answers(model, photo, [answer])

    def signatures(self, model: keras.Model, source: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        """Returns the model, and the signatures that the class docstring lists."""
        from recipes.data.image_files import upright_sizes
        from recipes.kinds.image_classification import image_signatures
        from recipes.verbs.export import in_float32

        shape, served = tuple(model.input_shape[1:]), in_float32(model)
        answer = detect_function(served, self.decoder(model), source.info.label_names, LIKELY)

        def in_its_pixels(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(image, tf.tile(tf.constant([shape[:2]], tf.float32), [tf.shape(image)[0], 1]))

        signatures = image_signatures(in_its_pixels, shape, source.examples(8), meaning="The objects and their boxes")
        of_bytes = signatures["serving_default"].function

        def of_files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = of_bytes(image_bytes)
            scale = upright_sizes(image_bytes) / tf.constant(shape[:2], tf.float32)  # (B, 2)
            return outputs | {"boxes": outputs["boxes"] * tf.gather(scale, [1, 0, 1, 0], axis=1)[:, tf.newaxis]}

        signatures["serving_default"] = signatures["serving_default"]._replace(function=of_files)
        return [served], signatures

    def networks(self, model: keras.Model, source: Any, count: int = 8) -> dict[str, Any]:
        """Returns {"model": `image` (B, H, W, C) in [0, 255] to `boxes` (B, A, 4) and `probabilities` (B, A, C)}.

        Boxes are y_min, x_min, y_max, x_max, shares of height and width.
        """
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        served, decode = in_float32(model), self.decoder(model)

        def network(image: tf.Tensor) -> dict[str, tf.Tensor]:
            boxes, probabilities = decode(served(image, training=False))
            return {"boxes": boxes, "probabilities": probabilities}

        return {
            "model": Network(
                network,
                {"image": tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)},
                {"image": source.examples(count).astype(np.float32)},
                models=[served],
                outside="decode the image file, resize it to (H, W), keep the pixels in [0, 255]; of the boxes of a "
                f"class that overlap by {SAME} and more keep the likeliest (non-maximum suppression)",
            )
        }


def detect_function(
    model: keras.Model, decode: Decode, names: Sequence[str], least: float
) -> Callable[..., dict[str, Any]]:
    """Returns the function (images (B, H, W, C), sizes (B, 2): height, width) -> objects, boxes in such pixels."""
    from recipes.data.batch_rows import with_one_if_empty

    words = tf.constant([*names, ""])

    def rows(image: tf.Tensor, sizes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(tf.cast(image, tf.float32), training=False)
        boxes, probabilities, classes, count = kept_objects(*decode(outputs), least)
        is_there = tf.range(MOST) < count[:, tf.newaxis]
        height, width = sizes[:, 0, tf.newaxis], sizes[:, 1, tf.newaxis]
        y_min, x_min, y_max, x_max = tf.unstack(boxes, axis=-1)
        return {
            "boxes": tf.stack([x_min * width, y_min * height, x_max * width, y_max * height], -1),
            "labels": tf.gather(words, tf.where(is_there, classes, len(names))),
            "probabilities": probabilities,
            "count": count,
        }

    return lambda image, sizes: with_one_if_empty(rows, image, sizes)


def objects_of(answer: dict[str, np.ndarray], names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns what `detect_function` answers as a dictionary for each photograph, in Python's own types."""
    results = []
    for row, count in enumerate(answer["count"]):
        labels = [label.decode() for label in answer["labels"][row, :count]]
        results.append(
            {
                "labels": labels,
                "probabilities": answer["probabilities"][row, :count],
                "boxes": answer["boxes"][row, :count],
                "count": int(count),
                "counts": {name: labels.count(name) for name in names},
            }
        )
    return results


def detections_in(model: keras.Model, decode: Decode, test: tf.data.Dataset) -> list[tuple[np.ndarray, ...]]:
    """Returns of each photograph (boxes (n, 4) shares, probabilities (n,), classes (n,)), the likeliest first."""

    @tf.function(reduce_retracing=True)
    def ask(images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return kept_objects(*decode(tf.cast(model(images, training=False), tf.float32)), 0.02)

    detections = []
    for images, _ in test:
        *each, counts = (value.numpy() for value in ask(images))
        detections += [tuple(one[row, :count] for one in each) for row, count in enumerate(counts)]
    return detections


def likely(detections: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Returns of what is found that which is likely enough to be there."""
    return tuple(each[detections[1] >= LIKELY] for each in detections)


# ---------------------------------------------------------------- pictures


def draw_objects(images: Any, detections: Sequence[Any], names: Sequence[str], truth: Sequence[Any] = ()) -> Any:
    """Returns a figure of images with boxes: of what is found in the colour of its class, of what is there in white.

    Args:
        images: (N, H, W, C) in [0, 255], or a list of images.
        detections: Of each image boxes (n, 4) shares, probabilities (n,), classes (n,).
        names: Of the classes.
        truth: Of each image boxes (m, 4) and classes (m,).
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    columns = min(3, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.6 * rows), layout="tight")
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for place, (image, (boxes, probabilities, classes)) in enumerate(zip(images, detections, strict=True)):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(np.asarray(image) / 255, cmap="gray", vmin=0, vmax=1)
        axes.axis("off")
        height, width = np.shape(image)[:2]
        for box in truth[place][0] if truth else ():
            axes.add_patch(outline(box, height, width, edgecolor="white", linewidth=2.5))
        for box, probability, label in zip(boxes, probabilities, classes, strict=True):
            colour = colours[label % len(colours)]
            axes.add_patch(outline(box, height, width, edgecolor=colour, linewidth=1.5))
            y, x = box[0] * height, box[1] * width
            text = axes.text(x, y, f"{probability:.2f}", fontsize=6, color="black", va="bottom")
            text.set_bbox({"facecolor": colour, "edgecolor": "none", "pad": 0.8})
        counts = [f"{(classes == label).sum()} {name}" for label, name in enumerate(names)]
        axes.set_title(", ".join(counts), fontsize=9)
    return figure


def outline(box: Any, height: int, width: int, **how: Any) -> Any:
    """Returns the outline of a box (4,), shares of an image of so many pixels, to draw on it."""
    from matplotlib.patches import Rectangle

    y_min, x_min, y_max, x_max = box * [height, width, height, width] - 0.5  # a pixel's middle is a whole number there
    return Rectangle((x_min, y_min), x_max - x_min, y_max - y_min, fill=False, **how)


def draw_answers(model: keras.Model, photos: Any, answers: Sequence[dict[str, Any]]) -> Any:
    """Returns a figure of photographs, as `predict` takes them, with the boxes that it answered with."""
    from recipes.data.image_items import read_image, upright_size
    from recipes.kinds.inputs import read_each
    from recipes.verbs.load import run_of

    names = run_of(model).info.label_names
    images, detections = [], []
    read = read_each(photos, lambda item, name: read_image(item, (*upright_size(item, name), 3), name))
    for (_, image), answer in zip(read, answers, strict=True):
        if isinstance(image, DataError):
            raise image
        (height, width), classes = image.shape[:2], [names.index(label) for label in answer["labels"]]
        shares = answer["boxes"][:, [1, 0, 3, 2]] / [height, width, height, width]
        images.append(image)
        detections.append((shares, answer["probabilities"], np.array(classes, int)))
    return draw_objects(images, detections, names)


def draw_curves(curves: dict[str, tuple[float, np.ndarray]]) -> Any:
    """Returns a figure of each class's precision over recall."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="tight")
    axes = figure.add_subplot()
    for name, (value, curve) in curves.items():
        axes.plot(np.linspace(0, 1, 101), curve, label=f"{name}, average {value:.3f}")
    axes.set(xlabel="recall: share of the objects that are found", ylabel="precision: share of boxes that are right")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower left")
    axes.grid(alpha=0.3)
    return figure
