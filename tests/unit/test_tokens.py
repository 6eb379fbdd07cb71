"""Which tokens of a vocabulary say something, whatever kind of vocabulary it is."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from retrieval.models.tokens import telling_tokens


def _wrapped(tokenizer: Tokenizer, sign: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=sign)  # type: ignore[no-untyped-call]


def _by_bytes(text: str) -> PreTrainedTokenizerFast:
    """A byte-level vocabulary as GPT-2's and RoBERTa's, learned from the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=["<s>"])
    tokenizer.train_from_iterator([text] * 5, trainer)
    return _wrapped(tokenizer, "<s>")


def test_a_space_before_a_sign_is_no_letter() -> None:
    """A byte-level vocabulary writes spaces and the bytes of dashes as letters; read as text they are none."""
    tokenizer = _by_bytes("hello - ( ) – … « world")
    telling = telling_tokens(tokenizer)
    ids = tokenizer("hello - ( ) – … « world")["input_ids"]
    found = {str(tokenizer.decode([at])).strip(): bool(telling[at]) for at in ids}
    assert found == {"hello": True, "world": True} | dict.fromkeys("-()–…«", False)
    assert not telling[tokenizer.unk_token_id]


def test_a_part_of_a_letter_tells() -> None:
    """A letter that the vocabulary knows only by its bytes is not lost."""
    tokenizer = _by_bytes("hello")
    telling = telling_tokens(tokenizer)
    assert any(telling[at] for at in tokenizer("日")["input_ids"])


def test_a_vocabulary_may_have_holes() -> None:
    """Ids need not be without gaps."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "-": 3, "b": 7}))
    telling = telling_tokens(_wrapped(tokenizer, "<unk>"))
    assert telling.nonzero()[0].tolist() == [1, 7]
