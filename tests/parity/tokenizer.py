#!/usr/bin/env python3
"""The tokenizer against transformers' CLIPTokenizer on 10,000 strings: Unicode, emoji, long ones.

    python tokenizer.py --tokenize ../../target/release/examples/tokenize
"""

import argparse
import json
import random
import subprocess
import tempfile
import unicodedata
from pathlib import Path

from common import tokenizer

WORDS = "a photo of olis brown teddy bear, and hta's blue robot! in the snow; 4k (highly-detailed:1.2) can't we've".split()
PIECES = ["👩‍👩‍👧", "🏳️‍🌈", "é", "e\u0301", "ﬁ", "ẞ", "İ", "ı", "中文", "日本語", "العربية", "हिन्दी", "\u200b", "\u00a0", "\t", "\n", "…", "—", "½"]


def strings(count):
    """Prose, scripts of all the world, single code points of every category, long ones."""
    draw = random.Random(4)
    points = [chr(c) for c in range(0x20, 0x2FA20) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")]
    for index in range(count):
        kind = index % 5
        if kind == 0:
            yield " ".join(draw.choices(WORDS, k=draw.randint(0, 30)))
        elif kind == 1:
            yield "".join(draw.choices(WORDS + PIECES + [" "], k=draw.randint(1, 25)))
        elif kind == 2:
            yield "".join(draw.choices(points, k=draw.randint(1, 12)))
        elif kind == 3:
            yield " ".join(draw.choices(WORDS + PIECES, k=draw.randint(60, 200)))
        else:
            yield "".join(chr(draw.randint(32, 255)) for _ in range(draw.randint(1, 40)))


def main():
    """Both tokenizers of SDXL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenize", type=Path, required=True, help="the built example `tokenize`")
    parser.add_argument("--count", type=int, default=10_000)
    arguments = parser.parse_args()
    texts = list(strings(arguments.count))
    for pad in (None, "!"):
        with tempfile.TemporaryDirectory() as folder:
            reference = tokenizer(Path(folder), pad)
            lines = "".join(json.dumps(text) + "\n" for text in texts)
            done = subprocess.run(
                [arguments.tokenize, folder], input=lines, capture_output=True, check=True, encoding="utf-8"
            )
        found = [json.loads(line) for line in done.stdout.splitlines()]
        wrong = 0
        for text, ids in zip(texts, found, strict=True):
            expected = reference(text, padding="max_length", max_length=77, truncation=True).input_ids
            if ids != expected:
                wrong += 1
                if wrong <= 5:
                    at = next(i for i, (a, b) in enumerate(zip(ids, expected)) if a != b)
                    print(f"{text!r}: {ids[at:at + 4]} is not {expected[at:at + 4]}")
        print(f"padded with {pad or 'the end token'}: {len(texts)} strings, {wrong} differ")
        assert wrong == 0


if __name__ == "__main__":
    main()
