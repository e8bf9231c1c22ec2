#!/usr/bin/env python3
"""LoRA training steps on one batch: `mudi forward --network lora_step` against PyTorch and peft, in f32.

    python training.py --mudi ../../target/release/mudi sd15 sdxl

At full size with random weights, rank 4. The loss, all gradients of the first step, and the factors after ten steps of AdamW; with
`--dora` those of DoRA, magnitudes included.
"""

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path

import torch
from common import UNETS, rng, run, save_network, tensors, unet
from peft import LoraConfig
from safetensors.torch import load_file

RANK, RATE = 4, 1e-4
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def batch(family, side):
    """One noisy latent and its target."""
    values = {
        "sample": torch.randn(1, 4, side, side, generator=rng(21)),
        "timestep": torch.tensor([421.0]),
        "encoder_hidden_states": torch.randn(1, 77, UNETS[family]["cross_attention_dim"], generator=rng(22)),
        "target": torch.randn(1, 4, side, side, generator=rng(23)),
    }
    if family == "sdxl":
        values["text_embeds"] = torch.randn(1, 1280, generator=rng(24))
        values["time_ids"] = torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]])
    return values


def reference(model, values, steps):
    """Losses, gradients of the first step, factors after the last one."""
    factors = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(factors.values(), lr=RATE)
    added = {k: values[k] for k in ("text_embeds", "time_ids") if k in values} or None
    losses, gradients = [], {}
    for step in range(steps):
        out = model(values["sample"], values["timestep"], values["encoder_hidden_states"], added_cond_kwargs=added)
        loss = torch.nn.functional.mse_loss(out.sample, values["target"])
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            gradients = {public(n): p.grad.clone() for n, p in factors.items()}
        optimizer.step()
    return losses, gradients, {public(n): p.detach() for n, p in factors.items()}


def public(name):
    """The name that files have."""
    name = "unet." + name.replace(".default.", ".")
    return name.removesuffix(".weight") if "magnitude" in name else name


def apart(found, expected):
    """The largest norm of a difference, as a share of the norm; of all tensors."""
    worst = max(((found[n] - e).norm() / e.norm()).item() for n, e in expected.items())
    return worst


def compare(program, family, folder, side, steps, dora):
    """Prints and asserts."""
    torch.manual_seed(0)
    model = unet(family)
    save_network(model, folder / "base/unet")
    model.requires_grad_(False)
    model.enable_gradient_checkpointing()
    model.train()
    config = LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=TARGETS, use_dora=dora)
    model.add_adapter(config)
    with torch.no_grad():
        for index, (name, parameter) in enumerate(sorted((n, p) for n, p in model.named_parameters() if p.requires_grad)):
            noise = torch.randn(parameter.shape, generator=rng(100 + index))
            if "magnitude" in name:
                parameter.mul_(1 + 0.1 * noise)
            else:
                parameter.copy_(0.3 * noise / parameter.shape[1] ** 0.5)
    values = batch(family, side)
    start = {public(n): p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    tensors(folder / "in.safetensors", {**values, **start})
    begin = time.perf_counter()
    losses, gradients, factors = reference(model, values, steps)
    seconds = time.perf_counter() - begin
    del model
    gc.collect()
    out = folder / "out.safetensors"
    arguments = ("--base", folder / "base", "--network", "lora_step", "--inputs", folder / "in.safetensors", "--out", out)
    printed, own = run(program, "forward", *arguments, "--steps", steps, "--learning-rate", RATE, "--json")
    found = load_file(str(out))
    loss = max(abs(a - b) / b for a, b in zip(found["loss"].tolist(), losses))
    gradient = apart({n: found["grad." + n] for n in gradients}, gradients)
    moved = apart({n: found[n] - start[n] for n in factors}, {n: factors[n] - start[n] for n in factors})
    after = apart(found, factors)
    peak = json.loads(printed)["peak_memory_bytes"] / 2**30
    kind = ", DoRA" if dora else ""
    print(f"| {family}{kind}, {side} x {side} latents, {steps} steps | {loss:.1e} | {gradient:.1e} | {after:.1e} | {moved:.1e} "
          f"| {seconds:.0f} s | {own:.0f} s, {peak:.1f} GiB |", flush=True)
    assert loss <= 1e-4 and gradient <= 1e-3 and after <= 1e-3
    if family == "sdxl":
        printed, own = run(program, "forward", *arguments, "--half", "--json")
        peak = json.loads(printed)["peak_memory_bytes"] / 2**30
        print(f"{family}, one step with weights in two bytes: {own:.0f} s with loading, peak {peak:.1f} GiB", flush=True)


def main():
    """All families that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="+", choices=UNETS)
    parser.add_argument("--mudi", type=Path, required=True, help="the program")
    parser.add_argument("--side", type=int, default=32, help="of the latents")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--dora", action="store_true", help="DoRA instead of LoRA")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| what | losses | gradients | factors | their change | reference | mudi, with loading |\n" + "|---" * 7 + "|")
    for family in arguments.families:
        with tempfile.TemporaryDirectory() as folder:
            compare(arguments.mudi.resolve(), family, Path(folder), arguments.side, arguments.steps, arguments.dora)


if __name__ == "__main__":
    main()
