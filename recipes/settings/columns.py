"""Which columns of a table hold what: settings that a recipe's `Config` has by the kind of its examples.

They are about `data=`, where that is a table (a CSV file, a DataFrame, ...). One that is left empty is guessed where
there is no doubt, which is printed.
"""

from dataclasses import dataclass

from recipes.settings import Settings


@dataclass(frozen=True)
class LabelledImages(Settings):
    """Settings of a recipe that learns from images with labels."""

    image_column: str = ""  # of a table: paths of the images, from its folder on, or images; "": guessed, and said
    label_column: str = ""  # of a table: the labels; "": guessed, and said
    label_separator: str = ""  # of a table: stands between several labels of one image; "": each has one
    weight_column: str = ""  # of a table: how much each image counts; "": all the same


@dataclass(frozen=True)
class LabelledTexts(Settings):
    """Settings of a recipe that learns from texts with labels."""

    text_column: str = ""  # of a table: the texts; "": guessed, and said
    label_column: str = ""  # of a table: the labels; "": guessed, and said
    label_separator: str = ""  # of a table: stands between several labels of one text; "": each has one
    weight_column: str = ""  # of a table: how much each text counts; "": all the same


@dataclass(frozen=True)
class Images(Settings):
    """Settings of a recipe that learns from images alone."""

    image_column: str = ""  # of a table: paths of the images, from its folder on, or images; "": guessed, and said


@dataclass(frozen=True)
class PlainText(Settings):
    """Settings of a recipe that learns from one long text."""

    text_column: str = ""  # of a table: texts, which become one, a line each; "": guessed, and said


@dataclass(frozen=True)
class SentencePairs(Settings):
    """Settings of a recipe that learns from pairs of sentences."""

    source_column: str = ""  # of a table: what is translated; "": guessed, and said
    target_column: str = ""  # of a table: its translations; "": guessed, and said


@dataclass(frozen=True)
class CaptionedImages(Settings):
    """Settings of a recipe that learns from images with captions."""

    image_column: str = ""  # of a table: paths of the images, from its folder on, or images; "": guessed, and said
    caption_column: str = ""  # of a table: a caption, or a list of them; "": guessed, and said
