"""Full-size models with random weights, the program, and how far two answers are apart."""

import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parent / "fixtures"
sys.path.insert(0, str(FIXTURES))

from generators.common import randomize, rng  # noqa: E402

VOCABULARY = 49408

UNET = {"sample_size": 64, "in_channels": 4, "out_channels": 4, "norm_num_groups": 32}
CROSS = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
CROSS_UP = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
FOUR = {"block_out_channels": (320, 640, 1280, 1280), "down_block_types": CROSS, "up_block_types": CROSS_UP}
UNETS = {
    "sd15": {**UNET, **FOUR, "attention_head_dim": 8, "cross_attention_dim": 768},
    "sd21": {
        **UNET,
        **FOUR,
        "sample_size": 96,
        "attention_head_dim": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    },
    "sdxl": {
        **UNET,
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": [5, 10, 20],
        "transformer_layers_per_block": [1, 2, 10],
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}

CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
TEXT = {
    "sd15": [{**CLIP_L, "hidden_act": "quick_gelu", "projection_dim": 768}],
    "sd21": [{**CLIP_H, "hidden_act": "gelu", "projection_dim": 512}],
    "sdxl": [
        {**CLIP_L, "hidden_act": "quick_gelu", "projection_dim": 768},
        {**CLIP_G, "hidden_act": "gelu", "projection_dim": 1280},
    ],
}


def unet(family, seed=1):
    """The denoiser of a family."""
    from diffusers import UNet2DConditionModel

    return randomize(UNet2DConditionModel(**UNETS[family]), seed)


def vae(family, seed=2):
    """The autoencoder of a family."""
    from diffusers import AutoencoderKL

    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=1024 if family == "sdxl" else 512,
        scaling_factor=0.13025 if family == "sdxl" else 0.18215,
    )
    return randomize(model, seed)


def text_encoders(family, seed=3):
    """The text encoders of a family, with the end token that public checkpoints have."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    made = []
    for index, config in enumerate(TEXT[family]):
        config = CLIPTextConfig(vocab_size=VOCABULARY, max_position_embeddings=77, eos_token_id=2, **config)
        made.append(randomize((CLIPTextModel, CLIPTextModelWithProjection)[index](config), seed + index))
    return made


def save_network(model, folder):
    """Writes a network, with the names that public files have: transformers has dropped a prefix of its text encoders'."""
    model.save_pretrained(str(folder))
    weights = folder / "model.safetensors"
    if weights.exists():
        tensors = load_file(str(weights))
        names = {n: n if n.startswith(("text_model.", "text_projection.")) else f"text_model.{n}" for n in tensors}
        save_file({names[n]: t for n, t in tensors.items()}, str(weights), metadata={"format": "pt"})


def tokenizer(folder, pad):
    """Writes CLIP's tokenizer, from the vocabulary that the program carries."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    merges = (HERE.parent.parent / "backend/assets/clip/merges.txt").read_text(encoding="utf-8")
    pairs = [line.split() for line in merges.splitlines()[1:] if line]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]
    tokens = symbols + [s + "</w>" for s in symbols] + ["".join(pair) for pair in pairs]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}), encoding="utf-8")
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    end = "<|endoftext|>"
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True}
    config |= {"bos_token": "<|startoftext|>", "eos_token": end, "unk_token": end, "pad_token": pad or end}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return CLIPTokenizer.from_pretrained(str(folder))


def scheduler(family):
    """The schedule of a family, for Euler steps."""
    from diffusers import EulerDiscreteScheduler

    prediction = "v_prediction" if family == "sd21" else "epsilon"
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="leading",
        prediction_type=prediction,
    )


def save_rest(family, folder):
    """Writes what a base's folder has besides its networks."""
    scheduler(family).save_pretrained(str(folder / "scheduler"))
    pads = {"sd15": [None], "sd21": ["!"], "sdxl": [None, "!"]}[family]
    for name, pad in zip(("tokenizer", "tokenizer_2"), pads):
        tokenizer(folder / name, pad)
    index = {
        "_class_name": "StableDiffusionXLPipeline" if family == "sdxl" else "StableDiffusionPipeline",
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    if family == "sdxl":
        index |= {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}
        index |= {"tokenizer_2": ["transformers", "CLIPTokenizer"], "force_zeros_for_empty_prompt": True}
    (folder / "model_index.json").write_text(json.dumps(index))


def error(found, expected):
    """The largest difference, as a share of the expected values' range."""
    found, expected = found.float(), expected.float()
    return ((found - expected).abs().max() / (expected.max() - expected.min())).item()


def psnr(found, expected):
    """Of two pictures of bytes, in dB."""
    difference = (torch.as_tensor(found).double() - torch.as_tensor(expected).double()).square().mean().item()
    return float("inf") if difference == 0 else 10 * torch.log10(torch.tensor(255.0**2 / difference)).item()


def run(program, *arguments):
    """Runs the program to its end; returns what it prints and its seconds."""
    start = time.perf_counter()
    done = subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{arguments}: {done.stderr}")
    return done.stdout, time.perf_counter() - start


def tensors(path, values):
    """Writes tensors as the program reads them."""
    save_file({k: torch.as_tensor(v).detach().float().contiguous() for k, v in values.items()}, str(path))
