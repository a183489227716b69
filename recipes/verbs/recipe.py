"""What every recipe can do, written and documented once.

`fit`, `load`, `evaluate`, `predict`, `tune`, `export`, `find_learning_rate`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recipes.data.splits import DataInfo, Sizes, Splits
from recipes.errors import ConfigError, DataError
from recipes.settings import Settings, with_changes

if TYPE_CHECKING:
    import keras

    from recipes.data.in_memory import EvaluationData
    from recipes.runs.exhibits import Exhibit, Report
    from recipes.verbs.export import Signature, Source
    from recipes.verbs.export_network import Network
    from recipes.verbs.find_learning_rate import LearningRates


class Kind(Protocol):
    """What recipes of one kind share: how they score, report, predict, and which signatures they export.

    Its `name`, such as "image_classification", stands in the manifest of its exports; "other" where it has none.
    """

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns the figures on the test split. Further keyword arguments are options of the verb `evaluate`."""

    def report(self, model: keras.Model, splits: Splits) -> Iterable[Exhibit]:
        """Yields (title, file name, function that makes its figure or text) of what report.md shows."""

    def evaluation_data(self, data: Any, model: keras.Model) -> EvaluationData:
        """Returns what to evaluate on, of a user's own data: its test split, or all of it."""

    def predict(self, model: keras.Model, inputs: Any) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (the name of an input, the prediction or why there is none), in the order of the inputs.

        Further keyword arguments are options of the verb `predict`.
        """

    def signatures(self, model: keras.Model, source: Source) -> tuple[Sequence[Any], dict[str, Signature]]:
        """Returns (what is saved: models and lookup tables, the signatures of a SavedModel)."""

    def networks(self, model: keras.Model, source: Source, count: int) -> dict[str, Network]:
        """Returns what LiteRT and ONNX hold, tensors to tensors, by the name of the file, with `count` examples."""


class Recipe:
    """A page's own functions, and the verbs that are the same for all of them.

        fit, load, evaluate, predict, tune, export, find_learning_rate = Recipe(
            Config, load_data, build, search_space, kind=ImageClassification(), objective=("val_accuracy", "max")
        ).verbs

    Args:
        config_class: The page's `Config`.
        load_data: (config, data) -> Splits; with a third parameter `tokenizer`, it reads as a trained model does.
        build: (config, sizes) -> compiled model. The default of `sizes` is what the model is of without any data.
        search_space: (hyperparameters, config) -> the config of a trial.
        kind: See `Kind`.
        objective: The figure that tells a better trial, and "max" or "min".
        prepare: (model, splits, config) sets what of a new model follows from the training examples, before its first
            step.
        conclude: (model, splits, config) -> what of a trained model is evaluated, saved and returned, made after its
            last step.
        callbacks: Splits -> the recipe's own Keras callbacks.
        report: What the report shows besides that of the kind.
        figures: (model, splits) -> figures on the test split, in place of the kind's `evaluate`.
    """

    def __init__(
        self,
        config_class: type[Settings],
        load_data: Callable[..., Splits],
        build: Callable[..., keras.Model],
        search_space: Callable[[Any, Any], Any],
        *,
        kind: Kind,
        objective: tuple[str, str],
        prepare: Callable[[keras.Model, Splits, Any], None] = lambda model, splits, config: None,
        conclude: Callable[[keras.Model, Splits, Any], keras.Model] = lambda model, splits, config: model,
        callbacks: Callable[[Splits], list[keras.callbacks.Callback]] = lambda splits: [],
        report: Report = lambda model, splits: (),
        figures: Callable[..., dict[str, float]] | None = None,
    ) -> None:
        self.config_class, self.build, self.search_space = config_class, build, search_space
        self.kind, self.objective, self.callbacks = kind, objective, callbacks
        self.prepare, self.conclude = prepare, conclude
        self.reports: tuple[Report, ...] = (kind.report, report)
        self.figures = figures or kind.evaluate
        self._load_data = load_data
        self._reads_as_trained = "tokenizer" in inspect.signature(load_data).parameters
        self.sizes: Sizes = inspect.signature(build).parameters["sizes"].default

    @property
    def verbs(self) -> tuple[Callable[..., Any], ...]:
        """Returns (fit, load, evaluate, predict, tune, export, find_learning_rate)."""
        return (self.fit, self.load, self.evaluate, self.predict, self.tune, self.export, self.find_learning_rate)

    def objective_on(self, info: DataInfo) -> tuple[str, str]:
        """Returns the figure that tells a better model of some data; a number to predict has no accuracy but a loss."""
        is_number = info.task == "regression" and self.objective[0] == "val_accuracy"
        return ("val_loss", "min") if is_number else self.objective

    def verb(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function of a trained model, (model, ...), as a verb: (..., model=None, runs="runs").

        `model` is then what `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
        """

        @functools.wraps(function)
        def verb(*args: Any, model: Any = None, runs: str | Path = "runs", **options: Any) -> Any:
            return function(self.load(model, runs=runs), *args, **options)

        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter("model", keyword, default=None))
        parameters.append(inspect.Parameter("runs", keyword, default="runs"))
        verb.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return verb

    def fit(
        self,
        config: Settings | None = None,
        data: Any = None,
        *,
        callbacks: Iterable[keras.callbacks.Callback] | keras.callbacks.Callback = (),
        runs: str | Path = "runs",
        resume: bool | str | Path = True,
        **changes: Any,
    ) -> keras.Model:
        """Returns the trained model; its run folder holds the weights, curves, metrics and a report.

        The model's `run` tells its folder, metrics, labels and tokenizer.

        Args:
            config: The settings; None: the recipe's defaults, `Config()`.
            data: Your own data in place of `config.dataset`; see the recipe's `load_data`.
            callbacks: Your own Keras callbacks, or a single one.
            runs: The run folder is `<runs>/<recipe>/<id>`.
            resume: Whether to resume the unfinished run of the same settings and data, where there is one. Or the id
                or folder of an unfinished run, which is then continued with its own settings and data: pass no
                settings, and `data` only where that was in memory.
            **changes: Settings to change by name: `fit(epochs=5)`.

        Raises:
            ConfigError: An unknown setting, a wrong type or range, or one that would change nothing.
            DataError: The data is unknown, damaged, of the wrong kind, or cannot be had with offline="error".
            RunError: `resume` names no unfinished run, or its data is not what it was.
            TrainingError: Out of memory, disk full, a lost worker, or a loss that is no number.
        """
        from recipes.verbs.fit import fit_recipe

        if not isinstance(resume, bool) and (config is not None or changes):
            raise ConfigError(f"resume={str(resume)!r} continues a run with its own settings; pass no others beside it")
        return fit_recipe(self, self.config(config, changes), data, callbacks, runs, resume)

    def load(self, run: keras.Model | str | Path | None = None, *, runs: str | Path = "runs") -> keras.Model:
        """Returns the Keras model of a run; its `run` tells its settings, metrics, labels and tokenizer.

        Args:
            run: A run's folder or its id, or None for the newest finished run in `runs`. A model is returned as it is.
            runs: Where run folders are.

        Raises:
            RunError: There is no such run, it is of another recipe, or its files are damaged.
        """
        from recipes.verbs.load import load_model

        return load_model(self, run, runs)

    def evaluate(
        self,
        model: keras.Model | str | Path | None = None,
        data: Any = None,
        *,
        runs: str | Path = "runs",
        **options: Any,
    ) -> dict[str, float]:
        """Returns the figures on the test split, by name; losses are in nats.

        Args:
            model: What `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
            data: Your own data: its test split, or all of it. None: what the model was trained on.
            runs: Where run folders are.
            **options: Settings of the data to change by name, and what this kind of recipe can measure besides.

        Raises:
            RunError: There is no such run, or it needs data that is not passed.
            DataError: The data cannot be had, or does not fit the model.
        """
        from recipes.verbs.evaluate import evaluate_recipe

        return evaluate_recipe(self, self.load(model, runs=runs), data, options)

    def predict(
        self,
        inputs: Any,
        model: keras.Model | str | Path | None = None,
        *,
        runs: str | Path = "runs",
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Returns a prediction for each input: what the exported model answers, as a dictionary.

        An image classifier and a text classifier answer with "label", "probability" and "probabilities", of several
        labels with "labels" and "probabilities", of a number with "value"; a captioner
        with "caption"; a translator with "translation"; a language model with "text"; an autoencoder with "code" and
        "image"; a search of images by texts with "embedding".

        Args:
            inputs: One or many. Images: paths of files or folders, bytes of a file, NumPy arrays (H, W), (H, W, C) or
                (N, H, W, C) in [0, 255], PIL images. Texts: str, or a Path of a text file. Lists of these, or a column
                of a DataFrame.
            model: What `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
            runs: Where run folders are.
            **options: Of this kind of recipe, such as `beam_width` or `temperature`.

        Raises:
            DataError: Inputs cannot be read; names all of them.
            RunError: There is no such run.
        """
        from recipes.verbs.predict import predict_recipe

        return predict_recipe(self, self.load(model, runs=runs), inputs, options)

    def tune(
        self,
        config: Settings | None = None,
        data: Any = None,
        *,
        trials: int = 20,
        tuner: str = "bayesian",
        workers: int = 1,
        objective: tuple[str, str] | None = None,
        runs: str | Path = "runs",
        resume: bool | str | Path = True,
        **changes: Any,
    ) -> tuple[Any, float]:
        """Returns (config, its figure on validation data) of the best trial of `search_space`: `fit(best)` trains it.

        The settings that it starts from are trained, too, and win where no trial is better. Each trial is trained in a
        process of its own; one that fails, or whose loss becomes NaN, never wins. docs/tuning.md says more.

        Args:
            config: What the trials start from; None: the recipe's defaults, `Config()`.
            data: Your own data; see the recipe's `load_data`.
            trials: How many settings to try.
            tuner: Who proposes them: "bayesian" (a Gaussian process), "random", "hyperband" (many settings for a few
                epochs, and the better ones for more) or "optuna" (TPE, and trials that lag behind end early), all of
                Keras Tuner but the last, which needs Optuna.
            workers: How many trials are trained at a time, each on its share of the processors or GPUs.
            objective: The figure that tells a better trial, as training logs it, and "max" or "min"; None: the
                recipe's own.
            runs: The search is kept in `<runs>/<recipe>/tune-<id>`, with the best config in best.json.
            resume: Whether to continue the unfinished search of the same settings, data and space, where there is one,
                inside its trials too; or the id or folder of a search.
            **changes: Settings to change by name: `tune(trials=5, epochs=3)`.

        Raises:
            ConfigError: An unknown tuner, an objective that training does not log, trials or workers below 1.
            DataError: No validation data is held out.
            RunError: `resume` names a search with other settings, data or another space.
            TrainingError: If every trial failed; names the first failure.
        """
        from recipes.verbs.tune import tune_recipe

        config = self.config(config, changes)
        return tune_recipe(self, config, data, trials, tuner, workers, objective, runs, resume)

    def export(
        self,
        model: keras.Model | str | Path | None = None,
        *,
        path: str | Path = "saved_models",
        runs: str | Path = "runs",
        format: str = "saved_model",
        int8: bool = False,
        freeze: bool = False,
        data: Any = None,
    ) -> Path:
        """Writes `<path>/<recipe>/<version>/`, a SavedModel for TensorFlow Serving; returns that folder.

        It takes raw bytes of images or strings, and answers with labels or text: docs/serving.md lists the signatures.
        Each is asked what the trained model is asked, and the graph is searched for what servers refuse, before the
        folder gets its name.

        LiteRT and ONNX go to `<path>/<recipe>/litert/<version>/` and so on, where a server does not look: networks from
        tensors to tensors, run and compared with the model on examples; docs/other_formats.md says what they take.

        Args:
            model: What `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
            path: The version is one above the last in `<path>/<recipe>`.
            runs: Where run folders are.
            format: "saved_model", "litert" or "onnx".
            int8: Whether LiteRT computes in whole numbers of 8 bits, whose ranges are measured on training examples;
                what that costs is measured on the test split.
            freeze: Whether the weights of a SavedModel are constants: faster on a CPU, and larger.
            data: For int8, what the model was trained on, where that was in memory.

        Raises:
            ConfigError: An unknown format, or an option that another format has.
            ExportError: If what was written does not answer as the model does, a server would refuse it, or the format
                cannot hold it; nothing is published then.
            RunError: There is no such run.
        """
        options = {"int8": int8, "freeze": freeze, "data": data is not None}
        allowed = {"saved_model": {"freeze"}, "litert": {"int8", "data"} if int8 else {"int8"}, "onnx": set()}
        if format not in allowed:
            raise ConfigError(f"format={format!r} is unknown; expected {', '.join(map(repr, allowed))}")
        if unused := [name for name, is_set in options.items() if is_set and name not in allowed[format]]:
            raise ConfigError(f"{', '.join(unused)} would change nothing with format={format!r}; leave it out")
        if format == "saved_model":
            from recipes.verbs.export import export_recipe

            return export_recipe(self, self.load(model, runs=runs), path, freeze)
        from recipes.verbs.export_network import export_network

        return export_network(self, self.load(model, runs=runs), path, format, int8, data)

    def find_learning_rate(
        self,
        config: Settings | None = None,
        data: Any = None,
        *,
        lowest: float = 1e-7,
        highest: float = 10.0,
        steps: int = 100,
        runs: str | Path = "runs",
        **changes: Any,
    ) -> LearningRates:
        """Returns learning rates to try: a new model's loss while its rate grows from step to step, and explodes.

        The rate grows by the same factor with each update and is the same for all weights, whatever the recipe's
        schedule; training ends where the smoothed loss is 4 times its best. `steepest` is the rate where it falls
        fastest, `tenth` a tenth of that where it is lowest. Both are meant for the highest rate of a schedule, and are
        a guess of the order of magnitude. The picture, rates.png, and the numbers, rates.csv, are in `folder`. No run's
        weights are changed, and the model is thrown away.

        Smith (2017), section 3.3, https://arxiv.org/abs/1506.01186; smoothed and stopped as by Gugger (2018),
        https://sgugger.github.io/how-do-you-find-a-good-learning-rate.html.

        Args:
            config: The settings; None: the recipe's defaults, `Config()`.
            data: Your own data; see the recipe's `load_data`.
            lowest: The first rate.
            highest: The last.
            steps: Updates, at most.
            runs: The test is kept in `<runs>/<recipe>/rate-<id>`.
            **changes: Settings to change by name: `find_learning_rate(batch_size=512)`.

        Raises:
            ConfigError: Rates or steps out of range.
            TrainingError: The loss falls at none of the rates.
        """
        from recipes.verbs.find_learning_rate import find_rate

        return find_rate(self, self.config(config, changes), data, lowest, highest, steps, runs)

    def config(self, config: Settings | None, changes: dict[str, Any]) -> Any:
        """Returns a config with changes; None stands for the defaults."""
        return with_changes(self.config_class() if config is None else config, **changes)

    def new_model(self, config: Any, splits: Splits) -> keras.Model:
        """Returns the page's compiled model for some data, before its first step."""
        model = self.build(config, splits.info.sizes(self.sizes))
        self.prepare(model, splits, config)
        return model

    def load_data(self, config: Any, data: Any = None, tokenizer: Any = None) -> Splits:
        """Returns the page's `load_data`; with a trained model's tokenizer, where it reads with one."""
        if self._reads_as_trained:
            return self._load_data(config, data, tokenizer=tokenizer)
        return self._load_data(config, data)
