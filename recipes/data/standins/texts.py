"""Text for when the real thing cannot be had, from a seed, and never in silence.

`reviews` stands in for film reviews: imdb_lstm reached 99.6 % of the test split, imdb_transformer, whose few steps do
not teach it what "not" is beside, 77.3 %, as much as logistic regression of how often each word is there.
`documentation` stands in for literature: shakespeare_gpt reached 1.75 nats per character, shakespeare_lstm 1.77, how
frequent each character is says 3.24. `dates` stands in for sentence pairs in two languages: translate_transformer
reached a BLEU of 98.4, translate_seq2seq, which in so few steps learns the sentences and not the numbers, 34.2. All
with the default settings (`benchmarks/standins.py`).
"""

import pydoc_data.topics
import random
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from recipes.data.in_memory import Arrays, Columns


def words(text: str) -> list[str]:
    """Returns what stands between commas, or between spaces where there are none."""
    return text.split(", ") if "," in text else text.split()


SUBJECTS = words(
    "the plot, the acting, the music, the dialogue, the ending, the camera work, the lead actor, the "
    "script, the pacing, the humour, the supporting cast, the villain"
)
GOOD = words("wonderful, brilliant, moving, funny, clever, convincing, fresh, charming, gripping, a joy")
BAD = words("dull, awful, clumsy, predictable, weak, tedious, silly, lifeless, confusing, a mess")
SAID = ("{} was {}", "I found {} {}", "{} seemed {} to me", "to my surprise {} was {}")
DENIED = ("{} was not {}", "{} was anything but {}", "nobody could call {} {}", "{} was far from {}")
FILLERS = (
    "I saw it on a {} evening with my {}",
    "we went on a {} day, and my {} fell asleep",
    "my {1} had told me about it one {0} morning",
    "it was {0} outside and the cinema was full",
)
WEATHER = words("rainy, sunny, cold, windy, grey, warm")
PEOPLE = words("brother, sister, mother, father, neighbour, friend")


def reviews(train: int = 20_000, test: int = 1000, seed: int = 0) -> Arrays:
    """Returns generated film reviews, "neg" or "pos": whichever most of their 3, 5 or 7 judgements say.

    One judgement in four denies the word it uses ("was not dull"), so that counting words is not enough.

    Args:
        train: Number of training examples.
        test: Number of test examples, drawn apart from the training examples.
        seed: The same seed gives the same reviews.
    """
    return Arrays(_reviews(train, seed), None, _reviews(test, seed + 1_000_003), ("neg", "pos"))


def _reviews(count: int, seed: int) -> Columns:
    rng = random.Random(seed)  # ten times as fast as NumPy's, draw by draw
    labels = [rng.randrange(2) for _ in range(count)]
    return np.array([_review(rng, bool(label)) for label in labels], object), np.array(labels, np.int32)


def _review(rng: random.Random, positive: bool) -> str:
    judgements = rng.choice([3, 5, 7])
    agreeing = rng.randint(judgements // 2 + 1, judgements)
    sentences = []
    for index, subject in enumerate(rng.sample(SUBJECTS, judgements)):
        praised, denied = positive == (index < agreeing), rng.random() < 0.25
        word = rng.choice(GOOD if praised != denied else BAD)
        sentences.append(rng.choice(DENIED if denied else SAID).format(subject, word))
    for _ in range(rng.randrange(4)):
        sentences.append(rng.choice(FILLERS).format(rng.choice(WEATHER), rng.choice(PEOPLE)))
    rng.shuffle(sentences)
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}{rng.choice(['.', '.', '!'])}" for sentence in sentences)


def documentation() -> Arrays:
    """Returns the language reference that Python's `help` prints: some half a million characters of English.

    It is that of the Python that runs: another version says other things.

    The first eight tenths for training, the next for validation, the last for testing.
    """
    topics = pydoc_data.topics.topics
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    cuts = 0, len(text) * 8 // 10, len(text) * 9 // 10, len(text)
    train, validation, test = (np.array([text[a:b]], object) for a, b in pairwise(cuts))
    return Arrays((train,), (validation,), (test,))


def dates(train: int = 8000, test: int = 1000, seed: int = 0) -> Arrays:
    """Returns generated sentences in English and German, with dates, times, years and amounts written out in words.

    German says the units before the tens ("einundzwanzig"), the hour to come at half past, and the verb last.

    Args:
        train: Number of training pairs.
        test: Number of test pairs, none of which is a training pair.
        seed: The same seed gives the same pairs.
    """
    pairs = _pairs(train + test, seed)
    return Arrays(tuple(side[test:] for side in pairs), None, tuple(side[:test] for side in pairs))


def _pairs(count: int, seed: int) -> Columns:
    """Returns so many different pairs, in no order: those of which there are few would come first."""
    rng = np.random.default_rng(seed)
    pairs: dict[tuple[str, str], None] = {}
    while len(pairs) < count:
        pairs[TEMPLATES[rng.integers(len(TEMPLATES))](rng)] = None
    english, german = (
        np.array([f"{side[0].upper()}{side[1:]}." for side in sides], object) for sides in zip(*pairs, strict=True)
    )
    order = rng.permutation(count)
    return english[order], german[order]


WHO = {"the doctor": "der Arzt", "my sister": "meine Schwester", "our teacher": "unser Lehrer", "she": "sie"}
DID = {
    ("bought", "books"): ("Bücher", "gekauft"),
    ("sold", "tickets"): ("Karten", "verkauft"),
    ("counted", "stars"): ("Sterne", "gezählt"),
    ("found", "stones"): ("Steine", "gefunden"),
}
MONTHS = words("January February March April May June July August September October November December")
MONATE = words("Januar Februar März April Mai Juni Juli August September Oktober November Dezember")
ONES = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)

TENS = words("_ _ twenty thirty forty fifty sixty seventy eighty ninety")
EINS = words(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
    "sechzehn siebzehn achtzehn neunzehn"
)

ZEHN = words("_ _ zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")


def in_english(number: int) -> str:
    """Returns a number from 0 to 999,999 in English words."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    size, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = number % size
    joint = " and " if size == 100 or rest < 100 else " "
    return f"{in_english(number // size)} {name}" + (joint + in_english(rest) if rest else "")


def in_german(number: int) -> str:
    """Returns a number from 0 to 999,999 in German words."""
    if number < 20:
        return EINS[number]
    if number < 100:
        ones = EINS[number % 10].removesuffix("s") if number % 10 == 1 else EINS[number % 10]
        return (f"{ones}und" if number % 10 else "") + ZEHN[number // 10]
    size, name = (100, "hundert") if number < 1000 else (1000, "tausend")
    head = in_german(number // size)
    head = head.removesuffix("s") if head.endswith("eins") else head
    return f"{head}{name}" + (in_german(number % size) if number % size else "")


def _ordinals(day: int) -> tuple[str, str]:
    """Returns "twenty-first" and "einundzwanzigsten"."""
    english, german = in_english(day), in_german(day)
    odd = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
    head, dash, last = english.rpartition("-")
    last = odd.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else last.replace("twelve", "twelf") + "th")
    irregular = {1: "ersten", 3: "dritten", 7: "siebten", 8: "achten"}
    return head + dash + last, irregular.get(day) or german + ("ten" if day < 20 else "sten")


def _on_a_date(rng: np.random.Generator) -> tuple[str, str]:
    english, german = _ordinals(int(rng.integers(1, 32)))
    month = int(rng.integers(12))
    year = int(rng.integers(1100, 2000))
    who = str(rng.choice(list(WHO)))
    german_year = f"{in_german(year // 100)}hundert" + (in_german(year % 100) if year % 100 else "")
    return (
        f"{who} was born on the {english} of {MONTHS[month]} {in_english(year // 100)} hundred"
        + (f" and {in_english(year % 100)}" if year % 100 else ""),
        f"{WHO[who]} wurde am {german} {MONATE[month]} {german_year} geboren",
    )


def _an_amount(rng: np.random.Generator) -> tuple[str, str]:
    number, who = int(rng.integers(2, 10 ** rng.integers(1, 6) + 2)), str(rng.choice(list(WHO)))
    verb, things = list(DID)[rng.integers(len(DID))]
    dinge, verbum = DID[verb, things]
    return f"{who} {verb} {in_english(number)} {things}", f"{WHO[who]} hat {in_german(number)} {dinge} {verbum}"


def _at_a_time(rng: np.random.Generator) -> tuple[str, str]:
    hour, kind = int(rng.integers(1, 12)), rng.integers(3)
    said = (f"half past {in_english(hour)}", f"quarter to {in_english(hour)}", f"{in_english(hour)} o'clock")[kind]
    uhr = "ein" if hour == 1 else in_german(hour)
    gesagt = (f"halb {in_german(hour + 1)}", f"Viertel vor {in_german(hour)}", f"{uhr} Uhr")[kind]
    who = str(rng.choice(list(WHO)))
    return f"{who} will come at {said}", f"{WHO[who]} wird um {gesagt} kommen"


TEMPLATES: tuple[Callable[[np.random.Generator], tuple[str, str]], ...] = (_on_a_date, _an_amount, _at_a_time)
