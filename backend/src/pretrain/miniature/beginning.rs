//! What OWLv2's miniature begins with: pocket's text encoder, and perhaps the blocks of DINOv2's miniature, which have the same
//! shape, or an earlier OWLv2. All know toys already; boxes alone teach them slowly.
//!
//! Pocket's text encoder tells kinds apart, but colours hardly, and what stands before a noun sways it as much as the noun. So its
//! projection is set anew: it reads out what texts on toys are to mean ([`Query::meaning`]). The text tower learns nothing after
//! that. (In OWL-ViT it learns at a hundredth of the rate. At the full one, what all kinds have in common, being there, drives their
//! texts into one direction.)

use std::path::Path;

use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::{Engine, Error, ParameterKind, Parameters};
use mudi_engine_candle::weights::{FileWeights, Precision};
use mudi_engine_candle::{CandleEngine, on_pool};
use mudi_toybox::Color;

use super::PretrainError;
use super::initial::initial;
use super::texts::{BEFORE, Query};
use crate::base::{load_network, load_tokenizer, read_config, weights_file};
use crate::ridge::readout;

/// What the names of the towers begin with.
const TEXT: &str = "owlv2.text_";
const IMAGE: &str = "owlv2.vision_model.";

/// Names of OWLv2's image tower, and of DINOv2, for the same weight.
const NAMES: [(&str, &str); 10] = [
    ("embeddings.class_embedding", "embeddings.cls_token"),
    ("embeddings.patch_embedding", "embeddings.patch_embeddings.projection"),
    ("encoder.layers.", "encoder.layer."),
    (".layer_norm1.", ".norm1."),
    (".layer_norm2.", ".norm2."),
    (".self_attn.q_proj.", ".attention.attention.query."),
    (".self_attn.k_proj.", ".attention.attention.key."),
    (".self_attn.v_proj.", ".attention.attention.value."),
    (".self_attn.out_proj.", ".attention.output.dense."),
    // As it is.
    (".mlp.", ".mlp."),
];

/// What is set anew of the text encoder.
const PROJECTION: &str = "text_projection.weight";

/// The projection that reads out what texts on toys are to mean.
fn projection(engine: &CandleEngine, base: &Path, config: ClipTextConfig) -> Result<Vec<f32>, PretrainError> {
    let tokenizer = load_tokenizer(&base.join("tokenizer_2"))?;
    let width = config.hidden_size;
    let encoder = load_network(engine, &base.join("text_encoder_2"), Precision::Single, |parameters| {
        ClipText::new(config, parameters)
    })?;
    let (mut ids, mut at, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for query in Query::all() {
        // A kind alone counts as much as all its colours together.
        let times = if query.color.is_none() { Color::ALL.len() } else { 1 };
        for before in BEFORE {
            let encoded = tokenizer.encode(&query.words(before))?;
            for _ in 0..times {
                at.push(encoded.eos_position);
                ids.extend_from_slice(&encoded.ids);
                wanted.extend(query.meaning(width));
            }
        }
    }
    let states = on_pool(|| {
        let encoded = encoder.forward(engine, &ids, at.len())?;
        engine.to_vec(&engine.select_positions(&encoded.last, &at)?)
    })?;
    Ok(readout(&states, width, &wanted, width))
}

/// Weights of other networks.
pub(super) struct Beginning {
    engine: CandleEngine,
    seed: u64,
    text: FileWeights,
    /// Texts that the text encoder reads have at most so many tokens.
    positions: usize,
    blocks: Option<FileWeights>,
    /// The text tower's.
    projection: Vec<f32>,
    failed: Option<Error>,
}

impl Beginning {
    /// Those of the base model in `base` and, where one is named, of a DINOv2 in `from`.
    pub(super) fn open(seed: u64, base: &Path, from: Option<&Path>) -> Result<Self, PretrainError> {
        let engine = CandleEngine::cpu();
        let folder = base.join("text_encoder_2");
        let config: ClipTextConfig = read_config(&folder)?;
        let text = FileWeights::open(&engine, &weights_file(&folder)?)?;
        let blocks = match from {
            Some(folder) => Some(FileWeights::open(&engine, &weights_file(folder)?)?),
            None => None,
        };
        let positions = config.max_position_embeddings;
        let projection = projection(&engine, base, config)?;
        Ok(Self { engine, seed, text, positions, blocks, projection, failed: None })
    }

    /// The values of a weight of OWLv2, in the engine's layout; new ones where no other network has it.
    pub(super) fn values(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Vec<f32> {
        match self.taken(name, shape, kind) {
            Ok(Some(values)) => values,
            Ok(None) => initial(self.seed, name, shape, kind),
            Err(error) => {
                self.failed.get_or_insert(error);
                vec![0.0; shape.iter().product()]
            }
        }
    }

    /// Fails where a weight was missing or misshapen.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.failed.map_or(Ok(()), Err)
    }

    fn taken(
        &mut self,
        name: &str,
        shape: &[usize],
        kind: ParameterKind,
    ) -> mudi_diffusion::Result<Option<Vec<f32>>> {
        let count: usize = shape.iter().product();
        if let Some(own) = name.strip_prefix("owlv2.").filter(|_| name.starts_with(TEXT)) {
            if own == PROJECTION {
                return Ok(Some(self.projection.clone()));
            }
            let mut whole = shape.to_vec();
            if own.ends_with("position_embedding.weight") {
                whole[0] = self.positions;
            }
            let mut values = self.engine.to_vec(&self.text.get(own, &whole, kind)?)?;
            values.truncate(count);
            return Ok(Some(values));
        }
        let Some(blocks) = &mut self.blocks else { return Ok(None) };
        if blocks.contains("owlv2.vision_model.post_layernorm.weight") {
            return Ok(Some(self.engine.to_vec(&blocks.get(name, shape, kind)?)?));
        }
        let Some(own) = name.strip_prefix(IMAGE) else { return Ok(None) };
        // Crops have positions of their own, no norm before the blocks, and nothing is multiplied after them.
        let norm = own.starts_with("pre_layernorm") || own.starts_with("post_layernorm");
        if norm || own.contains("position_embedding") {
            return Ok(None);
        }
        let theirs = NAMES.iter().fold(own.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs));
        let their_shape = if theirs.ends_with("cls_token") { vec![1, 1, shape[0]] } else { shape.to_vec() };
        let mut values = self.engine.to_vec(&blocks.get(&theirs, &their_shape, kind)?)?;
        // What is added is scaled there by a factor for each channel.
        let scale = [(".attention.output.dense.", 1), (".mlp.fc2.", 2)]
            .into_iter()
            .find_map(|(layer, index)| Some((theirs.split_once(layer)?.0, index)));
        if let Some((block, index)) = scale {
            let width = shape[0];
            let name = format!("{block}.layer_scale{index}.lambda1");
            let factors = self.engine.to_vec(&blocks.get(&name, &[width], ParameterKind::NormScale)?)?;
            for (row, factor) in values.chunks_exact_mut(count / width).zip(factors) {
                row.iter_mut().for_each(|value| *value *= factor);
            }
        }
        Ok(Some(values))
    }
}
