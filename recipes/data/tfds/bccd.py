"""Blood cells with boxes for tensorflow-datasets, which has none. Importing this page makes the name known."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from recipes.data.box_files import boxes_of_voc

URL = "https://github.com/Shenggan/BCCD_Dataset/archive/refs/heads/master.zip"
SPLITS = {"train": "train", "validation": "val", "test": "test"}  # -> its list of names
NAMES = ("RBC", "WBC", "Platelets")


class Bccd(tfds.core.GeneratorBasedBuilder):
    """364 photographs of stained blood, 640x480, with a box around each red cell, white cell and platelet.

    Source: https://github.com/Shenggan/BCCD_Dataset. Boxes without an area, of which there are two, are left out.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        of_object = {"bbox": tfds.features.BBoxFeature(), "label": tfds.features.ClassLabel(names=NAMES)}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "objects": tfds.features.Sequence(of_object),
                }
            ),
            homepage="https://github.com/Shenggan/BCCD_Dataset",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        archive = Path(dl_manager.download(URL))
        return {split: self._generate_examples(archive, names) for split, names in SPLITS.items()}

    def _generate_examples(self, archive: Path, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with zipfile.ZipFile(archive) as files:
            [root] = {name.rpartition("Annotations/")[0] for name in files.namelist() if name.endswith("_00001.xml")}
            for name in files.read(f"{root}ImageSets/Main/{split}.txt").decode().split():
                annotation = boxes_of_voc(files.read(f"{root}Annotations/{name}.xml"), f"{name}.xml")
                objects = [
                    {"bbox": tfds.features.BBox(*map(float, box)), "label": label}
                    for box, label in zip(annotation.boxes, annotation.labels, strict=True)
                ]
                with files.open(f"{root}JPEGImages/{name}.jpg") as image:
                    yield name, {"image": image, "objects": objects}
