//! Values of new weights.

use mudi_diffusion::ParameterKind;
use mudi_domain::rng;

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
