"""Diffusers' weights under the names of a checkpoint in one file: written from the published lists of both, not from the
program's code."""

import torch

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
SINGLE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def unet_modules(config):
    """Prefixes of diffusers' names, with what stands for them; the layers of a level count through."""
    layers, levels = config.layers_per_block, len(config.block_out_channels)
    found = []
    for level in range(levels):
        for layer in range(layers):
            block = 1 + level * (layers + 1) + layer
            found.append((f"down_blocks.{level}.resnets.{layer}.", f"input_blocks.{block}.0.", True))
            found.append((f"down_blocks.{level}.attentions.{layer}.", f"input_blocks.{block}.1.", False))
        block = (level + 1) * (layers + 1)
        found.append((f"down_blocks.{level}.downsamplers.0.conv.", f"input_blocks.{block}.0.op.", False))
        for layer in range(layers + 1):
            block = level * (layers + 1) + layer
            found.append((f"up_blocks.{level}.resnets.{layer}.", f"output_blocks.{block}.0.", True))
            found.append((f"up_blocks.{level}.attentions.{layer}.", f"output_blocks.{block}.1.", False))
        after = 2 if "CrossAttn" in config.up_block_types[level] else 1
        block = level * (layers + 1) + layers
        found.append((f"up_blocks.{level}.upsamplers.0.conv.", f"output_blocks.{block}.{after}.conv.", False))
    found.append(("mid_block.resnets.0.", "middle_block.0.", True))
    found.append(("mid_block.attentions.0.", "middle_block.1.", False))
    found.append(("mid_block.resnets.1.", "middle_block.2.", True))
    return found


def unet(model):
    """The denoiser's tensors."""
    prefixes = unet_modules(model.config)
    out = {}
    for name, tensor in model.state_dict().items():
        module, leaf = name.rsplit(".", 1)
        if module in SINGLE:
            new = f"{SINGLE[module]}.{leaf}"
        else:
            old, new, resnet = next(p for p in prefixes if name.startswith(p[0]))
            rest = name[len(old) :]
            if resnet:
                inside, leaf = rest.rsplit(".", 1)
                rest = f"{RESNET[inside]}.{leaf}"
            new += rest
        out["model.diffusion_model." + new] = tensor
    return out


def vae(model):
    """The autoencoder's tensors; its attention is made of 1x1 convolutions."""
    levels = len(model.config.block_out_channels)
    out = {}
    for name, tensor in model.state_dict().items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = new.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
        for level in range(levels):
            new = new.replace(f"down_blocks.{level}.resnets", f"down.{level}.block")
            new = new.replace(f"down_blocks.{level}.downsamplers.0", f"down.{level}.downsample")
            new = new.replace(f"up_blocks.{level}.resnets", f"up.{levels - 1 - level}.block")
            new = new.replace(f"up_blocks.{level}.upsamplers.0", f"up.{levels - 1 - level}.upsample")
        if "mid_block.attentions.0." in new:
            for before, after in (
                ("group_norm", "norm"),
                ("to_q", "q"),
                ("to_k", "k"),
                ("to_v", "v"),
                ("to_out.0", "proj_out"),
            ):
                new = new.replace(f"mid_block.attentions.0.{before}", f"mid.attn_1.{after}")
            if tensor.ndim == 2:
                tensor = tensor[:, :, None, None]
        out["first_stage_model." + new] = tensor
    return out


def clip(model, prefix):
    """A text encoder's tensors under transformers' names, of which the current version has dropped a prefix."""
    names = {n: n if n.startswith(("text_model.", "text_projection.")) else f"text_model.{n}" for n in model.state_dict()}
    return {prefix + names[n]: t for n, t in model.state_dict().items()}


def open_clip(model, prefix, further=0):
    """A text encoder's tensors under OpenCLIP's names, with layers after the last one that nobody uses."""
    state = {n.removeprefix("text_model."): t for n, t in model.state_dict().items()}
    out = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
        "logit_scale": torch.tensor(4.6),
    }
    if "text_projection.weight" in state:
        out["text_projection"] = state["text_projection.weight"].T
    else:
        width = state["final_layer_norm.weight"].numel()
        out["text_projection"] = torch.zeros(width, width)
    count = model.config.num_hidden_layers
    for layer in range(count + further):
        at = f"encoder.layers.{min(layer, count - 1)}."
        to = f"transformer.resblocks.{layer}."
        for leaf in ("weight", "bias"):
            parts = [state[f"{at}self_attn.{x}_proj.{leaf}"] for x in "qkv"]
            out[f"{to}attn.in_proj_{leaf}"] = torch.cat(parts)
            for old, new in (
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ):
                tensor = state[f"{at}{old}.{leaf}"]
                # A file has no room for one tensor under two names.
                out[f"{to}{new}.{leaf}"] = tensor if layer < count else tensor.clone()
    return {prefix + name: tensor for name, tensor in out.items()}
