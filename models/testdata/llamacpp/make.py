"""Writes tiny GGUF files of every architecture and what llama.cpp computes from them; see README.md."""

import json

import gguf
import numpy as np
from llama_cpp import Llama

INNER, HEADS, KV, DIM, VOCAB = 64, 4, 2, 16, 56
PROMPTS = [5, 40]


class File:
    def __init__(self, name, arch, context=512, layers=2, theta=10000.0, hidden=32):
        self.hidden, self.layers, self.rng = hidden, layers, np.random.default_rng(list(name.encode()))
        self.w = w = gguf.GGUFWriter(name + ".gguf", arch)
        w.add_name(name)
        w.add_context_length(context)
        w.add_embedding_length(hidden)
        w.add_block_count(layers)
        w.add_feed_forward_length(INNER)
        w.add_head_count(HEADS)
        w.add_head_count_kv(KV)
        w.add_key_length(DIM)
        w.add_value_length(DIM)
        w.add_rope_freq_base(theta)
        w.add_vocab_size(VOCAB)
        w.add_tokenizer_model("none")

    def matrix(self, name, *shape, sigma=None):
        sigma = sigma or 1.5 / np.sqrt(shape[-1])
        self.w.add_tensor(name + ".weight", (self.rng.standard_normal(shape) * sigma).astype(np.float32))

    def gain(self, name, n=None):
        n = n or self.hidden
        self.w.add_tensor(name + ".weight", (self.rng.standard_normal(n) * 0.2 + 1).astype(np.float32))

    def bias(self, name, n):
        self.w.add_tensor(name + ".bias", self.rng.standard_normal(n).astype(np.float32))

    def body(self, *, fused=False, bias=False, head_norms=False, ffn_norm=True, post=False, experts=0, head=True):
        q, kv = HEADS * DIM, KV * DIM
        self.matrix("token_embd", VOCAB, self.hidden, sigma=1.0)
        for i in range(self.layers):
            p = f"blk.{i}."
            self.gain(p + "attn_norm")
            if fused:
                self.matrix(p + "attn_qkv", q + 2 * kv, self.hidden)
            else:
                for n, rows in (("attn_q", q), ("attn_k", kv), ("attn_v", kv)):
                    self.matrix(p + n, rows, self.hidden)
                    if bias:
                        self.bias(p + n, rows)
            if head_norms:
                self.gain(p + "attn_q_norm", DIM)
                self.gain(p + "attn_k_norm", DIM)
            self.matrix(p + "attn_output", self.hidden, q)
            if ffn_norm:
                self.gain(p + "ffn_norm")
            if post:
                self.gain(p + "post_attention_norm")
                self.gain(p + "post_ffw_norm")
            if experts:
                self.matrix(p + "ffn_gate_inp", experts, self.hidden)
                self.matrix(p + "ffn_gate_exps", experts, INNER, self.hidden)
                self.matrix(p + "ffn_up_exps", experts, INNER, self.hidden)
                self.matrix(p + "ffn_down_exps", experts, self.hidden, INNER)
            else:
                if fused:
                    self.matrix(p + "ffn_up", 2 * INNER, self.hidden)
                else:
                    self.matrix(p + "ffn_gate", INNER, self.hidden)
                    self.matrix(p + "ffn_up", INNER, self.hidden)
                self.matrix(p + "ffn_down", self.hidden, INNER)
        self.gain("output_norm")
        if head:
            self.matrix("output", VOCAB, self.hidden)

    def close(self):
        self.w.write_header_to_file()
        self.w.write_kv_data_to_file()
        self.w.write_tensors_to_file()
        self.w.close()


def logits(name, lengths, context):
    model = Llama(name + ".gguf", n_ctx=context, n_batch=512, n_ubatch=512, type_k=0, type_v=0, flash_attn=False,
                  logits_all=True, verbose=False, n_threads=1, swa_full=True)
    rng, out = np.random.default_rng(7), []
    for n in lengths:
        ids = rng.integers(0, VOCAB, n).tolist()
        model.reset()
        model.eval(ids)
        out.append({"ids": ids, "logits": [float(f"{v:.7g}") for v in model.scores[n - 1]]})
    return out


def write(name, arch, body, *, lengths=PROMPTS, context=512, rms=1e-6, extra=None, **facts):
    f = File(name, arch, context=facts.pop("trained", 512), **facts)
    if rms:
        f.w.add_layer_norm_rms_eps(rms)
    if extra:
        extra(f)
    f.body(**body)
    f.close()
    with open(name + ".json", "w") as out:
        json.dump({"prompts": logits(name, lengths, context)}, out)
        out.write("\n")


def mixtral(f):
    f.w.add_expert_count(4)
    f.w.add_expert_used_count(2)


def gemma2(f):
    f.w.add_attn_logit_softcapping(20.0)
    f.w.add_final_logit_softcapping(10.0)
    f.w.add_sliding_window(12)


def gemma3(f):
    f.w.add_sliding_window(12)
    f.w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    f.w.add_rope_scaling_factor(8.0)


def phi3(f):
    f.w.add_rope_dimension_count(DIM)
    f.w.add_rope_scaling_orig_ctx_len(256)
    f.w.add_rope_scaling_attn_factors(1.1902380714238083)
    f.w.add_sliding_window(400)  # llama.cpp ignores it
    f.w.add_tensor("rope_factors_short.weight", np.linspace(1.0, 1.7, DIM // 2).astype(np.float32))
    f.w.add_tensor("rope_factors_long.weight", np.linspace(1.2, 9.0, DIM // 2).astype(np.float32))


def llama3(f):
    f.w.add_tensor("rope_freqs.weight", np.linspace(1.0, 8.0, DIM // 2).astype(np.float32))


def command_r(f):
    f.w.add_layer_norm_eps(1e-5)
    f.w.add_logit_scale(0.0625)
    f.w.add_rope_scaling_type(gguf.RopeScalingType.NONE)


write("llama", "llama", {}, rms=1e-5)
write("llama-divisors", "llama", {"head": False}, extra=llama3, theta=500000.0)
write("mixtral", "llama", {"experts": 4}, extra=mixtral, rms=1e-5)
write("gemma", "gemma", {"head": False})
write("gemma2", "gemma2", {"head": False, "post": True}, extra=gemma2)
write("gemma3", "gemma3", {"head": False, "post": True, "head_norms": True}, extra=gemma3, theta=1e6, layers=6)
write("phi3-short", "phi3", {"fused": True}, extra=phi3, trained=1024, hidden=64, context=256, rms=1e-5)
write("phi3-long", "phi3", {"fused": True}, extra=phi3, trained=1024, hidden=64, context=512, lengths=[300], rms=1e-5)
write("qwen2", "qwen2", {"bias": True}, hidden=64)
write("qwen3", "qwen3", {"head_norms": True, "head": False})
write("command-r", "command-r", {"ffn_norm": False, "head": False}, extra=command_r, rms=None, theta=8e6, hidden=64)
