from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from recipes import word2vec
from recipes.errors import ConfigError, DataError


def test_the_loss_by_hand():
    logits, labels = np.array([[1.0, -2.0, 5.0]], "f"), np.array([[1, 0, -1]])
    by_hand = -np.log(1 / (1 + np.exp(-1.0))) - np.log(1 - 1 / (1 + np.exp(2.0)))
    assert float(word2vec.NegativeSampling()(labels, logits)) == pytest.approx(by_hand, rel=1e-5)


def test_an_untrained_model_is_undecided():
    config = word2vec.TINY
    splits = word2vec.load_data(config)
    model = word2vec.build(config, splits.info.sizes(word2vec.REVIEWS))
    inputs, labels = next(iter(splits.train))
    each = (labels.numpy() >= 0).sum(1).mean() * np.log(2)
    assert model.evaluate(inputs, labels, verbose=0) == pytest.approx(each, rel=1e-3)


def test_a_word_meets_those_around_it_and_no_others():
    """Words are their own places, from 100 on: who stands where can be read off them."""
    config = replace(word2vec.TINY, window=3, negatives=4, batch_size=10)
    likely = np.cumsum(np.full(100, 0.01))
    reaches = set()
    for (word, others), labels in word2vec.train_skipgrams(np.arange(100, 150), likely, config)(0, 0, 1).take(5):
        offsets = others[:, :6].numpy() - word.numpy()[:, None]
        counted = labels[:, :6].numpy() == 1
        np.testing.assert_array_equal(labels[:, 6:], 0)
        assert (others[:, 6:].numpy() < 100).all()
        for row, found, place in zip(offsets, counted, word.numpy() - 100, strict=True):
            reach = np.abs(row[found]).max()
            reaches.add(int(reach))
            inside = [offset for offset in range(-reach, reach + 1) if offset and 0 <= place + offset < 50]
            assert row[found].tolist() == inside
    assert reaches == {1, 2, 3}


def test_an_epoch_meets_each_word_once_and_can_be_entered_and_shared():
    config = replace(word2vec.TINY, batch_size=8)
    train = word2vec.train_skipgrams(np.arange(50, 120), np.cumsum(np.full(10, 0.1)), config)
    words = np.concatenate([word for (word, _), _ in train(0, 0, 1).take(8)])
    assert len(set(words)) == len(words) == 64
    (word, others), labels = next(iter(train(3, 0, 1)))
    np.testing.assert_array_equal(word, words[24:32])
    parts = [next(iter(train(3, worker, 2))) for worker in range(2)]
    np.testing.assert_array_equal(np.concatenate([part[0][1] for part in parts]), others)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)


def test_held_out_words_are_met_once_each_with_the_same_draws():
    config = replace(word2vec.TINY, batch_size=8)
    dataset = word2vec.eval_skipgrams(np.arange(50, 70), np.cumsum(np.full(10, 0.1)), config)
    first, second = list(dataset), list(dataset)
    assert [len(word) for (word, _), _ in first] == [8, 8, 4], "the last is not left out"
    np.testing.assert_array_equal(np.concatenate([word for (word, _), _ in first]), np.arange(50, 70))
    for ((_, one), _), ((_, two), _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
    few = word2vec.eval_skipgrams(np.arange(5), np.cumsum(np.full(10, 0.1)), config)
    assert [len(word) for (word, _), _ in few] == [5], "fewer than a batch"


def test_own_text_is_evaluated_on(tmp_path):
    text = "one two three four five six seven eight nine ten\n" * 60
    (tmp_path / "own.txt").write_text(text)
    model = word2vec.fit(word2vec.TINY, tmp_path / "own.txt", max_examples=None)
    for data in (tmp_path / "own.txt", text, (text[:50], text[-50:])):
        assert word2vec.evaluate(model, data)["loss"] > 0
    folder = word2vec.export(model, path=tmp_path)
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    assert served(word=tf.constant(["one"]))["neighbours"].shape == (1, 9), "of ten words, the others"


def test_frequent_words_are_thinned_as_the_paper_says():
    words = np.repeat([5, 6], [90_000, 10_000])
    kept = np.bincount(word2vec.thinned(words, np.bincount(words), 1e-2), minlength=7)
    assert kept[5] == pytest.approx(90_000 * np.sqrt(1e-2 / 0.9), rel=0.05)
    assert kept[6] == pytest.approx(10_000 * np.sqrt(1e-2 / 0.1), rel=0.05)
    assert word2vec.thinned(words, np.bincount(words), 0.0) is words


def test_words_of_the_same_company_become_neighbours():
    """Two worlds that never meet: colours stand with things, numbers with units."""
    rng = np.random.default_rng(0)
    colours, numbers = ["red", "green", "blue", "black"], ["one", "two", "three", "four"]
    lines = [
        f"the {rng.choice(colours)} car is {rng.choice(colours)}"
        if rng.random() < 0.5
        else f"in {rng.choice(numbers)} days or {rng.choice(numbers)} weeks"
        for _ in range(3000)
    ]
    model = word2vec.fit(
        word2vec.TINY, "\n".join(lines), epochs=5, max_examples=None, batch_size=64, learning_rate=2e-2
    )
    for group in (colours, numbers):
        for word in group:
            near = [name for name, _ in word2vec.neighbours(word, 3, model=model)]
            assert set(near) == set(group) - {word}, word
    assert word2vec.similarity("red", "green", model=model) > word2vec.similarity("red", "two", model=model) + 0.3
    with pytest.raises(ConfigError, match="the word 'rad' is not among the 16 that are known .did you mean 'red'"):
        word2vec.neighbours("rad", 3, model=model)
    with pytest.raises(ConfigError, match="count=-1 is out of range; expected a whole number of 0 or more"):
        word2vec.neighbours("red", -1, model=model)


def test_vectors_are_written_in_word2vecs_format(fitted):
    model = fitted(word2vec)
    lines = (model.run.folder / "vectors.txt").read_text().splitlines()
    names = model.run.info.tokenizer.vocabulary[2:]
    assert lines[0] == f"{len(names)} 8"
    assert [line.split(" ")[0] for line in lines[1:]] == list(names)
    read = np.array([[float(value) for value in line.split(" ")[1:]] for line in lines[1:]])
    np.testing.assert_allclose(read, word2vec.word_vectors(model), rtol=1e-4, atol=1e-6)


def test_labels_of_the_map_cover_nothing():
    points = np.array([[0.0, 0], [0.2, 0.0], [2, 0], [2.1, 0.05], [4, 0]])  # inches
    assert word2vec.rows_with_room(["long word", "a", "b", "c", "d"], points) == [1, 3, 4]
    words = [f"word{number}" for number in range(60)]
    vectors = np.random.default_rng(0).normal(size=(60, 8))
    figure = word2vec.draw_words(words, vectors)
    figure.draw_without_rendering()
    [axes] = figure.axes
    assert len(axes.collections[0].get_offsets()) == 60
    boxes = np.array([text.get_window_extent().extents for text in axes.texts])  # x0, y0, x1, y1
    assert len(boxes) > 10
    for left, bottom, right, top in boxes:
        meets = (boxes[:, 0] < right) & (left < boxes[:, 2]) & (boxes[:, 1] < top) & (bottom < boxes[:, 3])
        assert meets.sum() == 1


def test_gensim_reads_them(fitted):
    from gensim.models import KeyedVectors

    model = fitted(word2vec)
    vectors = KeyedVectors.load_word2vec_format(model.run.folder / "vectors.txt")
    names = model.run.info.tokenizer.vocabulary[2:]
    theirs = [name for name, _ in vectors.most_similar(names[0], topn=3)]
    assert theirs == [name for name, _ in word2vec.nearest(names, word2vec.word_vectors(model), [0], 3)[0]]


def test_words_are_served(fitted, exported):
    model = fitted(word2vec)
    served = tf.saved_model.load(str(exported(word2vec))).signatures["serving_default"]
    answer = served(word=tf.constant(["The", "zzz", ""]))
    np.testing.assert_allclose(answer["vector"][0], word2vec.word_vectors(model)[0], rtol=1e-6)
    np.testing.assert_array_equal(answer["vector"][1:], 0)
    np.testing.assert_array_equal(answer["neighbours"][1:], b"")
    near = word2vec.neighbours("the", 10, model=model)
    assert [name.decode() for name in answer["neighbours"][0].numpy()] == [name for name, _ in near]
    np.testing.assert_allclose(answer["similarity"][0], [cosine for _, cosine in near], atol=1e-5)


def test_too_short_a_text_is_refused():
    with pytest.raises(DataError, match="your own text has 4 words to learn from; expected at least batch_size=32"):
        word2vec.fit(word2vec.TINY, "some words\nsome words\n")
