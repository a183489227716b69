"""Text one token at a time, the whole loop in one TensorFlow graph: sampling and beam search.

Both take a `step`, (tokens (N,) int32, their position, state) -> (logits (N, V) of the next, state), where `state` is a
structure of tensors whose first axis is N: the hidden state of a recurrent network, or a cache of keys and values.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from recipes.data.tokenizers import END, PAD, START

Step = Callable[[tf.Tensor, tf.Tensor, Any], tuple[tf.Tensor, Any]]

#: A model -> (begin, step): `begin` makes the state before the first token, of what a model begins with
Decoder = Callable[[keras.Model], tuple[Callable[[Any], Any], Step]]


def sample_token(
    logits: tf.Tensor, seeds: tf.Tensor, temperature: Any = 1.0, top_k: Any = 0, top_p: Any = 1.0
) -> tf.Tensor:
    """Returns a token drawn from each row of logits, (N, V) to (N,) int32.

    Args:
        logits: (N, V) float32.
        seeds: (N, 2) int: the same seed draws the same token.
        temperature: Logits are divided by it; 0: the likeliest token. Of all rows, or of each, (N,), as the following.
        top_k: Only the k likeliest may be drawn; 0: all. Fan et al. (2018), https://arxiv.org/abs/1805.04833.
        top_p: Of those, only the likeliest that together have this probability; 1: all. Holtzman et al. (2020),
            https://arxiv.org/abs/1904.09751.
    """
    likeliest = tf.argmax(logits, -1, output_type=tf.int32)
    temperature = of_each_row(temperature, tf.float32)
    logits = filter_top_k_top_p(logits / tf.maximum(temperature, 1e-6), top_k, top_p)
    uniform = tf.map_fn(
        lambda seed: tf.random.stateless_uniform(logits.shape[1:], seed, 1e-9, 1),
        seeds,
        fn_output_signature=tf.TensorSpec(logits.shape[1:], tf.float32),
    )
    drawn = tf.argmax(logits - tf.math.log(-tf.math.log(uniform)), -1, output_type=tf.int32)  # Gumbel's trick
    return tf.where(temperature[:, 0] > 0, drawn, likeliest)


def filter_top_k_top_p(logits: tf.Tensor, top_k: Any = 0, top_p: Any = 1.0) -> tf.Tensor:
    """Returns logits, (N, V), with those that may not be drawn at minus infinity. The likeliest always may."""
    size = tf.shape(logits)[-1]
    order = tf.argsort(logits, -1, "DESCENDING", stable=True)  # of equals, the first is the likelier
    top_k, top_p = of_each_row(top_k, tf.int32), of_each_row(top_p, tf.float32)
    few = tf.range(size) < tf.where(top_k > 0, top_k, size)
    probabilities = tf.nn.softmax(tf.where(few, tf.gather(logits, order, batch_dims=1), float("-inf")))
    likelier = tf.cumsum(probabilities, -1, exclusive=True)  # what those before have together
    enough = (likelier < top_p) | (top_p >= 1) | (tf.range(size) == 0)
    allowed = tf.gather(few & enough, tf.argsort(order), batch_dims=1)
    return tf.where(allowed, logits, float("-inf"))


def of_each_row(value: Any, dtype: tf.DType) -> tf.Tensor:
    """Returns a number for each row, (N,), as (N, 1); one for all rows as (1, 1)."""
    return tf.reshape(tf.convert_to_tensor(value, dtype), (-1, 1))


def sample_tokens(
    step: Step, state: Any, prompts: tf.RaggedTensor, length: Any, seed: Any = 0, **sampling: Any
) -> tf.RaggedTensor:
    """Returns each prompt and `length` tokens after it.

    A row depends on its own prompt and numbers alone, whatever else is in the batch.

    Args:
        step: See above.
        state: Before the first token.
        prompts: (B, None) int32, of one token or more each.
        length: How many tokens to add, 0 or more; after all prompts, or after each, (B,).
        seed: Of all prompts, or of each, (B,). The same seed gives the same tokens.
        **sampling: See `sample_token`.
    """
    prompt_lengths = tf.cast(prompts.row_lengths(), tf.int32)
    total = tf.reduce_max(prompt_lengths + length)
    padded = prompts.to_tensor(shape=(None, None))
    rows = tf.shape(padded)[0]

    def extend(position: tf.Tensor, token: tf.Tensor, state: Any, tokens: tf.TensorArray) -> Any:
        logits, state = step(token, position, state)
        seeds = tf.stack([tf.broadcast_to(tf.cast(seed, tf.int32), (rows,)), position - prompt_lengths], -1)
        following = tf.minimum(position + 1, tf.shape(padded)[1] - 1)
        sampled = sample_token(tf.cast(logits, tf.float32), seeds, **sampling)
        token = tf.where(position + 1 < prompt_lengths, padded[:, following], sampled)
        return position + 1, token, state, tokens.write(position + 1, token)

    tokens = tf.TensorArray(tf.int32, total, clear_after_read=False, element_shape=(None,)).write(0, padded[:, 0])
    loop = (tf.constant(0), padded[:, 0], state, tokens)
    *_, tokens = tf.while_loop(lambda position, *_: position < total - 1, extend, loop)
    return tf.RaggedTensor.from_tensor(tf.transpose(tokens.stack()), lengths=prompt_lengths + length)


def beam_search(
    step: Step, state: Any, start: tf.Tensor, length: Any, beam_width: int = 1, length_penalty: float = 0.6
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best sequences that a beam finds and their scores, (B, K, T) int32 and (B, K), the best first.

    A sequence ends with END, or after `length` tokens; PAD follows. Scores are sums of log-probabilities divided by
    ((5 + T) / 6) ** length_penalty, where T counts END: Wu et al. (2016), equation 14, https://arxiv.org/abs/1609.08144.

    Args:
        step: See above, for N = B * K: the K rows of the first sequence come first.
        state: Before the first token, for N = B; every tensor of it is repeated K times.
        start: (B,) int32, the token before the first.
        length: The most tokens, of all sequences or of each, (B,).
        beam_width: K; 1 is greedy search.
        length_penalty: 0: none, which favours short sequences.
    """
    batch, k = tf.shape(start)[0], beam_width
    most = tf.broadcast_to(length, (batch,))[:, tf.newaxis, tf.newaxis]
    state = tf.nest.map_structure(lambda x: tf.repeat(x, k, 0), state)
    scores = tf.repeat([[0.0] + [float("-inf")] * (k - 1)], batch, 0)  # (B, K): the K rows are alike at first
    tokens = tf.repeat(start, k)

    def extend(position: tf.Tensor, token: tf.Tensor, scores: tf.Tensor, sequences: tf.Tensor, state: Any) -> Any:
        logits, state = step(token, position, state)
        size = logits.shape[-1]
        log_p = tf.reshape(tf.nn.log_softmax(tf.cast(logits, tf.float32)), (batch, k, size))
        log_p = tf.where(tf.range(size) <= START, float("-inf"), log_p)  # these are no part of a sentence
        over = tf.reshape((token == END) | (token == PAD), (batch, k, 1)) | (position >= most)
        log_p = tf.where(over, tf.where(tf.range(size) == PAD, 0.0, float("-inf")), log_p)  # what has ended, stays
        best, flat = tf.math.top_k(tf.reshape(scores[..., tf.newaxis] + log_p, (batch, k * size)), k)
        parent, token = flat // size, tf.reshape(flat % size, (-1,))
        rows = tf.reshape(parent + tf.range(batch)[:, tf.newaxis] * k, (-1,))
        state = tf.nest.map_structure(lambda x: tf.gather(x, rows), state)
        sequences = tf.concat([tf.gather(sequences, rows), token[:, tf.newaxis]], 1)
        return position + 1, token, best, sequences, state

    def unfinished(position: tf.Tensor, token: tf.Tensor, *_: Any) -> tf.Tensor:
        return (position < tf.reduce_max(most)) & tf.reduce_any((token != END) & (token != PAD))

    loop = (tf.constant(0), tokens, scores, tf.zeros((batch * k, 0), tf.int32), state)
    shapes = (
        tf.TensorShape(()),
        tf.TensorShape((None,)),
        tf.TensorShape((None, k)),
        tf.TensorShape((None, None)),
        tf.nest.map_structure(lambda x: tf.TensorShape((None, *x.shape[1:])), state),
    )
    _, _, scores, sequences, _ = tf.while_loop(unfinished, extend, loop, shape_invariants=shapes)
    sequences = tf.reshape(sequences, (batch, k, tf.shape(sequences)[1]))
    lengths = tf.reduce_sum(tf.cast(sequences != PAD, tf.float32), -1)
    scores = scores / ((5 + lengths) / 6) ** length_penalty
    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    return tf.gather(sequences, order, batch_dims=1), tf.gather(scores, order, batch_dims=1)
