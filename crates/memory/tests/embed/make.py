"""Makes the small models beside it, which the tests of the embedder read. Needs `pip install onnx numpy`.

tiny      takes input_ids, attention_mask, token_type_ids and gives last_hidden_state, as a model of the hub does
bundled   takes input_ids and gives sentence_embedding, as the model of the package does
rerank    takes a pair and gives logits
"""
import hashlib, json, os
import numpy as np
from onnx import TensorProto as T, helper as h, numpy_helper as n, save

here = os.path.dirname(os.path.abspath(__file__))
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "red", "blue", "sea", "##s", "a", "b", "c", "d", "e", ".", ","]
random = np.random.default_rng(7)
table = random.standard_normal((len(words), 8)).astype(np.float32)

def value(name, kind, *shape):
    return h.make_tensor_value_info(name, kind, list(shape))

def model(folder, nodes, inputs, output, constants):
    graph = h.make_graph(nodes, folder, inputs, [output], [n.from_array(array, name) for name, array in constants.items()])
    os.makedirs(os.path.join(here, folder), exist_ok=True)
    save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), os.path.join(here, folder, "model.onnx"))

def inputs(*names):
    return [value(name, T.INT64, "batch", "sequence") for name in names]

three = inputs("input_ids", "attention_mask", "token_type_ids")
gather = h.make_node("Gather", ["table", "input_ids"], ["rows"])
mask = [h.make_node("Cast", ["attention_mask"], ["mask"], to=T.FLOAT), h.make_node("Unsqueeze", ["mask", "last"], ["mask3"])]
last = {"table": table, "last": np.array([2], np.int64)}

model("tiny", [gather, *mask, h.make_node("Mul", ["rows", "mask3"], ["last_hidden_state"])], three,
      value("last_hidden_state", T.FLOAT, "batch", "sequence", 8), last)
model("bundled", [gather, h.make_node("ReduceMean", ["rows"], ["sentence_embedding"], axes=[1], keepdims=0)], inputs("input_ids"),
      value("sentence_embedding", T.FLOAT, "batch", 8), {"table": table})
# The logit grows with the mean of the first column of the table.
model("rerank", [gather, *mask, h.make_node("Mul", ["rows", "mask3"], ["kept"]),
                 h.make_node("ReduceMean", ["kept"], ["mean"], axes=[1], keepdims=0),
                 h.make_node("Slice", ["mean", "zero", "one", "one"], ["logits"])], three,
      value("logits", T.FLOAT, "batch", 1), {**last, "zero": np.array([0], np.int64), "one": np.array([1], np.int64)})

def special(token, place):
    return {"id": place, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}

tokenizer = {
    "version": "1.0", "truncation": None, "padding": None,
    "added_tokens": [special(token, place) for place, token in enumerate(words[:5])],
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
        "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                 {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [words.index(token)], "tokens": [token]} for token in ("[CLS]", "[SEP]")}},
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
              "vocab": {word: place for place, word in enumerate(words)}},
}
files = {
    "tokenizer.json": tokenizer,
    "config.json": {"pad_token_id": 0},
    "special_tokens_map.json": {"cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]"},
    "tokenizer_config.json": {"model_max_length": 16, "pad_token": "[PAD]"},
}

def write(folder, name, content):
    with open(os.path.join(here, folder, name), "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")

for folder in ("tiny", "rerank"):
    for name, content in files.items():
        write(folder, name, content)
write("bundled", "tokenizer.json", tokenizer)

def described(name):
    with open(os.path.join(here, "bundled", name), "rb") as file:
        content = file.read()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

write("bundled", "model.json", {"id": "tiny", "dimensions": 8, "maxTokens": 16,
                                "files": {name: described(name) for name in ("model.onnx", "tokenizer.json")}})
