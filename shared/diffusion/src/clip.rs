//! CLIP's text encoder: `CLIPTextModel` and `CLIPTextModelWithProjection` of transformers.

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{MAX_WIDTH, at_most, nullable};
use crate::engine::{Activation, Engine, ParameterKind, Parameters};
use crate::error::{Error, Result};
use crate::nn::{Adaptable, Builder, LayerNorm, Linear};

/// `text_encoder/config.json`. Fields that a file lacks are transformers' defaults.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// `CLIPTextModel` or `CLIPTextModelWithProjection`; the latter has a `text_projection`.
    #[serde(deserialize_with = "nullable")]
    pub architectures: Vec<String>,
    /// Number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// `quick_gelu` or `gelu`.
    pub hidden_act: String,
    /// Added to variances.
    pub layer_norm_eps: f32,
    /// Width of the pooled projection.
    pub projection_dim: usize,
    /// The token whose state is pooled. Old files say 2 and mean "the largest id", as transformers does.
    #[serde(deserialize_with = "eos")]
    pub eos_token_id: u32,
    /// `clip_text_model`, for transformers.
    pub model_type: String,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            architectures: Vec::new(),
            vocab_size: 49_408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".to_owned(),
            layer_norm_eps: 1e-5,
            projection_dim: 512,
            eos_token_id: EOS,
            model_type: "clip_text_model".to_owned(),
        }
    }
}

/// The class of an encoder whose pooled state is projected.
pub(crate) const WITH_PROJECTION: &str = "CLIPTextModelWithProjection";

/// transformers' default, the end token of CLIP's own vocabulary.
const EOS: u32 = 49_407;

/// Null is the default.
fn eos<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(EOS))
}

/// Old configurations carry this end-of-text id, whatever the vocabulary; the end is then the largest id of the sequence.
pub(crate) const LEGACY_EOS: u32 = 2;

/// More layers than any text encoder has.
const MAX_LAYERS: usize = 1000;

impl ClipTextConfig {
    /// Refuses a text encoder of another kind than CLIP's, whose configuration says little that is read here.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check_kind(&self) -> Result<()> {
        if self.model_type.starts_with("clip") {
            return Ok(());
        }
        Err(Error::Config(format!(
            "this text encoder is a `{}` (`model_type`), and CLIP's alone are supported; take a base of SD 1.5, SD 2.1 or SDXL",
            self.model_type
        )))
    }

    /// The same as SDXL's second text encoder, which has a projection, as the pipeline's class says, whatever the class is that the
    /// configuration names.
    #[must_use]
    pub fn of_second(self) -> Self {
        Self { architectures: vec![WITH_PROJECTION.to_owned()], ..self }
    }

    pub(crate) fn with_projection(&self) -> bool {
        self.architectures.iter().any(|name| name == WITH_PROJECTION)
    }

    fn activation(&self) -> Result<Activation> {
        match self.hidden_act.as_str() {
            "quick_gelu" => Ok(Activation::QuickGelu),
            "gelu" => Ok(Activation::Gelu),
            "silu" => Ok(Activation::Silu),
            other => {
                Err(Error::Config(format!("`hidden_act` is {other:?}; known are quick_gelu, gelu, silu")))
            }
        }
    }

    /// The position that is pooled in one sequence of `ids`.
    #[must_use]
    pub fn pooled_position(&self, ids: &[u32]) -> usize {
        let end = if self.eos_token_id == LEGACY_EOS {
            ids.iter().copied().max().unwrap_or(0)
        } else {
            self.eos_token_id
        };
        ids.iter().position(|&id| id == end).unwrap_or(0)
    }
}

struct Layer<E: Engine> {
    norm_attention: LayerNorm<E>,
    q: Linear<E>,
    k: Linear<E>,
    v: Linear<E>,
    out: Linear<E>,
    norm_mlp: LayerNorm<E>,
    fc1: Linear<E>,
    fc2: Linear<E>,
}

/// A text encoder.
pub struct ClipText<E: Engine> {
    /// Its configuration.
    pub config: ClipTextConfig,
    tokens: E::Tensor,
    positions: E::Tensor,
    layers: Vec<Layer<E>>,
    final_norm: LayerNorm<E>,
    projection: Option<Linear<E>>,
    activation: Activation,
}

/// What a text encoder makes of a batch of token sequences.
pub struct EncodedText<E: Engine> {
    /// Hidden states before the last layer, not normalized `[B, T, C]`: what SDXL is conditioned on.
    pub penultimate: E::Tensor,
    /// Hidden states after the last layer and the final norm `[B, T, C]`: what SD 1.5 and 2.1 are conditioned on.
    pub last: E::Tensor,
    /// The projected state at the end token `[B, P]`, of encoders with a projection.
    pub pooled: Option<E::Tensor>,
}

impl<E: Engine> ClipText<E> {
    /// Builds the encoder.
    ///
    /// # Errors
    /// A configuration that no encoder can have; weights that are missing or misshapen.
    pub fn new(config: ClipTextConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        let activation = config.activation()?;
        let width = config.hidden_size;
        at_most("hidden_size", width, MAX_WIDTH)?;
        at_most("num_hidden_layers", config.num_hidden_layers, MAX_LAYERS)?;
        if config.num_attention_heads == 0 || !width.is_multiple_of(config.num_attention_heads) {
            return Err(Error::Config(format!(
                "`hidden_size` {width} is not a multiple of `num_attention_heads` {}",
                config.num_attention_heads
            )));
        }
        let with_projection = config.with_projection();
        if !with_projection {
            // As transformers does, for which the class counts and not what else the file holds.
            parameters.pass_over("text_projection.weight");
        }
        let mut root = Builder::new(parameters, "");
        // Some versions of transformers write the names without this prefix.
        let prefix =
            if root.contains("text_model.embeddings.token_embedding.weight") { "text_model" } else { "" };
        let projection = with_projection
            .then(|| root.linear_no_bias("text_projection", width, config.projection_dim))
            .transpose()?;
        let mut model = Builder::new(parameters, prefix);
        let mut embeddings = model.at("embeddings");
        let tokens = embeddings.parameter(
            "token_embedding.weight",
            &[config.vocab_size, width],
            ParameterKind::Embedding,
        )?;
        let positions = embeddings.parameter(
            "position_embedding.weight",
            &[config.max_position_embeddings, width],
            ParameterKind::Embedding,
        )?;
        let eps = config.layer_norm_eps;
        let layers = (0..config.num_hidden_layers)
            .map(|index| {
                let path = format!("encoder.layers.{index}");
                let mut at = model.at(&path);
                let linear = |at: &mut Builder<'_, E>, name: &str, inputs, outputs| -> Result<_> {
                    let mut layer = at.linear(name, inputs, outputs)?;
                    // LoRA files have the prefix, whatever this file has.
                    layer.path = format!("text_model.{path}.{name}");
                    Ok(layer)
                };
                Ok(Layer {
                    norm_attention: at.layer_norm("layer_norm1", width, eps)?,
                    q: linear(&mut at, "self_attn.q_proj", width, width)?,
                    k: linear(&mut at, "self_attn.k_proj", width, width)?,
                    v: linear(&mut at, "self_attn.v_proj", width, width)?,
                    out: linear(&mut at, "self_attn.out_proj", width, width)?,
                    norm_mlp: at.layer_norm("layer_norm2", width, eps)?,
                    fc1: linear(&mut at, "mlp.fc1", width, config.intermediate_size)?,
                    fc2: linear(&mut at, "mlp.fc2", config.intermediate_size, width)?,
                })
            })
            .collect::<Result<_>>()?;
        let final_norm = model.layer_norm("final_layer_norm", width, eps)?;
        Ok(Self { config, tokens, positions, layers, final_norm, projection, activation })
    }

    /// Encodes `batch` sequences of one length, laid end to end in `ids`.
    ///
    /// # Errors
    /// Ids outside the vocabulary; sequences longer than the encoder's positions.
    pub fn forward(&self, engine: &E, ids: &[u32], batch: usize) -> Result<EncodedText<E>> {
        self.forward_with(engine, ids, batch, 1.0)
    }

    /// The same with every LoRA's own scale multiplied by `lora_scale`; at 0 they are not computed.
    ///
    /// # Errors
    /// Those of [`forward`](Self::forward).
    pub fn forward_with(
        &self,
        engine: &E,
        ids: &[u32],
        batch: usize,
        lora_scale: f32,
    ) -> Result<EncodedText<E>> {
        let input = |reason: String| Error::Input { name: "input_ids", reason };
        if batch == 0 || ids.is_empty() || !ids.len().is_multiple_of(batch) {
            return Err(input(format!("{} ids cannot be {batch} sequences of one length", ids.len())));
        }
        let length = ids.len() / batch;
        if length > self.config.max_position_embeddings {
            return Err(input(format!(
                "{length} tokens, but this encoder reads at most {}",
                self.config.max_position_embeddings
            )));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            return Err(input(format!("id {id} is outside the vocabulary of {}", self.config.vocab_size)));
        }
        let mut x = engine.add_positions(&engine.embedding(&self.tokens, ids, batch)?, &self.positions)?;
        let mut penultimate = x.clone();
        for layer in &self.layers {
            penultimate = x.clone();
            x = self.layer(engine, layer, &x, lora_scale)?;
        }
        let last = self.final_norm.forward(engine, &x)?;
        let pooled = match &self.projection {
            None => None,
            Some(projection) => {
                let at: Vec<usize> = ids.chunks(length).map(|ids| self.config.pooled_position(ids)).collect();
                Some(projection.forward(engine, &engine.select_positions(&last, &at)?)?)
            }
        };
        Ok(EncodedText { penultimate, last, pooled })
    }

    fn layer(&self, engine: &E, layer: &Layer<E>, x: &E::Tensor, lora: f32) -> Result<E::Tensor> {
        let y = layer.norm_attention.forward(engine, x)?;
        let q = layer.q.forward_with(engine, &y, lora)?;
        let k = layer.k.forward_with(engine, &y, lora)?;
        let v = layer.v.forward_with(engine, &y, lora)?;
        let y = engine.attention(&q, &k, &v, self.config.num_attention_heads, true)?;
        let x = engine.add(x, &layer.out.forward_with(engine, &y, lora)?)?;
        let y = layer.fc1.forward_with(engine, &layer.norm_mlp.forward(engine, &x)?, lora)?;
        let y = layer.fc2.forward_with(engine, &engine.activation(&y, self.activation)?, lora)?;
        engine.add(&x, &y)
    }

    /// The layers that a LoRA can be attached to: every linear layer but the projection of the pooled state.
    pub fn adaptable(&mut self) -> impl Iterator<Item = Adaptable<'_, E>> {
        self.layers.iter_mut().flat_map(|layer| {
            let Layer { q, k, v, out, fc1, fc2, .. } = layer;
            [q, k, v, out, fc1, fc2].map(Adaptable::Linear)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ClipTextConfig;
    use crate::config::parse;

    fn config(fields: &str) -> ClipTextConfig {
        let sizes = r#""vocab_size": 49408, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "max_position_embeddings": 77, "hidden_act": "gelu""#;
        parse(&format!("{{{sizes}{fields}}}")).unwrap()
    }

    #[test]
    fn the_state_that_is_pooled_is_the_one_that_transformers_takes() {
        // A token that was added to the vocabulary has a larger id than the end.
        let ids = [49_406, 49_408, 320, 49_407, 49_407];
        for (fields, at) in [
            ("", 3),
            (r#", "eos_token_id": null, "architectures": null"#, 3),
            (r#", "eos_token_id": 2"#, 1),
            (r#", "eos_token_id": 320"#, 2),
        ] {
            assert_eq!(config(fields).pooled_position(&ids), at, "{fields}");
        }
    }

    #[test]
    fn what_a_configuration_does_not_say_is_transformers_default() {
        let config: ClipTextConfig = parse("{}").unwrap();
        let sizes = [config.vocab_size, config.hidden_size, config.intermediate_size, config.projection_dim];
        assert_eq!(sizes, [49_408, 512, 2048, 512]);
        let layers = [config.num_hidden_layers, config.num_attention_heads, config.max_position_embeddings];
        assert_eq!((layers, config.hidden_act.as_str()), ([12, 8, 77], "quick_gelu"));
        assert!(config.check_kind().is_ok());
        assert!(!config.with_projection() && config.of_second().with_projection());
        // Kolors' encoder, which would be taken for one that says nothing.
        let other: ClipTextConfig = parse(r#"{"model_type": "chatglm", "hidden_size": 4096}"#).unwrap();
        let error = other.check_kind().unwrap_err().to_string();
        assert!(error.contains("`chatglm`") && error.contains("take a base"), "{error}");
    }
}
