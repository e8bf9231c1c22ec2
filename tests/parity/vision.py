#!/usr/bin/env python3
"""Networks that see, of the published sizes with random weights: `mudi forward` against transformers and the authors' packages, in f32.

    python vision.py --mudi ../../target/release/mudi dinov2-base owlv2-base sam-base dreamsim

Weights and tensors are in a folder that is deleted afterwards (up to 5 GB). Nothing is downloaded.
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path

import torch
from common import error, randomize, rng, run, tensors
from safetensors.torch import load_file

BOUND = 1e-4

LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
OWL_LARGE_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}


def timed(call):
    """A call's result, and its seconds."""
    start = time.perf_counter()
    with torch.no_grad():
        result = call()
    return result, time.perf_counter() - start


def dinov2(folder, **config):
    """Positions for 518 pixels, used at 224."""
    from transformers import Dinov2Config, Dinov2Model

    model = randomize(Dinov2Model(Dinov2Config(image_size=518, patch_size=14, **config)), 3)
    with torch.no_grad():
        table = model.embeddings.position_embeddings
        table.copy_(0.5 * torch.randn(table.shape, generator=rng(4)))
    model.save_pretrained(str(folder))
    given = {"pixel_values": torch.randn(1, 3, 224, 224, generator=rng(1))}
    out, seconds = timed(lambda: model(**given))
    yield "dinov2", given, {"last_hidden_state": out.last_hidden_state}, seconds


def owlv2(folder, size, **config):
    """An image, and two texts of several tokens."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    model = randomize(Owlv2ForObjectDetection(Owlv2Config(**config)), 3)
    model.save_pretrained(str(folder))
    ids = torch.zeros(2, 16, dtype=torch.int64)
    ids[0, :4] = torch.tensor([49406, 320, 1929, 49407])
    ids[1, :6] = torch.tensor([49406, 320, 2368, 17240, 4298, 49407])
    given = {"pixel_values": torch.randn(1, 3, size, size, generator=rng(2)), "input_ids": ids}
    out, seconds = timed(lambda: model(**given))
    yield "owlv2", given, {name: out[name] for name in ("logits", "objectness_logits", "pred_boxes")}, seconds


def sam(folder, **vision):
    """An image of 1024 pixels, and the masks of two points."""
    from transformers import SamConfig, SamModel

    model = randomize(SamModel(SamConfig(vision_config=vision)), 1)
    with torch.no_grad():
        model.shared_image_embedding.positional_embedding.copy_(torch.randn(2, 128, generator=rng(2)))
    model.save_pretrained(str(folder))
    points = {
        "input_points": torch.tensor([[[[300.0, 500.0], [700.0, 200.0]]]]),
        "input_labels": torch.tensor([[[1, 0]]]),
    }
    pixels = torch.randn(1, 3, 1024, 1024, generator=rng(3))
    embeddings, seconds = timed(lambda: model.get_image_embeddings(pixels))
    yield "sam_image_encoder", {"pixel_values": pixels}, {"last_hidden_state": embeddings}, seconds
    out, seconds = timed(lambda: model(image_embeddings=embeddings, **points))
    given = {"image_embeddings": embeddings, **points}
    yield "sam_mask_decoder", given, {"pred_masks": out.pred_masks, "iou_scores": out.iou_scores}, seconds


def mobile_sam(folder):
    """MobileSAM: its encoder is timm's with one stride changed, the rest segment-anything's, under the names of its authors."""
    from generators import sam as parts
    from segment_anything.modeling import Sam

    parts.WIDTH, parts.MASK_CHANNELS = 256, 16
    parts.DECODER = {"mlp_dim": 2048, "num_attention_heads": 8, "iou_head_depth": 3, "iou_head_hidden_dim": 256}
    encoder = parts.MobileEncoder
    encoder.img_size, encoder.dims, encoder.depths = 1024, (64, 128, 160, 320), (2, 2, 6, 2)
    encoder.heads, encoder.windows = (2, 4, 5, 10), (7, 7, 14, 7)
    model = randomize(Sam(encoder(), parts.prompt_encoder(1024, 64), parts.mask_decoder()), 81)
    parts.batch_norms_of(model, 82)
    parts.frequencies_of(model, 83)
    weights = {f"image_encoder.{name}": value for name, value in model.image_encoder.published().items()}
    weights.update((name, value) for name, value in model.state_dict().items() if "image_encoder." not in name)
    torch.save(weights, folder / "mobile_sam.pt")
    pixels = torch.randn(1, 3, 1024, 1024, generator=rng(84))
    embeddings, seconds = timed(lambda: model.image_encoder(pixels))
    yield "sam_image_encoder", {"pixel_values": pixels}, {"last_hidden_state": embeddings}, seconds


def dreamsim(folder):
    """The ensemble with its LoRA, in files as the authors' archive has them."""
    from dreamsim.feature_extraction.extractor import ViTExtractor
    from dreamsim.feature_extraction.load_clip_as_dino import QuickGELU
    from dreamsim.feature_extraction.vision_transformer import vit_base
    from dreamsim.model import PerceptualModel
    from peft import LoraConfig, get_peft_model

    names = ["dino_vitb16", "clip_vitb16", "open_clip_vitb16"]
    towers, saved = {}, {}
    for index, name in enumerate(names):
        model, projection = vit_base(patch_size=16), None
        if "clip" in name:
            # As the package's loaders of checkpoints do it.
            model.pos_drop = torch.nn.LayerNorm(768)
            for module in model.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    module.eps = 1e-5
            projection = torch.randn(768, 512, generator=rng(index + 1)) / 768**0.5
        if name == "clip_vitb16":
            for block in model.blocks:
                block.mlp.act = QuickGELU()
        randomize(model, 10 + index)
        weights = {key: value.clone() for key, value in model.state_dict().items()}
        if projection is None:
            # What DINO's training left: student and teacher, whose backbone is the tower, each with its head.
            student = {f"module.backbone.{key}": torch.zeros(1) for key in weights}
            teacher = {f"backbone.{key}": value for key, value in weights.items()}
            student["module.head.last_layer.weight"] = teacher["head.last_layer.weight"] = torch.zeros(4, 4)
            torch.save({"student": student, "teacher": teacher, "epoch": 400}, folder / f"{name}_pretrain.pth")
        else:
            torch.save({"state_dict": {**weights, "proj": projection}}, folder / f"{name}_pretrain.pth.tar")
        towers[name], saved[name] = (model if projection is None else (model, projection)), weights
    # The package would download the checkpoints; everything else is its own.
    ViTExtractor.create_model = staticmethod(lambda name, load_dir: towers[name])
    ensemble = PerceptualModel(
        ",".join(names), "cls,embedding,embedding", "16,16,16", lora=True, normalize_embeds=True, device="cpu"
    )
    config = LoraConfig(r=16, lora_alpha=8, lora_dropout=0.3, bias="none", target_modules=["qkv"])
    model = randomize(get_peft_model(ensemble, config), 20)
    # Only the LoRA is new: the towers get their own weights back.
    for index, name in enumerate(names):
        own = {key.replace(".attn.qkv.", ".attn.qkv.base_layer."): value for key, value in saved[name].items()}
        model.base_model.model.extractor_list[index].model.load_state_dict(own, strict=False)
    model.save_pretrained(str(folder / "ensemble_lora"))
    images = torch.rand(1, 3, 224, 224, generator=rng(21))
    model.eval()
    embeds, seconds = timed(lambda: model.embed(images))
    yield "dreamsim", {"pixel_values": images}, {"embeds": embeds}, seconds


NETWORKS = {
    "dinov2-small": lambda folder: dinov2(folder, hidden_size=384, num_attention_heads=6),
    "dinov2-base": dinov2,
    "dinov2-large": lambda folder: dinov2(folder, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16),
    "owlv2-base": lambda folder: owlv2(folder, 960, vision_config={"image_size": 960}),
    "owlv2-large": lambda folder: owlv2(
        folder,
        1008,
        text_config=OWL_LARGE_TEXT,
        vision_config={"image_size": 1008, "patch_size": 14, **LARGE},
        projection_dim=768,
    ),
    "sam-base": sam,
    "sam-large": lambda folder: sam(
        folder, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, global_attn_indexes=[5, 11, 17, 23]
    ),
    "sam-huge": lambda folder: sam(
        folder, hidden_size=1280, num_hidden_layers=32, num_attention_heads=16, global_attn_indexes=[7, 15, 23, 31]
    ),
    "mobile-sam": mobile_sam,
    "dreamsim": dreamsim,
}


def main():
    """All networks that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", choices=NETWORKS)
    parser.add_argument("--mudi", type=Path, required=True, help="the program")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| network | output | largest error, of the range | reference | mudi, with loading |\n|---|---|---|---|---|")
    for name in arguments.networks:
        with tempfile.TemporaryDirectory() as scratch:
            base, given, out = (Path(scratch) / part for part in ("base", "in.safetensors", "out.safetensors"))
            base.mkdir()
            for kind, inputs, expected, reference in NETWORKS[name](base):
                tensors(given, inputs)
                gc.collect()
                command = ("forward", "--network", kind, "--base", base, "--inputs", given, "--out", out)
                _, seconds = run(arguments.mudi.resolve(), *command)
                found = load_file(str(out))
                for key, value in expected.items():
                    worst = error(found[key].reshape(value.shape), value)
                    print(f"| {name} | {key} | {worst:.1e} | {reference:.1f} s | {seconds:.1f} s |", flush=True)
                    assert worst <= BOUND, (name, key)


if __name__ == "__main__":
    main()
