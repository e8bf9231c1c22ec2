//! The UNet's names.

use crate::unet::UNetConfig;

/// The name that LDM's code gives to the module that diffusers calls `path` (`down_blocks.1.attentions.0.proj_in`), without
/// the prefix of checkpoints; none for a path that this UNet does not have.
///
/// Every layer of a level, with the transformer after it, and every change of size is a block of its own there.
#[must_use]
pub fn module(config: &UNetConfig, path: &str) -> Option<String> {
    if let Some(name) = outermost(path) {
        return Some(name.to_owned());
    }
    let (block, rest) = path.split_once('.')?;
    match block {
        "mid_block" => {
            let (kind, rest) = rest.split_once('.')?;
            let (index, inside) = rest.split_once('.')?;
            match (kind, index) {
                ("resnets", "0") => Some(format!("middle_block.0.{}", resnet(inside)?)),
                ("attentions", "0") => Some(format!("middle_block.1.{inside}")),
                ("resnets", "1") => Some(format!("middle_block.2.{}", resnet(inside)?)),
                _ => None,
            }
        }
        "down_blocks" | "up_blocks" => level(config, block == "up_blocks", rest),
        _ => None,
    }
}

/// Modules outside of all blocks.
fn outermost(path: &str) -> Option<&'static str> {
    Some(match path {
        "conv_in" => "input_blocks.0.0",
        "time_embedding.linear_1" => "time_embed.0",
        "time_embedding.linear_2" => "time_embed.2",
        "add_embedding.linear_1" => "label_emb.0.0",
        "add_embedding.linear_2" => "label_emb.0.2",
        "conv_norm_out" => "out.0",
        "conv_out" => "out.2",
        _ => return None,
    })
}

/// `rest` is a path below `down_blocks` or `up_blocks`.
fn level(config: &UNetConfig, up: bool, rest: &str) -> Option<String> {
    let (block, rest) = rest.split_once('.')?;
    let block: usize = block.parse().ok()?;
    let levels = config.block_out_channels.len();
    if block >= levels {
        return None;
    }
    // Levels are counted from the finest; the way up begins at the coarsest.
    let layers = |block: usize| {
        let index = if up { levels - 1 - block } else { block };
        config.layers_per_block.at(index, "layers_per_block").ok().map(|layers| layers + usize::from(up))
    };
    let mut first = if up { 0 } else { 1 };
    for before in 0..block {
        // On the way down the change of size is a block of its own, on the way up it belongs to the last one.
        first += layers(before)? + usize::from(!up);
    }
    let own = layers(block)?;
    let (kind, rest) = rest.split_once('.')?;
    let (index, inside) = rest.split_once('.')?;
    let index: usize = index.parse().ok()?;
    let stem = if up { "output_blocks" } else { "input_blocks" };
    let kinds = if up { &config.up_block_types } else { &config.down_block_types };
    match (kind, inside) {
        ("resnets", _) if index < own => Some(format!("{stem}.{}.0.{}", first + index, resnet(inside)?)),
        ("attentions", _) if index < own => Some(format!("{stem}.{}.1.{inside}", first + index)),
        ("downsamplers", "conv") if !up && index == 0 => Some(format!("{stem}.{}.0.op", first + own)),
        ("upsamplers", "conv") if up && index == 0 => {
            let after = if kinds.get(block)?.contains("CrossAttn") { 2 } else { 1 };
            Some(format!("{stem}.{}.{after}.conv", first + own - 1))
        }
        _ => None,
    }
}

/// Modules inside of a ResNet block.
fn resnet(inside: &str) -> Option<&'static str> {
    Some(match inside {
        "norm1" => "in_layers.0",
        "conv1" => "in_layers.2",
        "time_emb_proj" => "emb_layers.1",
        "norm2" => "out_layers.0",
        "conv2" => "out_layers.3",
        "conv_shortcut" => "skip_connection",
        _ => return None,
    })
}
