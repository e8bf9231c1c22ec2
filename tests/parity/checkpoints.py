#!/usr/bin/env python3
"""Checkpoints in one file, of full size with random weights in half precision: read as the folder with the same weights.

    python checkpoints.py --mudi ../../target/release/mudi sd15 sd21 sdxl

The names are those of `ldm.py`; for the denoiser and the autoencoder diffusers' own conversion must give the folder's weights back.
SDXL takes 14 GB of disk and 8 GB of memory.
"""

import argparse
import gc
import tempfile
from pathlib import Path

import ldm
import torch
from common import UNETS, rng, run, save_network, save_rest, tensors, text_encoders, unet, vae
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file


def same(found, expected):
    """Whether two sets of tensors are equal to the bit, but for the axes of 1x1 convolutions."""
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name].reshape(tensor.shape), tensor), name


def build(family, folder):
    """Writes the folder and the file; diffusers' conversion goes back from the one to the other."""
    out = {}
    model = unet(family).half()
    save_network(model, folder / "base/unet")
    out.update(ldm.unet(model))
    same(convert_ldm_unet_checkpoint(dict(out), dict(model.config)), model.state_dict())
    autoencoder = vae(family).half()
    save_network(autoencoder, folder / "base/vae")
    own = ldm.vae(autoencoder)
    same(convert_ldm_vae_checkpoint(dict(own), dict(autoencoder.config)), autoencoder.state_dict())
    out.update(own)
    encoders = [encoder.half() for encoder in text_encoders(family)]
    for index, encoder in enumerate(encoders):
        save_network(encoder, folder / "base" / ("text_encoder", "text_encoder_2")[index])
    if family == "sd15":
        out.update(ldm.clip(encoders[0], "cond_stage_model.transformer."))
    elif family == "sd21":
        out.update(ldm.open_clip(encoders[0], "cond_stage_model.model.", further=1))
    else:
        out.update(ldm.clip(encoders[0], "conditioner.embedders.0.transformer."))
        out.update(ldm.open_clip(encoders[1], "conditioner.embedders.1.model."))
    save_rest(family, folder / "base")
    save_file({name: tensor.contiguous() for name, tensor in out.items()}, str(folder / "base.safetensors"))
    return len(encoders)


def compare(program, family, folder):
    """Every network, from the folder and from the file."""
    encoders = build(family, folder)
    gc.collect()
    width = UNETS[family]["cross_attention_dim"]
    inputs = {
        "sample": torch.randn(1, 4, 16, 16, generator=rng(31)),
        "timestep": torch.tensor([741.0]),
        "encoder_hidden_states": torch.randn(1, 77, width, generator=rng(32)),
    }
    if family == "sdxl":
        inputs["text_embeds"] = torch.randn(1, 1280, generator=rng(33))
        inputs["time_ids"] = torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]])
    ids = torch.randint(300, 49000, (1, 77), generator=rng(34))
    picture = torch.rand(1, 3, 64, 64, generator=rng(35)) * 2 - 1
    cases = {"unet": inputs, "vae_decoder": {"sample": inputs["sample"]}, "vae_encoder": {"sample": picture}}
    for kind in ("text_encoder", "text_encoder_2")[:encoders]:
        cases[kind] = {"input_ids": ids}
    for kind, values in cases.items():
        tensors(folder / "in.safetensors", values)
        found = []
        for base in ("base", "base.safetensors"):
            out = folder / "out.safetensors"
            given = ("--inputs", folder / "in.safetensors", "--out", out)
            run(program, "forward", "--base", folder / base, "--network", kind, *given)
            found.append(load_file(str(out)))
        same(*found)
        print(f"{family} {kind}: the same bits from the folder and from the file", flush=True)


def main():
    """All families that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="+", choices=UNETS)
    parser.add_argument("--mudi", type=Path, required=True, help="the program")
    arguments = parser.parse_args()
    for family in arguments.families:
        with tempfile.TemporaryDirectory() as folder:
            compare(arguments.mudi.resolve(), family, Path(folder))


if __name__ == "__main__":
    main()
