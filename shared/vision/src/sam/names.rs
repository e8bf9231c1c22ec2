//! The authors' names for weights in transformers' words.

use mudi_diffusion::{Engine, ParameterKind, Parameters, Result};

/// A source of weights with transformers' names, asked for those of the authors.
pub struct FromTransformers<'a, E: Engine> {
    source: &'a mut dyn Parameters<E>,
    iou_head_depth: usize,
}

/// A weight that only files with transformers' names have.
const THEIRS: &str = "vision_encoder.patch_embed.projection.weight";
/// Where their files have the frequencies: at one of these places or at both, depending on which of the tied copies was kept.
const FREQUENCIES: [&str; 2] =
    ["shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding"];

impl<'a, E: Engine> FromTransformers<'a, E> {
    /// Weights of `source`; `iou_head_depth` is the configuration's.
    pub fn new(source: &'a mut dyn Parameters<E>, iou_head_depth: usize) -> Self {
        Self { source, iou_head_depth }
    }

    /// Whether that source has transformers' names.
    pub fn fits(source: &dyn Parameters<E>) -> bool {
        source.contains(THEIRS)
    }

    /// What the source calls the weight that the authors call `name`.
    fn theirs(&self, name: &str) -> String {
        let name = to_transformers(name, self.iou_head_depth);
        if name == FREQUENCIES[0] && !self.source.contains(&name) && self.source.contains(FREQUENCIES[1]) {
            return FREQUENCIES[1].to_owned();
        }
        name
    }
}

impl<E: Engine> Parameters<E> for FromTransformers<'_, E> {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Result<E::Tensor> {
        let name = self.theirs(name);
        self.source.get(&name, shape, kind)
    }

    fn values(&mut self, engine: &E, name: &str, shape: &[usize], kind: ParameterKind) -> Result<Vec<f32>> {
        let name = self.theirs(name);
        self.source.values(engine, &name, shape, kind)
    }

    fn contains(&self, name: &str) -> bool {
        self.source.contains(&self.theirs(name))
    }
}

/// Parts of names, the authors' and transformers', below a part of the network.
type Renamed = &'static [(&'static str, &'static str)];

const IMAGE_ENCODER: Renamed = &[
    ("patch_embed.proj.", "patch_embed.projection."),
    ("blocks.", "layers."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    ("neck.0.", "neck.conv1."),
    ("neck.1.", "neck.layer_norm1."),
    ("neck.2.", "neck.conv2."),
    ("neck.3.", "neck.layer_norm2."),
];

const PROMPT_ENCODER: Renamed = &[
    ("point_embeddings.", "point_embed."),
    ("mask_downscaling.0.", "mask_embed.conv1."),
    ("mask_downscaling.1.", "mask_embed.layer_norm1."),
    ("mask_downscaling.3.", "mask_embed.conv2."),
    ("mask_downscaling.4.", "mask_embed.layer_norm2."),
    ("mask_downscaling.6.", "mask_embed.conv3."),
];

const MASK_DECODER: Renamed = &[
    (".norm_final_attn.", ".layer_norm_final_attn."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".norm3.", ".layer_norm3."),
    (".norm4.", ".layer_norm4."),
    ("output_upscaling.0.", "upscale_conv1."),
    ("output_upscaling.1.", "upscale_layer_norm."),
    ("output_upscaling.3.", "upscale_conv2."),
];

/// Transformers' name for the weight that the authors call `name`.
#[must_use]
pub fn to_transformers(name: &str, iou_head_depth: usize) -> String {
    let (part, below) = name.split_once('.').unwrap_or((name, ""));
    match part {
        "image_encoder" => format!("vision_encoder.{}", renamed(below, IMAGE_ENCODER)),
        "prompt_encoder" if below.starts_with("pe_layer.") => FREQUENCIES[0].to_owned(),
        "prompt_encoder" => format!("prompt_encoder.{}", renamed(below, PROMPT_ENCODER)),
        "mask_decoder" => {
            let depth = if below.starts_with("iou_prediction_head.") { iou_head_depth } else { 3 };
            format!("mask_decoder.{}", renamed(&mlp(below, depth), MASK_DECODER))
        }
        _ => name.to_owned(),
    }
}

fn renamed(name: &str, parts: Renamed) -> String {
    parts.iter().fold(name.to_owned(), |name, (theirs, ours)| name.replace(theirs, ours))
}

/// Layers of the small networks with `depth` layers: transformers names the first and the last one apart.
fn mlp(name: &str, depth: usize) -> String {
    let Some((network, layer)) = name.split_once(".layers.") else { return name.to_owned() };
    if network.starts_with("transformer") {
        return name.to_owned();
    }
    let Some((index, kind)) = layer.split_once('.') else { return name.to_owned() };
    match index.parse::<usize>() {
        Ok(0) => format!("{network}.proj_in.{kind}"),
        Ok(index) if index + 1 == depth => format!("{network}.proj_out.{kind}"),
        Ok(index) => format!("{network}.layers.{}.{kind}", index - 1),
        Err(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::to_transformers;

    #[test]
    fn each_part_is_renamed() {
        for (theirs, ours) in [
            ("image_encoder.pos_embed", "vision_encoder.pos_embed"),
            ("image_encoder.patch_embed.proj.bias", "vision_encoder.patch_embed.projection.bias"),
            ("image_encoder.blocks.11.norm2.weight", "vision_encoder.layers.11.layer_norm2.weight"),
            ("image_encoder.neck.3.bias", "vision_encoder.neck.layer_norm2.bias"),
            (
                "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
                "shared_image_embedding.positional_embedding",
            ),
            ("prompt_encoder.point_embeddings.3.weight", "prompt_encoder.point_embed.3.weight"),
            ("prompt_encoder.mask_downscaling.6.weight", "prompt_encoder.mask_embed.conv3.weight"),
            (
                "mask_decoder.transformer.layers.1.norm4.bias",
                "mask_decoder.transformer.layers.1.layer_norm4.bias",
            ),
            ("mask_decoder.output_upscaling.3.weight", "mask_decoder.upscale_conv2.weight"),
            (
                "mask_decoder.output_hypernetworks_mlps.2.layers.1.bias",
                "mask_decoder.output_hypernetworks_mlps.2.layers.0.bias",
            ),
            (
                "mask_decoder.iou_prediction_head.layers.0.bias",
                "mask_decoder.iou_prediction_head.proj_in.bias",
            ),
            (
                "mask_decoder.iou_prediction_head.layers.3.bias",
                "mask_decoder.iou_prediction_head.proj_out.bias",
            ),
        ] {
            assert_eq!(to_transformers(theirs, 4), ours);
        }
    }
}
