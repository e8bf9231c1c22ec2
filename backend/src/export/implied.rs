//! What programs that read a checkpoint file take for its networks' configurations, which it does not hold: they know the published
//! models, and tell them apart by the shapes of the tensors.

use mudi_diffusion::clip::ClipTextConfig;
use mudi_diffusion::ldm::{Checkpoint, ShapeOf};
use mudi_diffusion::unet::UNetConfig;
use mudi_diffusion::vae::VaeConfig;

/// Tokens of CLIP's vocabulary, which every published model has.
const VOCABULARY: usize = 49_408;

/// What of these networks a file with tensors of these shapes cannot say; none where it is taken for what they are.
pub(super) fn unsaid(own: &Checkpoint, shape: &ShapeOf<'_>) -> Option<&'static str> {
    let Ok(read) = Checkpoint::detect(shape) else { return Some("how a base's networks are built") };
    if own.text.len() != read.text.len() {
        return Some("how many text encoders a base has");
    }
    let texts = || own.text.iter().zip(&read.text).map(|(own, read)| (&own.config, &read.config));
    texts()
        .find_map(|(own, read)| text(own, read))
        .or_else(|| unet(&own.unet, &read.unet))
        .or_else(|| vae(&own.vae, &read.vae))
}

/// The first of the values that is true.
fn first<const N: usize>(differences: [(bool, &'static str); N]) -> Option<&'static str> {
    differences.into_iter().find_map(|(differs, what)| differs.then_some(what))
}

fn text(own: &ClipTextConfig, read: &ClipTextConfig) -> Option<&'static str> {
    first([
        (own.vocab_size != VOCABULARY, "that a base's vocabulary is not CLIP's"),
        (
            own.num_attention_heads != read.num_attention_heads,
            "how many heads a text encoder's attentions have",
        ),
        (
            own.hidden_act != read.hidden_act,
            "that a text encoder has another activation than the published ones",
        ),
        (own.num_hidden_layers != read.num_hidden_layers, "which layers of a text encoder are used"),
        (own.layer_norm_eps != read.layer_norm_eps, "what a text encoder's norms add to variances"),
    ])
}

fn unet(own: &UNetConfig, read: &UNetConfig) -> Option<&'static str> {
    let sizes = |config: &UNetConfig| {
        let types = (config.down_block_types.clone(), config.up_block_types.clone());
        (config.block_out_channels.clone(), types, config.use_linear_projection, config.has_text_time())
    };
    let embedding = |config: &UNetConfig| config.has_text_time().then_some(config.addition_time_embed_dim);
    first([
        (
            sizes(own) != sizes(read) || own.transformers().ok() != read.transformers().ok(),
            "how a denoiser is built",
        ),
        (heads(own) != heads(read), "how many heads a denoiser's attentions have"),
        (own.norm_num_groups != read.norm_num_groups, "in how many groups a denoiser's norms are"),
        (own.norm_eps != read.norm_eps, "what a denoiser's norms add to variances"),
        (
            own.flip_sin_to_cos != read.flip_sin_to_cos
                || own.freq_shift != read.freq_shift
                || embedding(own) != embedding(read),
            "how a denoiser is told timesteps and sizes",
        ),
    ])
}

/// The levels whose blocks, or the middle block after them, have attentions.
fn with_attention(config: &UNetConfig) -> impl Iterator<Item = usize> {
    let last = config.block_out_channels.len().saturating_sub(1);
    let attends = move |(index, kind): (usize, &String)| {
        (index == last || kind.starts_with("CrossAttn")).then_some(index)
    };
    config.down_block_types.iter().enumerate().filter_map(attends)
}

fn heads(config: &UNetConfig) -> Vec<Option<usize>> {
    let heads = config.num_attention_heads.as_ref().unwrap_or(&config.attention_head_dim);
    with_attention(config).map(|level| heads.at(level, "attention_head_dim").ok()).collect()
}

fn vae(own: &VaeConfig, read: &VaeConfig) -> Option<&'static str> {
    let sizes = |config: &VaeConfig| (config.block_out_channels.clone(), config.layers_per_block);
    first([
        (sizes(own) != sizes(read), "how an autoencoder is built"),
        (own.norm_num_groups != read.norm_num_groups, "in how many groups an autoencoder's norms are"),
        ((own.scaling_factor - read.scaling_factor).abs() > 1e-4, "how latents are scaled"),
    ])
}
