#!/usr/bin/env python3
"""Full-size networks with random weights: `mudi forward` against diffusers and transformers, in f32.

    python networks.py --mudi ../../target/release/mudi sd15 sd21 sdxl

One network at a time is in memory and on disk (SDXL's denoiser takes 10 GB of each). Nothing is downloaded.
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path

import torch
from common import UNETS, error, rng, run, save_network, tensors, text_encoders, unet, vae
from safetensors.torch import load_file

BOUND = 1e-4


def compare(program, folder, name, kind, expected, reference):
    """Prints the largest error of each output; asserts the bound."""
    out = folder / "out.safetensors"
    arguments = ("--base", folder / "base", "--network", kind, "--inputs", folder / "in.safetensors", "--out", out)
    _, seconds = run(program, "forward", *arguments)
    found = load_file(str(out))
    for key, value in expected.items():
        worst = error(found[key], value)
        print(f"| {name} | {key} | {worst:.1e} | {reference:.1f} s | {seconds:.1f} s |", flush=True)
        assert worst <= BOUND, (name, key)


def denoiser(program, family, folder):
    """64 x 64 latents."""
    model = unet(family)
    config = UNETS[family]
    inputs = {
        "sample": torch.randn(1, 4, 64, 64, generator=rng(5)),
        "timestep": torch.tensor([741.0]),
        "encoder_hidden_states": torch.randn(1, 77, config["cross_attention_dim"], generator=rng(6)),
    }
    added = None
    if family == "sdxl":
        inputs["text_embeds"] = torch.randn(1, 1280, generator=rng(7))
        inputs["time_ids"] = torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]])
        added = {"text_embeds": inputs["text_embeds"], "time_ids": inputs["time_ids"]}
    save_network(model, folder / "base/unet")
    start = time.perf_counter()
    with torch.no_grad():
        out = model(inputs["sample"], inputs["timestep"], inputs["encoder_hidden_states"], added_cond_kwargs=added)
    seconds = time.perf_counter() - start
    del model
    gc.collect()
    tensors(folder / "in.safetensors", inputs)
    compare(program, folder, f"{family} UNet", "unet", {"sample": out.sample}, seconds)


def encoders(program, family, folder):
    """Two texts, one of them short."""
    ids = torch.full((2, 77), 49407)
    ids[:, 0] = 49406
    ids[0, 1:60] = torch.randint(300, 49000, (59,), generator=rng(8))
    ids[1, 1:4] = torch.tensor([320, 1125, 539])
    for index, model in enumerate(text_encoders(family)):
        kind = "text_encoder" if index == 0 else "text_encoder_2"
        save_network(model, folder / "base" / kind)
        start = time.perf_counter()
        with torch.no_grad():
            out = model(ids, output_hidden_states=True)
        seconds = time.perf_counter() - start
        expected = {"hidden_states": out.hidden_states[-2], "last_hidden_state": out.last_hidden_state}
        if index == 1:
            expected["text_embeds"] = out.text_embeds
        tensors(folder / "in.safetensors", {"input_ids": ids})
        compare(program, folder, f"{family} {kind}", kind, expected, seconds)


def autoencoder(program, family, folder):
    """A picture of 512 pixels, and latents of its size."""
    model = vae(family)
    save_network(model, folder / "base/vae")
    picture = torch.rand(1, 3, 512, 512, generator=rng(9)) * 2 - 1
    latents = torch.randn(1, 4, 64, 64, generator=rng(10))
    with torch.no_grad():
        start = time.perf_counter()
        moments = model.encode(picture).latent_dist
        middle = time.perf_counter()
        decoded = model.decode(latents).sample
        end = time.perf_counter()
    del model
    tensors(folder / "in.safetensors", {"sample": picture})
    expected = {"sample": moments.mean, "logvar": moments.logvar}
    compare(program, folder, f"{family} VAE encoder", "vae_encoder", expected, middle - start)
    tensors(folder / "in.safetensors", {"sample": latents})
    compare(program, folder, f"{family} VAE decoder", "vae_decoder", {"sample": decoded}, end - middle)


PARTS = {"unet": denoiser, "text": encoders, "vae": autoencoder}


def main():
    """All families that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="+", choices=UNETS)
    parser.add_argument("--mudi", type=Path, required=True, help="the program")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| network | output | largest error, of the range | reference | mudi, with loading |\n|---|---|---|---|---|")
    for family in arguments.families:
        for part in arguments.parts:
            with tempfile.TemporaryDirectory() as folder:
                PARTS[part](arguments.mudi.resolve(), family, Path(folder))
            gc.collect()


if __name__ == "__main__":
    main()
