"""Multi30k for tensorflow-datasets, which does not have it. Importing this page makes it known by its name."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/{split}.{language}.gz"
LANGUAGES = ("cs", "de", "en", "fr")
#: Split -> (name of its files, number of their lines)
SPLITS = {"train": ("train", 29_000), "validation": ("val", 1_014), "test": ("test_2016_flickr", 1_000)}


class Multi30k(tfds.core.GeneratorBasedBuilder):
    """Descriptions of photographs in English, with translations by people into German, French and Czech.

    Elliott et al. (2016), https://aclanthology.org/W16-3210; task 1, raw; the test split is test_2016_flickr.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.Translation(languages=LANGUAGES),
            supervised_keys=("en", "de"),
            homepage="https://github.com/multi30k/dataset",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        urls = {
            split: {language: URL.format(split=name, language=language) for language in LANGUAGES}
            for split, (name, _) in SPLITS.items()
        }
        paths = dl_manager.download(urls)
        return {split: self._generate_examples(paths[split], lines) for split, (_, lines) in SPLITS.items()}

    def _generate_examples(self, paths: dict[str, Path], lines: int) -> Iterator[tuple[int, dict[str, str]]]:
        texts = {language: read_lines(Path(path)) for language, path in paths.items()}
        counts = {language: len(text) for language, text in texts.items()}
        if set(counts.values()) != {lines}:
            raise ValueError(f"the files have {counts} lines; expected {lines} in each")
        for index in range(lines):
            yield index, {language: text[index] for language, text in texts.items()}


def read_lines(path: Path) -> list[str]:
    """Returns the lines of a gzip file in UTF-8."""
    return gzip.decompress(path.read_bytes()).decode("utf-8").rstrip("\n").split("\n")
