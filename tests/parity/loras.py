#!/usr/bin/env python3
"""LoRA files, both ways: those written here in diffusers, those of peft here.

    python loras.py --mudi ../../target/release/mudi

On `models/pocket`, so that there are pictures to compare.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from common import HERE, error, psnr, rng, run, tensors
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file

BASE = HERE.parent.parent / "models/pocket"
PROMPT = "a photo of a red bear and a blue bear in the snow"
STEPS, GUIDANCE = 8, 5.0
BOUND = 40.0


def pipeline():
    """The base in diffusers."""
    made = StableDiffusionXLPipeline.from_pretrained(str(BASE), torch_dtype=torch.float32, add_watermarker=False)
    made.set_progress_bar_config(disable=True)
    made.scheduler = EulerDiscreteScheduler.from_config(made.scheduler.config)
    return made


def picture(pipe, noise):
    """Diffusers' picture, as bytes."""
    made = pipe(
        prompt=PROMPT,
        negative_prompt="",
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        latents=noise,
        output_type="np",
    ).images[0]
    return torch.from_numpy(made * 255).round()


def own_picture(program, folder, noise, *arguments):
    """The program's picture of the same noise, as bytes."""
    tensors(folder / "noise.safetensors", {"noise": noise})
    out = folder / "own"
    common = ("--prompt", PROMPT, "--negative", "", "--steps", STEPS, "--guidance", GUIDANCE, "--count", 1)
    run(program, "generate", *arguments, *common, "--noise", folder / "noise.safetensors", "--out", out, "--quiet")
    image = Image.open(out / "0000.png").convert("RGB")
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(image.height, image.width, 3)


def judged(what, found, expected, plain):
    """Prints how near the pictures are, and that the LoRA changed them."""
    near, far = psnr(found, expected), psnr(found, plain)
    print(f"| {what} | {near:.1f} dB | {far:.1f} dB |", flush=True)
    assert near >= BOUND and far < BOUND, what


def written_here(program, folder, noise, plain):
    """LoRAs trained by the program, of the denoiser alone and of the text encoders too, and DoRA, in diffusers in both dialects."""
    toys = folder / "toys"
    run(program, "toybox", "--photos", 3, "--seed", 4, "--out", toys)
    text = ("--text-encoder-learning-rate", 1e-3)
    kinds = (("", ()), (", with text encoders", text), (" by DoRA, with text encoders", (*text, "--dora", "true")))
    for name, further in kinds:
        place = folder / f"trained{len(further)}"
        place.mkdir()
        trained = place / "run"
        small = ("--steps", 30, "--rank", 4, "--alpha", 7, "--learning-rate", 3e-3, "--regularization", "none")
        run(program, "train", "--photos", toys, "--base", BASE, "--out", trained, *small, *further, "--quiet")
        read_elsewhere(program, place, trained, name, noise, plain)


def read_elsewhere(program, folder, trained, name, noise, plain):
    """A run's picture, and those of its files."""
    own = own_picture(program, folder, noise, "--run", trained)
    pipe = pipeline()
    pipe.load_lora_weights(str(trained), weight_name="pytorch_lora_weights.safetensors")
    judged(f"trained here{name}, read by diffusers as it is", own, picture(pipe, noise), plain)
    for dialect in ("peft", "kohya"):
        file = folder / f"{dialect}.safetensors"
        run(program, "export", "--run", trained, "--format", dialect, "--out", file)
        again = own_picture(program, folder, noise, "--base", BASE, "--lora", file)
        judged(f"the same file read here ({dialect})", again, own, plain)
        if dialect == "kohya" and any(name.endswith(".dora_scale") for name in load_file(str(file))):
            # Diffusers leaves the magnitudes out, and says so.
            continue
        pipe = pipeline()
        pipe.load_lora_weights(str(folder), weight_name=file.name)
        judged(f"trained here{name}, read by diffusers as {dialect}", own, picture(pipe, noise), plain)


def written_by_peft(program, folder, noise, plain):
    """A LoRA of peft, on the denoiser and both text encoders."""
    pipe = pipeline()
    generator = rng(51)
    layers = {}
    unet = LoraConfig(r=4, lora_alpha=6, target_modules=["to_q", "to_v", "ff.net.0.proj", "proj_in", "conv1"])
    text = LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj", "fc1"])
    for name, config in (("unet", unet), ("text_encoder", text), ("text_encoder_2", text)):
        model = getattr(pipe, name)
        model.add_adapter(config)
        with torch.no_grad():
            for parameter in (p for n, p in model.named_parameters() if "lora_" in n):
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator) / parameter.shape[1] ** 0.5)
        layers[name] = convert_state_dict_to_diffusers(get_peft_model_state_dict(model))
    pipe.save_lora_weights(
        str(folder),
        unet_lora_layers=layers["unet"],
        text_encoder_lora_layers=layers["text_encoder"],
        text_encoder_2_lora_layers=layers["text_encoder_2"],
        unet_lora_adapter_metadata={**unet.to_dict(), "target_modules": sorted(unet.target_modules)},
        text_encoder_lora_adapter_metadata={**text.to_dict(), "target_modules": sorted(text.target_modules)},
        text_encoder_2_lora_adapter_metadata={**text.to_dict(), "target_modules": sorted(text.target_modules)},
    )
    file = folder / "pytorch_lora_weights.safetensors"
    own = own_picture(program, folder, noise, "--base", BASE, "--lora", file)
    judged("of peft, with text encoders, read here", own, picture(pipe, noise), plain)
    weak = own_picture(program, folder, noise, "--base", BASE, "--lora", f"{file}:0.4")
    pipe.unet.set_adapters(["default"], [0.4])
    for encoder in (pipe.text_encoder, pipe.text_encoder_2):
        for module in encoder.modules():
            if hasattr(module, "set_scale"):
                module.set_scale("default", 0.4)
    judged("the same at a weight of 0.4", weak, picture(pipe, noise), plain)
    merged = folder / "merged"
    run(program, "merge", "--base", BASE, "--lora", f"{file}:0.4", "--out", merged, "--dtype", "f32")
    loaded = StableDiffusionXLPipeline.from_pretrained(str(merged), add_watermarker=False)
    loaded.set_progress_bar_config(disable=True)
    loaded.scheduler = pipe.scheduler
    judged("merged here, loaded by diffusers", weak, picture(loaded, noise), plain)


def other_kinds(program, folder):
    """LoHa, LoKr and DoRA of peft on the denoiser: its answer."""
    inputs = {
        "sample": torch.randn(1, 4, 24, 24, generator=rng(61)),
        "timestep": torch.tensor([500.0]),
    }
    model = pipeline().unet
    inputs["encoder_hidden_states"] = torch.randn(1, 64, model.config.cross_attention_dim, generator=rng(62))
    pooled = model.config.projection_class_embeddings_input_dim - 6 * model.config.addition_time_embed_dim
    inputs["text_embeds"] = torch.randn(1, pooled, generator=rng(63))
    inputs["time_ids"] = torch.tensor([[192.0, 192, 0, 0, 192, 192]])
    tensors(folder / "in.safetensors", inputs)
    targets = ["to_q", "to_k", "conv1", "proj_out"]
    kinds = {
        "LoHa": LoHaConfig(r=4, alpha=6, target_modules=targets),
        "LoHa with cores": LoHaConfig(r=4, alpha=6, target_modules=targets, use_effective_conv2d=True),
        "LoKr": LoKrConfig(r=4, alpha=6, target_modules=targets),
        "LoKr with cores": LoKrConfig(r=4, alpha=6, target_modules=targets, use_effective_conv2d=True, decompose_both=True),
        "DoRA": LoraConfig(r=4, lora_alpha=6, target_modules=targets, use_dora=True),
        "rank-stabilized LoRA": LoraConfig(r=4, lora_alpha=6, target_modules=targets, use_rslora=True),
    }
    for index, (kind, config) in enumerate(kinds.items()):
        model = get_peft_model(pipeline().unet, config)
        generator = rng(70 + index)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad and "magnitude" in name:
                    parameter.mul_(1 + 0.2 * torch.randn(parameter.shape, generator=generator))
                elif parameter.requires_grad:
                    parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
            added = {k: inputs[k] for k in ("text_embeds", "time_ids")}
            expected = model(
                inputs["sample"], inputs["timestep"], inputs["encoder_hidden_states"], added_cond_kwargs=added
            ).sample
        place = folder / f"kind{index}"
        model.save_pretrained(str(place))
        out = folder / "out.safetensors"
        arguments = ("--base", BASE, "--network", "unet", "--inputs", folder / "in.safetensors", "--out", out)
        run(program, "forward", *arguments, "--lora", place / "adapter_model.safetensors")
        worst = error(load_file(str(out))["sample"], expected)
        print(f"{kind} of peft, read here: {worst:.1e} of the denoiser's range", flush=True)
        assert worst <= 1e-4, kind


def main():
    """Everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mudi", type=Path, required=True, help="the program")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    program = arguments.mudi.resolve()
    noise = torch.randn(1, 4, 24, 24, generator=rng(41))
    with tempfile.TemporaryDirectory() as folder:
        other_kinds(program, Path(folder))
    plain = picture(pipeline(), noise)
    print("| LoRA | the two pictures | from the base's own picture |\n|---|---|---|")
    for part in (written_by_peft, written_here):
        with tempfile.TemporaryDirectory() as folder:
            part(program, Path(folder), noise, plain)


if __name__ == "__main__":
    main()
