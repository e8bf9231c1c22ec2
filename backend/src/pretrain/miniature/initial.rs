//! Values that weights begin with.

use std::f32::consts::FRAC_PI_2;
use std::path::Path;

use mudi_diffusion::ParameterKind;
use mudi_domain::rng;

use super::PretrainError;
use crate::pretrain::earlier::EarlierWeights;

/// What a network begins with: an earlier one of its shape, or new values.
pub(super) enum Origin {
    New(u64),
    Earlier(EarlierWeights),
}

impl Origin {
    /// The weights in the folder `from`, or where there is none new ones of the seed.
    pub(super) fn open(seed: u64, from: Option<&Path>) -> Result<Self, PretrainError> {
        let whole = |folder| EarlierWeights::open(folder, &[("", "")]);
        Ok(from.map(whole).transpose()?.map_or(Self::New(seed), Self::Earlier))
    }

    /// The values of the weight called `name`, in the engine's layout.
    pub(super) fn values(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Vec<f32> {
        match self {
            Self::New(seed) => initial(*seed, name, shape, kind),
            Self::Earlier(earlier) => earlier.values(name, shape, kind),
        }
    }

    /// Fails where an earlier weight was missing or misshapen.
    pub(super) fn finish(self) -> Result<(), PretrainError> {
        match self {
            Self::New(_) => Ok(()),
            Self::Earlier(earlier) => earlier.finish(),
        }
    }
}

/// What layers that add to a residual stream are called.
const RESIDUAL: [&str; 8] = [
    "self_attn.out_proj.weight",
    "mlp.fc2.weight",
    "attention.output.dense.weight",
    "attn.proj.weight",
    "mlp.lin2.weight",
    "cross_attn_token_to_image.out_proj.weight",
    "cross_attn_image_to_token.out_proj.weight",
    "final_attn_token_to_image.out_proj.weight",
];

/// Before training a patch finds nothing (a score of a hundredth) in a box of two fifths of the image around it.
const OWL_BIASES: [(&str, &[f32]); 4] = [
    ("class_head.logit_shift.bias", &[-0.45]),
    ("class_head.logit_scale.bias", &[9.0]),
    ("objectness_head.dense2.bias", &[-4.0]),
    ("box_head.dense2.bias", &[0.0, 0.0, 2.0, 2.0]),
];

/// What OWLv2's features are before the class token multiplies them: around 1, so that the product is nearly a sum. Around 0, as
/// norms begin usually, each picture would turn the signs of all features by its own class token, and nothing is learnt for long.
const OWL_NORM: [(&str, f32); 2] =
    [("owlv2.vision_model.post_layernorm.weight", 0.3), ("owlv2.vision_model.post_layernorm.bias", 1.0)];

/// Sines and cosines of the place in a square grid of `count / width` positions, perhaps after a class token's, which has none:
/// neighbours begin alike.
fn positions(count: usize, width: usize) -> Vec<f32> {
    const AMPLITUDE: f32 = 0.5;
    let rows = count / width;
    let side = rows.isqrt();
    let class = rows - side * side;
    let quarter = (width / 4).max(1);
    let mut values = vec![0.0; count];
    for (at, row) in values.chunks_exact_mut(width).skip(class).enumerate() {
        let place = [at % side, at / side].map(|v| v as f32);
        for (channel, value) in row.iter_mut().enumerate() {
            // From a quarter turn for each position to one over the whole grid.
            let slow = (channel % quarter) as f32 / quarter as f32;
            let angle = place[channel / quarter % 2] * FRAC_PI_2 / (side as f32).powf(slow);
            *value = AMPLITUDE * if channel / quarter < 2 { angle.sin() } else { angle.cos() };
        }
    }
    values
}

/// Values of the weight called `name`, in the engine's layout.
pub(super) fn initial(seed: u64, name: &str, shape: &[usize], kind: ParameterKind) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let normal = |deviation: f32| -> Vec<f32> {
        rng::normal(&mut rng::stream(seed, name, 0), count).into_iter().map(|v| deviation * v).collect()
    };
    if let Some((_, values)) =
        OWL_BIASES.iter().find(|(known, values)| *known == name && values.len() == count)
    {
        return values.to_vec();
    }
    if let Some((_, value)) = OWL_NORM.iter().find(|(known, _)| *known == name) {
        return vec![*value; count];
    }
    let of_positions = ["position_embedding.weight", "position_embeddings", "vision_encoder.pos_embed"];
    if of_positions.iter().any(|end| name.ends_with(end)) {
        return positions(count, shape[shape.len() - 1]);
    }
    let ends = |names: &[&str]| names.iter().any(|end| name.ends_with(end));
    match kind {
        ParameterKind::Linear | ParameterKind::Convolution => {
            let fan_in: usize = shape[1..].iter().product();
            let gain = if ends(&RESIDUAL) {
                0.4
            } else if ends(&["logit_shift.weight", "logit_scale.weight", "head.dense2.weight"]) {
                0.1
            } else {
                0.9
            };
            normal(gain / (fan_in as f32).sqrt())
        }
        ParameterKind::TransposedConvolution => normal(1.0 / (shape[3] as f32).sqrt()),
        ParameterKind::Bias { .. } | ParameterKind::NormShift => vec![0.0; count],
        ParameterKind::NormScale => vec![1.0; count],
        // SAM's tokens stand beside sines and cosines.
        ParameterKind::Embedding
            if name.starts_with("mask_decoder")
                || name.starts_with("prompt_encoder")
                || name.starts_with("shared") =>
        {
            normal(1.0)
        }
        ParameterKind::Embedding => normal(0.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_have_like_positions() {
        const WIDTH: usize = 16;
        let table = positions(WIDTH * 17, WIDTH);
        let row = |at: usize| &table[at * WIDTH..(at + 1) * WIDTH];
        let distance =
            |a: usize, b: usize| row(a).iter().zip(row(b)).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        assert!(row(0).iter().all(|v| *v == 0.0));
        // After the class token, the first row of the grid of four.
        assert!(distance(1, 2) < distance(1, 3) && distance(1, 3) < distance(1, 4));
        // One down is as far as one across.
        assert!((distance(1, 2) - distance(1, 5)).abs() < 1e-6);
    }
}
