"""Flickr8k for tensorflow-datasets, which does not have it. Importing this page makes it known by its name."""

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

IMAGES, TEXTS = "Flickr8k_Dataset.zip", "Flickr8k_text.zip"
#: Split -> (the file that lists its photographs, how many)
SPLITS = {
    "train": ("Flickr_8k.trainImages.txt", 6_000),
    "validation": ("Flickr_8k.devImages.txt", 1_000),
    "test": ("Flickr_8k.testImages.txt", 1_000),
}


class Flickr8k(tfds.core.GeneratorBasedBuilder):
    """8,000 photographs of people and animals doing things, each described by five people.

    Hodosh, Young and Hockenmaier (2013), https://www.jair.org/index.php/jair/article/view/10833, and their split.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First version."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Get {IMAGES} and {TEXTS}, for which its authors ask what you want them for "
        "(https://hockenmaier.cs.illinois.edu/8k-pictures.html), and put both, as they are, into the folder "
        "downloads/manual of tensorflow-datasets."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "filename": tfds.features.Text(),
                    "captions": tfds.features.Sequence(tfds.features.Text()),
                }
            ),
            homepage="https://hockenmaier.cs.illinois.edu/8k-pictures.html",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = Path(dl_manager.manual_dir)
        with zipfile.ZipFile(folder / TEXTS) as texts:
            captions = read_captions(read_text(texts, "Flickr8k.token.txt"))
            names = {split: read_text(texts, file).split() for split, (file, _) in SPLITS.items()}
        for split, (file, count) in SPLITS.items():
            missing = [name for name in names[split] if name not in captions]
            if len(names[split]) != count or missing:
                raise ValueError(
                    f"{file} lists {len(names[split])} photographs, {len(missing)} of them without captions; expected "
                    f"{count}, all with captions"
                )
        return {split: self._generate_examples(folder / IMAGES, names[split], captions) for split in SPLITS}

    def _generate_examples(
        self, archive: Path, names: list[str], captions: dict[str, list[str]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        with zipfile.ZipFile(archive) as images:
            members = {Path(member).name: member for member in images.namelist() if "__MACOSX" not in member}
            for name in names:
                with images.open(members[name]) as image:
                    yield name, {"image": image, "filename": name, "captions": captions[name]}


def read_text(archive: zipfile.ZipFile, name: str) -> str:
    """Returns a text file of a zip archive, in whatever folder it is."""
    [member] = [found for found in archive.namelist() if Path(found).name == name and "__MACOSX" not in found]
    return archive.read(member).decode("utf-8")


def read_captions(text: str) -> dict[str, list[str]]:
    """Returns the captions of each photograph, of lines of "name.jpg#2<tab>A dog runs ."."""
    captions = defaultdict(list)
    for line in text.splitlines():
        if line.strip():
            place, _, caption = line.partition("\t")
            captions[place.partition("#")[0]].append(caption.strip())
    return dict(captions)
