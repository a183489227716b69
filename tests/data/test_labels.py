import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from recipes.data.in_memory import Arrays, from_pairs, hold_out, three_way, with_weights
from recipes.data.labels import balanced_weights, check_weights, read_labels, sizes_of_labels
from recipes.errors import DataError


def read(labels, task="auto", names=()):
    [column], labels = (found := read_labels([labels], [len(labels)], "images", task, names)).splits, found
    return labels.task, column.tolist(), labels.names


@pytest.mark.parametrize(
    ("labels", "expected", "said"),
    [
        ([2, 0, 1], ("classification", [2, 0, 1], ("0", "1", "2")), ""),
        (tf.constant([[1], [0]]), ("classification", [1, 0], ("0", "1")), ""),
        (["dog", "ant", "dog"], ("classification", [1, 0, 1], ("ant", "dog")), ""),
        (np.array([b"dog", b"ant"]), ("classification", [1, 0], ("ant", "dog")), ""),
        ([["b"], ["a"]], ("classification", [1, 0], ("a", "b")), ""),
        (np.array([True, False]), ("classification", [1, 0], ("False", "True")), ""),
        (np.eye(3)[[2, 0, 1]], ("classification", [2, 0, 1], ("0", "1", "2")), "exactly one 1: 3 classes"),
        ([[0, 1], [1, 0]], ("classification", [1, 0], ("0", "1")), "exactly one 1: 2 classes"),
        ([1.0, 0.0, 3.0], ("classification", [1, 0, 3], ("0", "1", "2", "3")), "whole numbers: classes; of numbers to"),
        ([0.5, 2, -1], ("regression", [0.5, 2, -1], ()), "numbers to predict, not classes"),
        ([[1, 1], [0, 0]], ("multi_label", [[1, 1], [0, 0]], ("0", "1")), "any number of 2 labels"),
        ([["b", "a"], [], ["b"]], ("multi_label", [[1, 1], [0, 0], [0, 1]], ("a", "b")), "any number of 2 labels"),
        ([[2, 0], [1]], ("multi_label", [[1, 0, 1], [0, 1, 0]], ("0", "1", "2")), "any number of 3 labels"),
    ],
)
def test_what_labels_are_taken_for_and_what_is_said_of_it(labels, expected, said, capsys):
    assert read(labels) == expected
    out = capsys.readouterr().out
    assert said in out
    assert bool(said) == out.startswith("note: ")


def test_what_is_asked_for_comes_before_what_labels_look_like(capsys):
    assert read([3, 1], "regression") == ("regression", [3, 1], ())
    assert read([[0, 1], [1, 0]], "multi_label") == ("multi_label", [[0, 1], [1, 0]], ("0", "1"))
    assert read([[0, 1], [1, 0]], "classification")[1] == [1, 0]
    assert capsys.readouterr().out == ""


def test_many_different_integers_are_said_to_be_taken_for_classes(capsys):
    assert read(list(range(30)))[0] == "classification"
    assert "labels are 30 different integers in 30 examples" in capsys.readouterr().out
    read([*range(10)] * 3)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (
            [3, "cat", None, "", "cat"],
            "auto",
            r"missing \(example 2\); empty \(example 3\); of several kinds .a number",
        ),
        ([3, "cat"], "auto", "a number at example 0: 3, a text at example 1: 'cat'"),
        ([1.5, np.nan, np.inf], "auto", "missing or infinite at examples 1, 2;"),
        ([None] * 9, "auto", r"missing \(examples 0, 1, 2, 3, 4 and 4 more\)"),
        ([{}, "a"], "auto", r"of no known kind \(example 0\)"),
        (["a", "a"], "auto", "all labels are 'a'; expected two classes"),
        (["a", "b"], "regression", "labels are texts, such as 'a'; expected for task='regression' numbers"),
        (["a", "b"], "multi_label", "expected for task='multi_label' of each example a list"),
        ([0.5, 1], "classification", r"labels have fractions, in \[0.5, 1\]; expected class indices, or task='regr"),
        ([[0, 1], [1, 1]], "classification", "not have exactly one 1 at example 1; expected one class"),
        ([["a"], []], "classification", "none or of several at example 1"),
        ([[], []], "auto", "empty lists, all of them"),
        ([[0.2, 0.8], [1.0, 0.0]], "auto", "other numbers than 0 and 1 at example 0"),
        ([[0, 1], [1, 1]], "regression", "expected one number for each example"),
        ([3, 1], "multi_label", "labels are one number of each example"),
        ([["a"], [-1, 2]], "auto", "lists of texts, others of numbers"),
        ([[-1, 2], [1]], "auto", r"labels lie in \[-1, 2\]; expected whole numbers from 0"),
        ("cat", "auto", "labels is 'cat'; expected a list of one for each of the 3 images"),
    ],
)
def test_labels_that_cannot_be_are_named_all_at_once(labels, task, message):
    with pytest.raises(DataError, match=message):
        read_labels([labels], [len(labels)], "images", task)


def test_splits_share_their_classes_and_their_kind(capsys):
    found = read_labels([["b", "c"], ["a", "c"]], [2, 2], "texts")
    assert (found.names, [split.tolist() for split in found.splits]) == (("a", "b", "c"), [[1, 2], [0, 2]])
    assert capsys.readouterr().out == "note: no training example has the label 'a'\n"
    one_hot_by_chance = read_labels([np.eye(2), np.ones((2, 2))], [2, 2], "texts")
    assert one_hot_by_chance.task == "multi_label", "all splits are looked at"
    with pytest.raises(DataError, match="the labels are texts in one split and numbers in another"):
        read_labels([["a", "b"], [0, 1]], [2, 2], "texts")
    with pytest.raises(DataError, match="rows of labels are 2 and 3 wide"):
        read_labels([np.eye(2), np.eye(3)], [2, 3], "texts")


def test_a_trained_models_names_are_kept():
    assert read(["c", "c"], "classification", ("a", "b", "c"))[1] == [2, 2]
    assert read([["c"], ["a", "b"]], "multi_label", ("c", "b", "a"))[1] == [[1, 0, 0], [0, 1, 1]]
    with pytest.raises(
        DataError, match="unknown labels 'cats' .did you mean 'cat'.*expected those of the model: 'cat', 'd"
    ):
        read(["cats"], "classification", ("cat", "dog"))


def test_weights_are_checked():
    assert check_weights([0, 2.5], 2, "images").tolist() == [0, 2.5]
    for weights, message in (
        ([1, -1], "negative or no finite number at example 1"),
        ([np.nan, 1], "no finite number at example 0"),
        ([0, 0], "weights are 0, all of them"),
        ([1], r"weights are int64 \(1,\); expected one number for each of the 2 images"),
        (None, "expected one number for each"),
    ):
        with pytest.raises(DataError, match=message):
            check_weights(weights, 2, "images")


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_sample_weight

    labels = np.array([0, 0, 0, 2])
    assert balanced_weights(labels).tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    np.testing.assert_allclose(balanced_weights(labels), compute_sample_weight("balanced", labels))
    weighted = (labels, labels, np.array([1, 2, 1, 0.5], np.float32))
    train, validation, test = with_weights((weighted, None, weighted), "balanced")
    assert train[2].tolist() == pytest.approx([2 / 3, 4 / 3, 2 / 3, 1])
    assert (validation, len(test)) == (None, 2), "weights are of training alone"
    assert len(with_weights((weighted, weighted, weighted), "none")[0]) == 3


def test_weights_come_third_and_only_to_training(capsys):
    x, y, w = np.arange(4), np.array([0, 1, 0, 1]), np.array([1, 2, 3, 4])
    arrays = from_pairs((x, y, w), np.asarray, "numbers")
    assert arrays.train[2].tolist() == [1, 2, 3, 4]
    arrays = from_pairs(((x, y, w), (x, y, w)), np.asarray, "numbers")
    assert (len(arrays.train), len(arrays.test)) == (3, 2)
    assert "weights of validation and test data are not used" in capsys.readouterr().out
    arrays = from_pairs([[x, y], [x, y], [x, y]], np.asarray, "numbers")
    assert arrays.validation[0].tolist() == [0, 1, 2, 3]


def test_a_numbers_mean_and_deviation_are_those_of_training():
    assert sizes_of_labels("regression", (), np.array([1, 3], np.float32)) == {
        "task": "regression",
        "target_mean": 2.0,
        "target_std": 1.0,
    }
    assert sizes_of_labels("regression", (), np.ones(3))["target_std"] == 1.0, "of equal labels"
    assert sizes_of_labels("multi_label", ("a", "b"), np.eye(2)) == {"num_classes": 2, "task": "multi_label"}
    assert sizes_of_labels("classification", ("a", "b"), np.eye(2)) == {"num_classes": 2}


class Lazy:
    """A column that is not in memory."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, places):
        return Lazy(self.values[places])


@given(classes=st.lists(st.integers(0, 5), min_size=1, max_size=80), fraction=st.floats(0, 0.9))
def test_every_class_is_held_out_in_proportion(classes, fraction):
    labels = np.array(classes)
    (kept, _), (out, held) = hold_out((Lazy(np.arange(len(labels))), labels), fraction, labels)
    assert sorted([*kept.values, *out.values]) == list(range(len(labels)))
    np.testing.assert_array_equal(held, labels[out.values])
    counts = np.bincount(labels)
    if counts.max() > 1:
        expected = round(len(labels) * fraction) * counts / counts[counts > 1].sum()
        got = np.bincount(held, minlength=len(counts))
        assert (np.abs(got - expected)[counts > 1] < 1).all() or (got <= counts).all()
        assert (got[counts == 1] == 0).all()
        assert len(held) == min(round(len(labels) * fraction), counts[counts > 1].sum())


def test_labels_that_are_all_the_same_are_told_of(capsys):
    sizes_of_labels("classification", ("cat", "dog"), np.array([1, 1, 1]))
    assert "all 3 labels are 'dog': a model that is trained on them has nothing" in capsys.readouterr().out
    sizes_of_labels("regression", (), np.full(4, 2.5, np.float32))
    assert "all 4 labels are 2.5" in capsys.readouterr().out
    sizes_of_labels("classification", ("cat", "dog"), np.array([1, 0]))
    sizes_of_labels("multi_label", ("cat", "dog"), np.zeros((3, 2), np.float32))
    assert not capsys.readouterr().out


def test_classes_of_two_examples_are_held_out_evenly_and_a_single_one_is_trained_on(capsys):
    labels = np.repeat(np.arange(100), 2)
    _, (_, held) = hold_out((labels, labels), 0.1, labels)
    assert held.min() < 30 < 70 < held.max(), "not the first classes"
    labels = np.array([0] * 10 + [1] * 10 + [2])
    arrays = Arrays((np.arange(21), labels), label_names=("a", "b", "c"))
    train, validation, test = three_way(arrays, 0.2, None)
    assert (2 in train[1], len(validation[1]), sorted(test[1])) == (True, 4, [0, 1])
    assert "there is one example of c: it is trained on" in capsys.readouterr().out
    few, _, _ = three_way(arrays, 0.2, 8)
    assert np.bincount(few[1]).tolist() == [4, 4]


def test_numbers_and_several_labels_are_held_out_at_random():
    for task in ("regression", "multi_label"):
        arrays = Arrays((np.arange(20), np.arange(20.0)), task=task, label_names=("a",) * (task == "multi_label"))
        train, validation, test = three_way(arrays, 0.1, None)
        assert (len(train[0]), len(validation[0]), len(test[0])) == (16, 2, 2)
