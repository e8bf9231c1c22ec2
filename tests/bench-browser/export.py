"""The denoiser of a diffusers folder as an ONNX file, for `cargo xtask bench-browser`: `python export.py MODEL OUT`."""

import json
import sys
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

TOKENS = 77


class Denoiser(torch.nn.Module):
    """A UNet whose further conditions are arguments like all others."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, context, pooled, time_ids):
        added = {"text_embeds": pooled, "time_ids": time_ids}
        return self.unet(sample, timestep, context, added_cond_kwargs=added, return_dict=False)[0]


def main():
    model, out = Path(sys.argv[1]), Path(sys.argv[2])
    unet = UNet2DConditionModel.from_pretrained(str(model), subfolder="unet", torch_dtype=torch.float32).eval()
    config = unet.config
    if config.addition_embed_type != "text_time":
        raise SystemExit(f"{model}: the bench reads denoisers of SDXL's kind, conditioned by text and sizes")
    side = config.sample_size
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    # With and without guidance: a batch of two.
    shapes = {
        "sample": [2, config.in_channels, side, side],
        "timestep": [2],
        "context": [2, TOKENS, config.cross_attention_dim],
        "pooled": [2, pooled],
        "time_ids": [2, 6],
    }
    values = tuple(torch.rand(shape) for shape in shapes.values())
    with torch.no_grad():
        torch.onnx.export(
            Denoiser(unet),
            values,
            str(out / "denoiser.onnx"),
            input_names=list(shapes),
            output_names=["prediction"],
            opset_version=20,
            dynamo=True,
            external_data=False,
        )
    (out / "shapes.json").write_text(json.dumps(shapes))


main()
