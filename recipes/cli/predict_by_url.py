"""`recipes predict --url`: what a model on a server answers, ours or any TensorFlow Serving. No TensorFlow needed."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from recipes.cli.options import Model, Predict
from recipes.data.text_reading import shortened, unknown_note
from recipes.errors import DataError, RecipeError, UsageError, one_line
from recipes.kinds.inputs import read_image_files, read_texts
from recipes.serving.client import RemoteModel, RequestError, Signature, is_loopback

SIGNATURE = "serving_default"
ROWS, BYTES = 16, 4 << 20  # of one request, at most; a larger input goes by itself

FLOATS = ("DT_FLOAT", "DT_DOUBLE")
INTEGERS = ("DT_INT8", "DT_UINT8", "DT_INT16", "DT_UINT16", "DT_INT32", "DT_UINT32", "DT_INT64", "DT_UINT64")

#: The outputs of our exports, in the order that `predict` has; those of other models come after, by their names.
ORDER = (
    *("label", "labels", "value", "caption", "translation", "text", "vector", "neighbours", "similarity", "code"),
    *("probability", "log_probability", "probabilities", "boxes", "count", "words", "attention", "image"),
)


def predict_by_url(name: str, options: Predict, inputs: list[Any]) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
    """Yields (name of an input, what `predict` says of it or why it is not answered), as a recipe's `predict` does.

    Args:
        name: Of the model, on the server.
        options: With the server's address.
        inputs: Names of files, texts, words or numbers, whichever the model takes; paths of text files as Path.

    Raises:
        UsageError: An option has no effect here, or the address cannot be used.
        DataError: The token cannot be read.
        RecipeError: The server cannot be asked, or has no such model, or one that takes something else.
    """
    _refuse_without_effect(options)
    token = _token(options.token_file)
    try:
        model = RemoteModel(options.url or "", name, token=token, ca_certificate=options.ca_certificate)
    except RequestError as error:
        raise UsageError(error) from None
    address = urlsplit(model.url)
    if token and address.scheme == "http" and not is_loopback(address.hostname or ""):
        print(f"note: the token goes to {model.url} as plain text; https:// would hide it", file=sys.stderr)
    try:
        signature = _signature_of(model)
        label_names = model.label_names() if "probabilities" in signature.outputs else None
    except RequestError as error:
        raise RecipeError(error) from None
    for batch in _batches(_read(model, signature, inputs)):
        values = [value for _, value in batch if not isinstance(value, DataError)]
        answers = iter(_ask(model, signature, values))
        for one, value in batch:
            answer = value if isinstance(value, DataError) else next(answers)
            if isinstance(answer, RequestError):
                why = str(answer).removeprefix("assertion failed: [")  # as TensorFlow's own messages begin
                yield one, DataError(f"{one_line(one)} was refused by the server: {why.removesuffix(']')}")
            else:
                yield one, answer if isinstance(answer, DataError) else _as_predicted(answer, one, value, label_names)


def _refuse_without_effect(options: Predict) -> None:
    for name in ("run", "runs", "beam_width", "length_penalty"):
        if getattr(options, name) != getattr(Model if name.startswith("run") else Predict, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} has no effect with --url, where the server's model is asked as it was exported")


def _token(path: Path | None) -> str:
    """Returns the token of a file, the first line that is no comment, or of RECIPES_TOKEN; "": there is none."""
    if path is None:
        return os.environ.get("RECIPES_TOKEN", "").strip()
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise DataError(f"cannot read the token in {one_line(path)}: {why}") from None
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        raise DataError(f"{one_line(path)} holds no token; expected one in its first line")
    return tokens[0]


def _signature_of(model: RemoteModel) -> Signature:
    """Returns the signature that is asked: the default one, of one input."""
    signatures = model.signatures()
    if SIGNATURE not in signatures:
        others = ", ".join(sorted(name for name in signatures if not name.startswith("__")))
        what = f"{model.name} at {model.url} has no signature {SIGNATURE!r}"
        raise RecipeError(f"{what}, which is asked; it has {others or 'none'}")
    signature = signatures[SIGNATURE]
    if len(signature.inputs) != 1:
        names = ", ".join(sorted(signature.inputs)) or "none"
        raise RecipeError(
            f"{model.name} at {model.url} takes the inputs {names}; expected a model of one. docs/serving.md shows how "
            "to ask others, with curl"
        )
    return signature


def _read(model: RemoteModel, signature: Signature, inputs: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yields (name, value or DataError) of each input, of the kind that a signature takes."""
    [(name, tensor)] = signature.inputs.items()
    if tensor.dtype == "DT_STRING":
        return read_image_files(inputs) if name.endswith("_bytes") else read_texts(inputs)
    if tensor.dtype in (*FLOATS, *INTEGERS, "DT_BOOL"):
        return _read_numbers(inputs, name, tensor.dtype)
    raise RecipeError(f"{model.name} at {model.url} takes {name} as {tensor.dtype}, which JSON has not")


def _read_numbers(inputs: list[Any], name: str, dtype: str) -> Iterator[tuple[str, Any]]:
    expected = f"expected {'numbers' if dtype in FLOATS else 'whole numbers'}, which the model takes as {name}"
    for text in inputs:
        try:
            value = json.loads(str(text))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, (int, float, list)):
            yield str(text), DataError(f"{shortened(repr(str(text)))} is no number; {expected}, or lists of them")
        else:
            yield str(text), value


def _batches(values: Iterator[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    """Yields inputs, read or not, as many at a time as one request takes."""
    batch: list[tuple[str, Any]] = []
    size = 0
    for name, value in values:
        needed = len(value) if isinstance(value, (bytes, str, list)) else 0
        if batch and (len(batch) == ROWS or size + needed > BYTES):
            yield batch
            batch, size = [], 0
        batch.append((name, value))
        size += needed
    if batch:
        yield batch


def _ask(model: RemoteModel, signature: Signature, values: list[Any]) -> list[dict[str, Any] | RequestError]:
    """Returns what each value is answered, or why it is refused; of values that are refused together, each by itself.

    Raises:
        RecipeError: No value can be answered.
    """
    if not values:
        return []
    [name] = signature.inputs
    try:
        return [*model.predict(SIGNATURE, signature, [{name: value} for value in values])]
    except RequestError as error:
        if not error.is_of_the_inputs:
            raise RecipeError(error) from None
        if len(values) == 1:
            return [error]
    return [answer for value in values for answer in _ask(model, signature, [value])]


def _as_predicted(
    outputs: dict[str, Any], name: str, value: Any, label_names: list[str] | None
) -> dict[str, Any] | DataError:
    """Returns the outputs of a signature as `predict` answers: labels by name, without padding."""
    answer = {key: outputs[key] for key in sorted(outputs, key=lambda key: ((*ORDER, key).index(key), key))}
    for key in [key for key in answer if key.startswith("known_")]:
        count, what = answer.pop(key), key.removeprefix("known_").removesuffix("s")
        has_none_to_know = what != "word" and not str(value).strip()
        answer |= unknown_note(count or has_none_to_know, what)
    if isinstance(answer.get("labels"), list):
        answer["labels"] = [label for label in answer["labels"] if label]
    if isinstance(answer.get("boxes"), list) and isinstance(answer.get("labels"), list):  # of objects, each its own
        there = len(answer["labels"])
        answer |= {key: answer[key][:there] for key in ("boxes", "probabilities") if isinstance(answer.get(key), list)}
    elif isinstance(probabilities := answer.get("probabilities"), list):
        names = label_names if label_names and len(label_names) == len(probabilities) else range(len(probabilities))
        answer["probabilities"] = dict(zip(map(str, names), probabilities, strict=True))
    if "caption" in answer and isinstance(words := answer.get("words"), list):
        count = max((place for place, word in enumerate(words, 1) if word), default=0)
        answer |= {key: answer[key][:count] for key in ("words", "attention") if isinstance(answer.get(key), list)}
    if isinstance(neighbours := answer.get("neighbours"), list) and not any(neighbours):
        return DataError(f"{name!r} is no word that the model knows")
    return answer
