//! The autoencoder's names.

use super::VaeNames;
use crate::vae::VaeConfig;

/// The name that LDM's code gives to the module that diffusers calls `path`, without the prefix of checkpoints.
pub(super) fn module(config: &VaeConfig, names: VaeNames, path: &str) -> Option<String> {
    if matches!(path, "quant_conv" | "post_quant_conv") {
        return Some(path.to_owned());
    }
    let (half, rest) = path.split_once('.')?;
    if !matches!(half, "encoder" | "decoder") {
        return None;
    }
    let inside = match rest {
        "conv_in" | "conv_out" => rest.to_owned(),
        "conv_norm_out" => "norm_out".to_owned(),
        _ => {
            let (block, rest) = rest.split_once('.')?;
            match block {
                "mid_block" => mid(names, rest)?,
                "down_blocks" | "up_blocks" => level(config, block == "up_blocks", rest)?,
                _ => return None,
            }
        }
    };
    Some(format!("{half}.{inside}"))
}

fn mid(names: VaeNames, rest: &str) -> Option<String> {
    let (kind, rest) = rest.split_once('.')?;
    let (index, inside) = rest.split_once('.')?;
    match (kind, index) {
        ("resnets", "0") => Some(format!("mid.block_1.{}", resnet(inside)?)),
        ("resnets", "1") => Some(format!("mid.block_2.{}", resnet(inside)?)),
        ("attentions", "0") => {
            let inside = match inside {
                "group_norm" => "norm",
                "to_q" | "to_k" | "to_v" | "to_out.0" if names.attention_of_diffusers => inside,
                "to_q" => "q",
                "to_k" => "k",
                "to_v" => "v",
                "to_out.0" => "proj_out",
                _ => return None,
            };
            Some(format!("mid.attn_1.{inside}"))
        }
        _ => None,
    }
}

fn level(config: &VaeConfig, up: bool, rest: &str) -> Option<String> {
    let (block, rest) = rest.split_once('.')?;
    let block: usize = block.parse().ok()?;
    // Here both ways count from the finest level.
    let index = if up { config.block_out_channels.len().checked_sub(1 + block)? } else { block };
    let stem = if up { "up" } else { "down" };
    let (kind, rest) = rest.split_once('.')?;
    let (layer, inside) = rest.split_once('.')?;
    match (kind, inside) {
        ("resnets", _) => Some(format!("{stem}.{index}.block.{layer}.{}", resnet(inside)?)),
        ("downsamplers", "conv") if !up => Some(format!("{stem}.{index}.downsample.conv")),
        ("upsamplers", "conv") if up => Some(format!("{stem}.{index}.upsample.conv")),
        _ => None,
    }
}

fn resnet(inside: &str) -> Option<&str> {
    match inside {
        "norm1" | "conv1" | "norm2" | "conv2" => Some(inside),
        "conv_shortcut" => Some("nin_shortcut"),
        _ => None,
    }
}
