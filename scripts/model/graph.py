"""Writes the ONNX graph: token ids in, the sentence vector out.

`input_ids` [batch, tokens] holds texts of equal length, without padding: there is no mask. The linear layers are
`DynamicQuantizeMatMul`, whose activations are scaled by the extremes of the whole input, so texts must go through one by
one if their vectors are not to depend on each other. Add and LayerNormalization stay apart, because the operator that
joins them is several times slower on CPUs."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from quantize import Range, round_rows, round_weight
from reference import EPSILON, HEADS, LAYERS, WIDTH
from source import MAX_TOKENS

CONTRIB = "com.microsoft"
# How far the sizes of the channels are moved from the activations into the weights.
STRENGTH = {"qkv": 0.8, "out": 0.65, "ff1": 0.8}
OUTLIER = 10.0


class Graph:
    def __init__(self):
        self.nodes, self.tensors = [], {}

    def constant(self, name, value, dtype=np.float32):
        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(value, dtype), name)
        return name

    def node(self, kind, inputs, output, **attributes):
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return output

    def linear(self, x, name, rounded, scale, bias):
        weights = [self.constant(name + ".weight", rounded, np.int8), self.constant(name + ".scale", scale), ""]
        return self.node("DynamicQuantizeMatMul", [x, *weights, self.constant(name + ".bias", bias)], name, domain=CONTRIB)

    def norm(self, x, name, gain, bias):
        inputs = [x, self.constant(name + ".gain", gain), self.constant(name + ".bias", bias)]
        return self.node("LayerNormalization", inputs, name, axis=-1, epsilon=EPSILON)

    def model(self):
        graph = helper.make_graph(
            self.nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
            [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", WIDTH])],
            list(self.tensors.values()),
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="master-agent")


class Activations:
    """What the linear layers are given for the calibration texts; every text counts the same, however long it is."""

    def __init__(self, reference, sequences):
        taken = {}
        for ids in sequences:
            reference.states(ids, lambda site, x: taken.setdefault(site, []).append(x))
        self.inputs = {site: np.concatenate(parts) for site, parts in taken.items()}
        self.importance = np.concatenate([np.full(len(ids), 1 / len(ids)) for ids in sequences])


def write(weights, activations: Activations):
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    g = Graph()
    embed(g, w)
    at = "embeddings.LayerNorm"
    gain, bias = w[at + ".weight"], w[at + ".bias"]
    x = "embedded"
    for layer in range(LAYERS):
        # `x` is the sum that the last norm of the layer before has yet to normalise.
        x, gain, bias = attention(g, w, activations, layer, x, gain, bias)
        x, gain, bias = feed_forward(g, w, activations, layer, x, gain, bias)
    x = g.norm(x, "states", gain, bias)
    g.node("ReduceMean", [x], "mean", axes=[1], keepdims=0)
    g.node("LpNormalization", ["mean"], "sentence_embedding", axis=1, p=2)
    return g.model()


def embed(g, w):
    table, scale = round_rows(w["embeddings.word_embeddings.weight"])
    places = w["embeddings.position_embeddings.weight"][:MAX_TOKENS] + w["embeddings.token_type_embeddings.weight"][0]
    zero, one = (g.constant(name, [value], np.int64) for name, value in (("zero", 0), ("one", 1)))
    g.node("Gather", [g.constant("words.table", table, np.int8), "input_ids"], "words.rounded")
    g.node("Gather", [g.constant("words.scales", scale), "input_ids"], "words.scale")
    g.node("Cast", ["words.rounded"], "words.number", to=TensorProto.FLOAT)
    g.node("Mul", ["words.number", "words.scale"], "words")
    g.node("Shape", ["input_ids"], "tokens", start=1, end=2)
    g.node("Slice", [g.constant("places.table", places[None]), zero, "tokens", one], "places")
    g.node("Add", ["words", "places"], "embedded")


def normalised(g, total, name, gain, bias, size):
    """The norm of `total` in the sizes that the linear layer wants, and the same in its own sizes but for the shift."""
    x = g.norm(total, name, gain / size.scale, (bias - size.shift) / size.scale)
    return x, g.node("Mul", [x, g.constant(name + ".size", size.scale)], name + ".residual")


def attention(g, w, activations, layer, total, gain, bias):
    at, name = f"encoder.layer.{layer}.attention.", f"layer{layer}.attention"
    parts = [f"{at}self.{part}" for part in ("query", "key", "value")]
    weight = np.concatenate([w[part + ".weight"].T for part in parts], 1)
    offset = np.concatenate([w[part + ".bias"] for part in parts])
    out, out_bias = w[at + "output.dense.weight"].T, w[at + "output.dense.bias"]

    inputs, contexts = activations.inputs[layer, "qkv"], activations.inputs[layer, "out"]
    size = Range(inputs, weight, STRENGTH["qkv"])
    # Attention weights add up to one, so the values may be shifted and scaled before it as well as after it.
    value = Range(contexts, out, STRENGTH["out"])
    offset = offset + size.shift @ weight
    weight = weight * size.scale[:, None]
    weight[:, 2 * WIDTH :] /= value.scale
    offset[2 * WIDTH :] = (offset[2 * WIDTH :] - value.shift) / value.scale

    x, residual = normalised(g, total, name + ".in", gain, bias, size)
    rounded, scale = round_weight(weight, (inputs - size.shift) / size.scale, activations.importance)
    g.linear(x, name + ".qkv", rounded, scale, offset)
    qkv = g.node("Split", [name + ".qkv", g.constant("thirds", [WIDTH] * 3, np.int64)], [f"{name}.{c}" for c in "qkv"], axis=-1)
    g.node("MultiHeadAttention", qkv, name + ".context", domain=CONTRIB, num_heads=HEADS)
    rounded, scale = round_weight(out * value.scale[:, None], (contexts - value.shift) / value.scale, activations.importance)
    g.linear(name + ".context", name + ".out", rounded, scale, out_bias + value.shift @ out + size.shift)
    at += "output.LayerNorm"
    return g.node("Add", [name + ".out", residual], name), w[at + ".weight"], w[at + ".bias"]


def feed_forward(g, w, activations, layer, total, gain, bias):
    at, name = f"encoder.layer.{layer}.", f"layer{layer}.feed_forward"
    up, up_bias = w[at + "intermediate.dense.weight"].T, w[at + "intermediate.dense.bias"]
    down, down_bias = w[at + "output.dense.weight"].T.copy(), w[at + "output.dense.bias"]
    inputs, hidden = activations.inputs[layer, "ff1"], activations.inputs[layer, "ff2"].copy()

    size = Range(inputs, up, STRENGTH["ff1"])
    up_bias = up_bias + size.shift @ up
    up = up * size.scale[:, None]
    x, residual = normalised(g, total, name + ".in", gain, bias, size)

    # A neuron or two of the early layers answer to [CLS] alone, many times louder than all others. They are computed
    # apart in 32 bits: rounded with the rest, they would leave the rest few steps.
    loud = np.flatnonzero(hidden.max(0) > OUTLIER)
    if len(loud):
        g.node("MatMul", [x, g.constant(name + ".loud.up", up[:, loud])], name + ".loud.product")
        g.node("Add", [name + ".loud.product", g.constant(name + ".loud.bias", up_bias[loud])], name + ".loud.sum")
        g.node("Gelu", [name + ".loud.sum"], name + ".loud.hidden", domain=CONTRIB)
        g.node("MatMul", [name + ".loud.hidden", g.constant(name + ".loud.down", down[loud])], name + ".loud")
        residual = g.node("Add", [residual, name + ".loud"], name + ".loud.residual")
        up[:, loud], up_bias[loud], down[loud], hidden[:, loud] = 0, 0, 0, 0

    rounded, scale = round_weight(up, (inputs - size.shift) / size.scale, activations.importance)
    g.linear(x, name + ".up", rounded, scale, up_bias)
    g.node("Gelu", [name + ".up"], name + ".hidden", domain=CONTRIB)
    rounded, scale = round_weight(down, hidden, activations.importance)
    g.linear(name + ".hidden", name + ".down", rounded, scale, down_bias + size.shift)
    at += "output.LayerNorm"
    return g.node("Add", [name + ".down", residual], name), w[at + ".weight"], w[at + ".bias"]
