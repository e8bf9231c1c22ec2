"""The same work with PyTorch, diffusers and peft; prints one JSON object of medians. Called by `mudi bench`."""

import json
import os
import resource
import statistics
import sys
import time

# A waiting thread that spins takes the processor from the one that works.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig


def median_of(runs, work):
    times = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def inputs(unet, batch, tokens):
    config = unet.config
    added = None
    if config.addition_embed_type == "text_time":
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added = {"text_embeds": torch.randn(batch, width), "time_ids": torch.full((batch, 6), 96.0)}
    size = config.sample_size
    return {
        "sample": torch.randn(batch, config.in_channels, size, size),
        "timestep": torch.full((batch,), 500),
        "encoder_hidden_states": torch.randn(batch, tokens, config.cross_attention_dim),
        "added_cond_kwargs": added,
    }


def main():
    base, runs, tokens, threads = sys.argv[1], *map(int, sys.argv[2:5])
    batches = [int(batch) for batch in sys.argv[5].split(",")]
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet", torch_dtype=torch.float32)
    unet.requires_grad_(False)
    rows = {}
    guided = inputs(unet, 2, tokens)
    with torch.no_grad():
        rows["sampling step with guidance"] = median_of(runs, lambda: unet(**guided).sample)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    unet.add_adapter(LoraConfig(r=32, lora_alpha=32, init_lora_weights="gaussian", target_modules=targets))
    learned = [weight for weight in unet.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-4)
    for batch in batches:
        given = inputs(unet, batch, tokens)
        target = torch.randn_like(given["sample"])

        def step():
            loss = torch.nn.functional.mse_loss(unet(**given).sample, target)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()

        rows[f"LoRA training step, batch {batch}"] = median_of(runs, step)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": rows, "peak_memory": peak, "torch": torch.__version__}))


main()
