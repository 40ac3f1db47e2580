"""Where long texts are divided."""

from __future__ import annotations

import pytest
from _small_models import MINILM
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sktransfer.backbones._preprocessing import TextPreprocessing
from sktransfer.backbones._windows import token_windows
from sktransfer.demonstration import bbc_news

ARTICLES = list(bbc_news(12, 1).X)


def minilm(max_length: int) -> TextPreprocessing:
    return TextPreprocessing(AutoTokenizer.from_pretrained(MINILM.folder), max_length)


def byte_level(max_length: int) -> TextPreprocessing:
    """Return a tokenizer whose tokens carry the space before them, as RoBERTa's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(ARTICLES, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    return TextPreprocessing(wrapped, max_length)


def unsplit(max_length: int) -> TextPreprocessing:
    """Return a tokenizer that takes a whole text for one word."""
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0)], unk_id=0))
    letters = {letter for text in ARTICLES for letter in text}
    tokenizer.model = models.Unigram(
        [("<unk>", 0.0), *((letter, -1.0) for letter in sorted(letters))], unk_id=0
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    return TextPreprocessing(wrapped, max_length)


def n_tokens(preprocessing: TextPreprocessing, *parts: str) -> int:
    return len(preprocessing.tokenizer(*parts, verbose=False)["input_ids"])


@pytest.mark.parametrize("n_words", [1, 3, None])
@pytest.mark.parametrize("capacity", [1, 2, 3, 4, 7, 8, 30])
def test_windows_cover_all_tokens_and_overlap(capacity, n_words):
    for n_tokens in (1, capacity, capacity + 1, 2 * capacity, 101):
        words = [0 if n_words is None else i // n_words for i in range(n_tokens)]
        windows = token_windows(words, capacity)
        assert windows[0][0] == 0
        assert windows[-1][1] == n_tokens
        assert all(0 < stop - start <= capacity for start, stop in windows)
        for (start, stop), (following, end) in zip(windows, windows[1:], strict=False):
            assert start < following <= stop < end
            assert stop - following >= capacity // 4
        assert (len(windows) == 1) == (n_tokens <= capacity)


@pytest.mark.parametrize("make", [minilm, byte_level, unsplit])
def test_windows_of_articles_hold_no_more_than_the_encoder_takes(make):
    preprocessing = make(48)
    for article, places in zip(ARTICLES, preprocessing.windows(ARTICLES), strict=True):
        assert places.shape[1:] == (1, 2)
        assert len(places) > 8
        bounds = [tuple(part) for (part,) in places.tolist()]
        lengths = [n_tokens(preprocessing, article[slice(*part)]) for part in bounds]
        assert max(lengths) <= 48
        assert min(lengths) > 16
        # From the first word to the last, and nothing between is left out.
        assert not article[: bounds[0][0]].strip()
        assert not article[bounds[-1][1] :].strip()
        for (_, stop), (start, _) in zip(bounds, bounds[1:], strict=False):
            assert start <= stop


@pytest.mark.parametrize("make", [minilm, byte_level])
def test_words_stay_whole(make):
    for article, places in zip(ARTICLES, make(48).windows(ARTICLES), strict=True):
        for ((start, stop),) in places.tolist():
            around = [article[max(start - 1, 0) : start + 1], article[stop - 1 :][:2]]
            assert not any(pair.isalpha() for pair in around if len(pair) == 2)


def test_a_word_of_any_length_is_divided():
    (places,) = minilm(16).windows(["x1" * 45])
    assert len(places) > 4
    assert places[-1, 0, 1] == 90


def test_what_is_short_enough_is_its_only_window():
    texts = ["", "  a late goal ", "one two three four five six"]
    places = minilm(8).windows(texts)
    assert [found.tolist() for found in places] == [[[[0, len(t)]]] for t in texts]
    assert minilm(7).windows(texts[2:])[0].shape == (2, 1, 2)
    assert minilm(8).windows([]) == []


@pytest.mark.parametrize("max_length", [24, 25])
@pytest.mark.parametrize("question_first", [True, False])
def test_of_a_pair_the_longer_part_is_divided(question_first, max_length):
    question = "Who won the match on Sunday?"  # 7 tokens
    pairs = [(question, article) for article in ARTICLES]
    preprocessing = minilm(max_length)
    if not question_first:
        pairs = [pair[::-1] for pair in pairs]
    for pair, places in zip(pairs, preprocessing.windows(pairs), strict=True):
        assert places.shape[1:] == (2, 2)
        for bounds in places.tolist():
            parts = [text[slice(*at)] for text, at in zip(pair, bounds, strict=True)]
            assert parts[0 if question_first else 1] == question
            assert n_tokens(preprocessing, *parts) <= max_length


@pytest.mark.parametrize("max_length", [24, 25])
def test_of_two_long_parts_the_longer_one_is_read_to_its_end(max_length):
    short, long = sorted(ARTICLES[:2], key=len)
    preprocessing = minilm(max_length)
    (places,) = preprocessing.windows([(short, long)])
    last = long[places[-1, 1, 0] : places[-1, 1, 1]]
    (record,) = preprocessing.encode([(short, last)])
    text = preprocessing.tokenizer.decode(record["input_ids"])
    end = preprocessing.tokenizer.decode(
        preprocessing.tokenizer(last, add_special_tokens=False)["input_ids"]
    )
    assert text.endswith(f"[SEP] {end} [SEP]")
    assert len(record["input_ids"]) == max_length


def test_no_room_for_a_pair():
    message = "'max_length' parameter must leave room.* beside 3 special tokens.* Got 4"
    with pytest.raises(ValueError, match=message):
        minilm(4).windows([("a", "b")])
    assert len(minilm(5).windows([("a b c", "b")])[0]) == 3
    assert len(minilm(3).windows(["a b c"])[0]) == 3
