"""The tokens of a text that say something, and their vectors."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval.models.protocols import TokenVectors

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


_PART_OF_A_CHARACTER = "\ufffd"
"""What some bytes of a character are decoded to: of a letter, as characters of several bytes mostly are."""


def telling_tokens(tokenizer: "PreTrainedTokenizerBase") -> NDArray[np.bool_]:
    """By id: whether the token has a letter or a digit and is none of the model's own signs."""
    vocabulary, signs = tokenizer.get_vocab(), set(tokenizer.all_special_ids)
    telling = np.zeros(max(vocabulary.values()) + 1, dtype=np.bool_)
    for token, at in vocabulary.items():
        # Byte-level vocabularies write a space as the letter Ġ, and so each byte that ASCII has no sign for.
        text = token if token.isascii() else tokenizer.convert_tokens_to_string([token])
        telling[at] = at not in signs and any(each.isalnum() or each == _PART_OF_A_CHARACTER for each in text)
    return telling


def token_vectors(row: "dict[str, Tensor]", telling: NDArray[np.bool_]) -> TokenVectors:
    """From what sentence-transformers gives of one text, padding and all. Half precision halves the memory."""
    ids = row["input_ids"].cpu().numpy()
    kept = telling[ids] & (row["attention_mask"].cpu().numpy() == 1)
    vectors = row["token_embeddings"].cpu().numpy()[kept].astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return TokenVectors(ids=ids[kept], vectors=vectors.astype(np.float16))
