#!/usr/bin/env python3
"""A whole generation at full size with random weights: four guided Euler steps at 512 pixels, from the same noise.

    python generation.py --mudi ../../target/release/mudi sd15 sd21 sdxl

SDXL takes 14 GB of disk and of memory.
"""

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path

import torch
from common import UNETS, psnr, rng, run, save_network, save_rest, tensors, text_encoders, unet, vae
from PIL import Image

PROMPT = "a photo of olis brown teddy bear and hta blue robot, simple background"
NEGATIVE = "sticker, collage."
STEPS, GUIDANCE, SIDE = 4, 5.0, 512
BOUND = 45.0


def build(family, folder):
    """Writes a whole base, one network at a time."""
    save_network(unet(family), folder / "unet")
    gc.collect()
    save_network(vae(family), folder / "vae")
    for index, encoder in enumerate(text_encoders(family)):
        save_network(encoder, folder / ("text_encoder", "text_encoder_2")[index])
    save_rest(family, folder)


def reference(family, folder, noise):
    """Diffusers' picture, as bytes."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    further = {"add_watermarker": False} if family == "sdxl" else {"safety_checker": None}
    kind = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    pipe = kind.from_pretrained(str(folder), **further)
    pipe.set_progress_bar_config(disable=True)
    sizes = {"original_size": (SIDE, SIDE), "target_size": (SIDE, SIDE)} if family == "sdxl" else {}
    made = pipe(
        PROMPT,
        negative_prompt=NEGATIVE,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        height=SIDE,
        width=SIDE,
        latents=noise,
        output_type="np",
        **sizes,
    ).images[0]
    return torch.from_numpy(made * 255).round()


def compare(program, family, folder):
    """Prints the seconds, the peak of memory and how near the pictures are."""
    base = folder / "base"
    build(family, base)
    noise = torch.randn(1, 4, SIDE // 8, SIDE // 8, generator=rng(41))
    begin = time.perf_counter()
    expected = reference(family, base, noise)
    seconds = time.perf_counter() - begin
    gc.collect()
    tensors(folder / "noise.safetensors", {"noise": noise})
    common = ("--prompt", PROMPT, "--negative", NEGATIVE, "--steps", STEPS, "--guidance", GUIDANCE, "--size", SIDE)
    given = ("--base", base, "--count", 1, "--noise", folder / "noise.safetensors", "--quiet", "--json")
    for name, further in (("f32", ()), ("half", ("--precision", "half"))):
        out = folder / name
        printed, own = run(program, "generate", *given, *common, *further, "--out", out)
        image = Image.open(out / "0000.png").convert("RGB")
        found = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(SIDE, SIDE, 3)
        near = psnr(found, expected)
        peak = json.loads(printed)["peak_memory_bytes"] / 2**30
        print(f"| {family}, {name} | {near:.1f} dB | {seconds:.0f} s | {own:.0f} s | {peak:.1f} GiB |", flush=True)
        assert name != "f32" or near >= BOUND, family


def main():
    """All families that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="+", choices=UNETS)
    parser.add_argument("--mudi", type=Path, required=True, help="the program")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| base | the two pictures | reference, with loading | mudi, with loading | its peak |\n|---|---|---|---|---|")
    for family in arguments.families:
        with tempfile.TemporaryDirectory() as folder:
            compare(arguments.mudi.resolve(), family, Path(folder))


if __name__ == "__main__":
    main()
