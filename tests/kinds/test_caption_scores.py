import builtins
import shutil

import numpy as np
import pytest

from recipes.data.standins.scenes import Scene
from recipes.kinds import caption_scores as scores

BLEU = {f"bleu{size}{kind}" for size in range(1, 5) for kind in ("", "_without_penalty")}


def test_bleu_by_hand():
    """One caption of five words: 4, 2 and 1 of its words, pairs and triples are in a reference; none of its fours.

    The nearest reference in length has six words, so exp(1 - 6 / 5) is taken off.
    """
    found = scores.bleu_scores(["a dog runs the grass"], [["a dog runs on the grass", "dogs"]])
    brevity = np.exp(1 - 6 / 5)
    assert found["bleu1"] == pytest.approx(100 * brevity * 5 / 5)
    assert found["bleu2"] == pytest.approx(100 * brevity * (5 / 5 * 3 / 4) ** (1 / 2))
    assert found["bleu3"] == pytest.approx(100 * brevity * (5 / 5 * 3 / 4 * 1 / 3) ** (1 / 3))
    assert found["bleu4"] == 0
    without = [found[f"bleu{size}_without_penalty"] for size in range(1, 5)]
    assert without == pytest.approx([100, 100 * (3 / 4) ** (1 / 2), 100 * (3 / 4 * 1 / 3) ** (1 / 3), 0])


def test_no_penalty_is_taken_off_captions_as_long_as_their_references_nor_back_from_empty_ones():
    long = scores.bleu_scores(["a dog runs on the wet grass"], [["a dog runs on the grass"]])
    assert long["bleu4_without_penalty"] == long["bleu4"] > 0
    assert set(scores.bleu_scores([""], [["a dog"]]).values()) == {0.0}


def test_a_word_counts_as_often_as_one_reference_has_it():
    """The example of Papineni et al., section 2.1: 2 of 7."""
    references = [["the cat is on the mat", "there is a cat on the mat"]]
    found = scores.bleu_scores(["the the the the the the the"], references)
    assert found["bleu1"] == pytest.approx(100 * 2 / 7)


def test_images_may_have_different_numbers_of_references():
    found = scores.caption_scores(
        ["a dog", "two cats sleep"], [["a dog"], ["two cats sleep", "cats", "they sleep"]], False
    )
    assert found["bleu1"] == pytest.approx(100)
    assert found["rouge_l"] == pytest.approx(100)


def test_rouge_l_by_hand():
    """The longest common subsequence is "a dog the grass", 4 of 5 and of 6 words; F with beta 1.2."""
    found = scores.caption_scores(["a dog sees the grass"], [["a dog runs on the grass"]], meteor=False)
    precision, recall = 4 / 5, 4 / 6
    assert found["rouge_l"] == pytest.approx(100 * (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision))


def test_cider_is_highest_for_what_people_said():
    said = ["a dog runs on grass", "two cats sleep on a bed", "a man rides a wave"]
    right = scores.caption_scores(said, [[text] for text in said], meteor=False)["cider"]
    wrong = scores.caption_scores([said[1], said[2], said[0]], [[text] for text in said], meteor=False)["cider"]
    assert right == pytest.approx(1000), "10 times the cosine, times 100"
    assert wrong < 0.1 * right


@pytest.mark.skipif(not shutil.which("java"), reason="METEOR is a Java program; there is no 'java' on the PATH")
def test_meteor_knows_stems_and_synonyms():
    said = "a dog jumps over the fence"
    found = [scores.caption_scores([text], [[said]])["meteor"] for text in (said, "a dog jumping over the fence")]
    assert found[0] == pytest.approx(100)
    assert 60 < found[1] < 100


def test_a_program_that_breaks_off_is_said_and_the_rest_is_scored(tmp_path, monkeypatch, capsys):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(scores.caption_scores(["a"], [["a"]])) == {*BLEU, "rouge_l", "cider"}
    assert "METEOR is left out: its program failed" in capsys.readouterr().out


def test_without_the_package_or_java_the_rest_is_scored_and_that_is_said(monkeypatch, capsys):
    monkeypatch.setattr(scores.shutil, "which", lambda name: None)
    assert set(scores.caption_scores(["a"], [["a"]])) == {*BLEU, "rouge_l", "cider"}
    assert "METEOR is left out: its authors' program needs Java" in capsys.readouterr().out
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("pycocoevalcap"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert set(scores.caption_scores(["a"], [["a"]])) == BLEU
    assert "left out: pycocoevalcap is not installed; pip install 'keras-recipes[captions]'" in capsys.readouterr().out


def test_truth_and_where_it_looked_by_hand():
    """Of two captions one is true; of four words for objects that are there, three looked at theirs."""
    scene = Scene(("circle", "star"), ("red", "blue"), ((14.0, 12.0), (40.0, 30.0)), (9.0, 10.0))
    on_circle, on_star = 1 * 7 + 1, 5 * 7 + 3

    def looks(*cells):
        return np.eye(49)[list(cells)].reshape(-1, 7, 7)

    true = "a red circle above a blue star", looks(48, 48, on_circle, 48, 48, 48, on_star)
    false = "a red circle below a blue star", looks(48, 48, on_star, 48, 48, 48, on_star)
    other = "a red ring above a green bar", looks(*[48] * 7)  # of what is not there nothing can be asked
    captions, attention = zip(true, false, other, strict=True)
    found = scores.truth_scores(captions, attention, [scene] * 3)
    assert found == {"true": pytest.approx(1 / 3), "looked_at": pytest.approx(3 / 4)}
