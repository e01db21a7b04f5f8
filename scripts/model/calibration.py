"""Token sequences that show how large the activations get. None of them is among the golden texts.

The model card gives natural English; sequences drawn from the vocabulary, from its commonest words and from each script
give the rest. Short ones are many, because in a short text one badly rounded token weighs most."""

import re
import unicodedata

import numpy as np

from source import MAX_TOKENS, Source

COMMONEST = slice(1996, 6000)  # BERT's vocabulary lists whole words by frequency from here on
LENGTHS = (1, 1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64)


def sequences(source: Source) -> list[list[int]]:
    random = np.random.default_rng(6)
    texts = []
    for paragraph in re.split(r"\n\n+", source.card):
        texts += [paragraph, *re.split(r"(?<=[.:;])\s+", paragraph)]
    found = [source.tokens(text) for text in texts if len(text) > 20]

    vocabulary = sorted((i, token) for token, i in source.tokenizer.get_vocab().items() if not token.startswith("[unused"))
    every = [i for i, _ in vocabulary]
    scripts = {}
    for i, token in vocabulary:
        script = unicodedata.name(token.removeprefix("##")[0], "?").split()[0]
        scripts.setdefault(script, []).append(i)

    def draw(pool, length):
        found.append([101, *(int(i) for i in random.choice(pool, length)), 102][:MAX_TOKENS])

    for length in LENGTHS:
        for _ in range(5):
            draw(every, length)
            draw(every[COMMONEST], length)
    for pool in scripts.values():
        if len(pool) >= 4:
            for length in (1, 3, 9, 20):
                draw(pool, length)
    for length in (3, 10, 60, 254):
        draw([int(random.choice(every))], length)
        draw([0, 100, 101, 102, 103], length % 50)
    return found
