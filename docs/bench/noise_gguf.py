"""Writes GGUF files of a published shape with random weights, straight in ggml's block types.

Any bytes are a valid block as long as its scales are finite numbers, so that no quantizer is needed: speed depends on
shapes and types. As llama-quantize does, the head is Q6_K; all other matrices have the type asked for, where a published
file of some types mixes in larger ones. The files take 1.8 to 3.9 GB for Llama-2-7B.
"""

import os
import struct
from pathlib import Path

UINT32, FLOAT32, STRING = 4, 6, 8  # value types of GGUF

# Type number, values and bytes of a block, and its scales: (offset, value) of F16 numbers. The values make weights that
# deviate by about 1/64, so that activations stay small.
TYPES = {
    "f32": (0, 1, 4, []),
    "q4_0": (2, 32, 18, [(0, 0.0034)]),
    "q2_K": (10, 256, 84, [(80, 0.0013), (82, 0.00195)]),
    "q6_K": (14, 256, 210, [(208, 0.00002)]),
    "iq2_xxs": (16, 256, 66, [(0, 0.00027)]),
}

SHAPES = {
    "llama-2-7b": {"layers": 32, "hidden": 4096, "inner": 11008, "heads": 32, "kv": 32, "vocab": 32000, "context": 4096},
}


def blocks(kind: str) -> bytes:
    """Returns some megabytes of blocks, a whole number of them."""
    _, _, size, scales = TYPES[kind]
    n = (4 << 20) // size
    if kind == "f32":
        return struct.pack("<f", 1) * n  # gains of norms
    data = bytearray(os.urandom(n * size))
    for offset, value in scales:
        low, high = struct.pack("<e", value)
        data[offset::size] = bytes([low]) * n
        data[offset + 1 :: size] = bytes([high]) * n
    return bytes(data)


def tensors(shape: dict, kind: str):
    """Yields name, columns, rows (0 for a vector) and type of every tensor."""
    hidden, inner = shape["hidden"], shape["inner"]
    kv = hidden // shape["heads"] * shape["kv"]
    yield "token_embd.weight", hidden, shape["vocab"], kind
    for i in range(shape["layers"]):
        for name, cols, rows in (
            ("attn_q", hidden, hidden), ("attn_k", hidden, kv), ("attn_v", hidden, kv), ("attn_output", hidden, hidden),
            ("ffn_gate", hidden, inner), ("ffn_up", hidden, inner), ("ffn_down", inner, hidden),
        ):  # fmt: skip
            yield f"blk.{i}.{name}.weight", cols, rows, kind
        yield f"blk.{i}.attn_norm.weight", hidden, 0, "f32"
        yield f"blk.{i}.ffn_norm.weight", hidden, 0, "f32"
    yield "output_norm.weight", hidden, 0, "f32"
    yield "output.weight", hidden, shape["vocab"], "q6_K"


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def metadata(name: str, shape: dict) -> list:
    def number(key, value):
        return string(key) + struct.pack("<iI", UINT32, value)

    def words(key, value):
        return string(key) + struct.pack("<i", STRING) + string(value)

    return [
        words("general.architecture", "llama"),
        words("general.name", name),
        number("llama.block_count", shape["layers"]),
        number("llama.context_length", shape["context"]),
        number("llama.embedding_length", shape["hidden"]),
        number("llama.feed_forward_length", shape["inner"]),
        number("llama.attention.head_count", shape["heads"]),
        number("llama.attention.head_count_kv", shape["kv"]),
        number("llama.rope.dimension_count", shape["hidden"] // shape["heads"]),
        number("llama.vocab_size", shape["vocab"]),
        string("llama.attention.layer_norm_rms_epsilon") + struct.pack("<if", FLOAT32, 1e-5),
        words("tokenizer.ggml.model", "no_vocab"),
    ]


def write(folder: Path, shape_name: str, kind: str) -> Path:
    """Writes the file unless it is there, and returns its path."""
    path = folder / f"{shape_name}-{kind}.gguf"
    if path.exists():
        return path
    align = 32
    shape = SHAPES[shape_name]
    infos, sizes, offset = [], [], 0
    for name, cols, rows, t in tensors(shape, kind):
        number, values, size, _ = TYPES[t]
        sides = [cols, rows] if rows else [cols]
        infos.append(string(name) + struct.pack(f"<I{len(sides)}QiQ", len(sides), *sides, number, offset))
        sizes.append((t, cols * max(rows, 1) // values * size))
        offset += -(-sizes[-1][1] // align) * align
    keys = metadata(path.stem, shape)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(keys)) + b"".join(keys) + b"".join(infos)
    noise = {t: blocks(t) for t, _ in sizes}
    part = path.with_suffix(".part")
    with open(part, "wb") as out:
        out.write(header + bytes(-len(header) % align))
        for t, size in sizes:
            for at in range(0, size, len(noise[t])):
                out.write(noise[t][: size - at])
            out.write(bytes(-size % align))
    part.rename(path)
    return path
