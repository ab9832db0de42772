"""Makes the small tokenizers of this folder and what the reference says about them.

Needs tokenizers==0.22.2 from PyPI:  python make.py [SMOLLM2/tokenizer.json]
The vocabularies are trained on the text below, so nothing here comes from a published model. With the path of
SmolLM2's tokenizer it also writes the reference's answers for that one.
"""
import json
import sys
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = """
The water goes down once, and its drops come up once. An aquifer is a layer of rock that holds water.
You'll find that we've measured it; they're sure that it isn't deep, and I'd say 120 metres, or 1999 feet.
def fill(well, level):
    for step in range(level):
        well.append(step * 2)   # two at a time
    return well
Naïve café, Straße, smörgåsbord, žlutý kůň. Вода течёт вниз. 水は下に流れる。 水往低处流。
the the the and and of of to to in in water water rock rock layer layer holds holds
"""

QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ODD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

CASES = [
    "", " ", "  ", "\n", "\n\n ", "\t", "water", " water", "  water", "water ", "The water goes down once.",
    "You'LL find we've", "it'ſ", "120 metres, 1999 feet", "x1y22z333", "def fill(well):\n    return well\n",
    "naïve café", "nai\u0308ve cafe\u0301", "Вода течёт", "水は下に", "👩\u200d💻 and 😀", "\u00a0\u2003x", "a\r\nb\r\n\r\nc",
    "<s>", "</s>", "<s>water</s>", "<|im_start|>user\nwater<|im_end|>\n", "<|im_start|><|im_end|>", "<tool>x</tool>",
    "water <mask> water", "water  <pad>  water", "xKEYx KEY x KEYS", "KEY", " <mask>", "<unk>", "<0x41>", "▁", "▁water▁ ▁", "a▁ ▁b",
    "\x00\x01\x7f", "ſtraße STRASSE", "İstanbul", "e" + "\u0301\u0323" * 20, "\u1100\u1161\u11a8", "ﬁ ½ Å", "water" * 60, " " * 50, "the " * 40,
    "Ωmega ᾳ ῼ", "a\u0300\u0301b", "Ünïcödé", "0١٢٣४५", "--- === ///\n/", "'s't're", "don't", "...\n\n\nwater",
]


def save(name, tok):
    tok.save(name + ".json", pretty=False)
    answers(name, tok)


def answers(name, tok):
    refs = []
    for c in CASES:
        ids = tok.encode(c).ids
        bare = tok.encode(c, add_special_tokens=False).ids
        tok.encode_special_tokens = True
        user = tok.encode(c, add_special_tokens=False).ids
        tok.encode_special_tokens = False
        refs.append({
            "text": c, "ids": ids, "bare": bare, "user": user,
            "dec": tok.decode(ids, skip_special_tokens=True), "dec0": tok.decode(bare, skip_special_tokens=False),
        })
    with open(name + ".ref.json", "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=True) for r in refs) + "\n]\n")


def train(tok, size, specials, alphabet=()):
    tr = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=list(alphabet), show_progress=False)
    tok.train_from_iterator([TEXT], tr)


def bytelevel():
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    train(tok, 420, [], pre_tokenizers.ByteLevel.alphabet())
    tok.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tok.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("</tool>", normalized=False)])
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    tok.decoder = decoders.ByteLevel()
    save("bytelevel", tok)


def spm():
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    tok.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # for training only
    train(tok, 520, specials)
    d = json.loads(tok.to_str())
    d["pre_tokenizer"] = None
    d["added_tokens"] = [dict(a, special=True, normalized=False) for a in d["added_tokens"] if a["id"] < 3]
    tok = Tokenizer.from_str(json.dumps(d))
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tok.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    save("spm", tok)


def flags():
    """Every flag of added tokens, a template with both ends, an unknown regular expression, add_prefix_space."""
    tok = Tokenizer(models.BPE(unk_token="<unk>"))
    tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(ODD), "isolated"), pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex(r"\p{P}"), "merged_with_previous"),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)])
    train(tok, 360, ["<unk>", "<s>", "</s>"], pre_tokenizers.ByteLevel.alphabet())
    tok.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<pad>", rstrip=True, lstrip=True)])
    tok.add_tokens([AddedToken("KEY", single_word=True, normalized=False), AddedToken("Water ", normalized=True)])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    tok.decoder = decoders.ByteLevel()
    save("flags", tok)


def metaspace():
    """SentencePiece without byte pieces: unknown characters are fused; the Metaspace decoder."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    train(tok, 300, ["<unk>", "<s>", "</s>"])
    tok.decoder = decoders.Metaspace(prepend_scheme="first")
    save("metaspace", tok)


bytelevel()
spm()
flags()
metaspace()
if len(sys.argv) > 1:
    answers("smollm2", Tokenizer.from_file(sys.argv[1]))
