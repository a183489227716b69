"""Ants and bees for tensorflow-datasets, which does not have them. Importing this page makes the name known."""

import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import tensorflow_datasets as tfds

URL = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"
SPLITS = {"train": "train", "test": "val"}  # -> its folder
NAMES = ("ants", "bees")


class Hymenoptera(tfds.core.GeneratorBasedBuilder):
    """Some 400 photographs of ants and bees, of PyTorch's tutorial on transfer learning; its `val` is the test split.

    Source: https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=NAMES),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        archive = Path(dl_manager.download(URL))
        return {split: self._generate_examples(archive, folder) for split, folder in SPLITS.items()}

    def _generate_examples(self, archive: Path, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with zipfile.ZipFile(archive) as photographs:
            members = sorted(name for name in photographs.namelist() if is_photograph(name, folder))
            if {PurePosixPath(name).parent.name for name in members} != set(NAMES):
                raise ValueError(
                    f"{URL} has {len(members)} photographs in {folder}; expected some of {', '.join(NAMES)}"
                )
            for name in members:
                with photographs.open(name) as image:
                    yield name, {"image": image, "label": PurePosixPath(name).parent.name}


def is_photograph(name: str, folder: str) -> bool:
    """Returns whether a file of the archive is a photograph of one split: .../train/ants/0013035.jpg."""
    path = PurePosixPath(name)
    parts, hidden = path.parts[-3:-1], "__MACOSX" in name or path.name.startswith(".")
    return path.suffix == ".jpg" and not hidden and parts in {(folder, label) for label in NAMES}
