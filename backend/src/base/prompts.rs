//! Texts, as the denoiser takes them.

use mudi_diffusion::clip::ClipText;
use mudi_diffusion::emphasis::{self, Chunk};
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_diffusion::{Component, Engine};
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, Tensor, on_pool};

use super::{BaseError, Source};

/// Encoded texts, as the UNet takes them.
#[derive(Clone)]
pub struct EncodedPrompts {
    /// Text states, `[B, T, C]` row by row.
    pub context: Vec<f32>,
    /// Tokens of each text.
    pub tokens: usize,
    /// Width of the states.
    pub width: usize,
    /// Pooled projections, `[B, P]`, where the base has them.
    pub pooled: Option<Vec<f32>>,
}

/// A prompt, and what guidance leads away from, of as many tokens.
pub type Texts = [EncodedPrompts; 2];

/// The text encoders of a base model, with their tokenizers.
pub struct TextEncoders {
    encoders: Vec<(Tokenizer, ClipText<CandleEngine>)>,
    /// Whether the UNet asks for a pooled text.
    pooled: bool,
    /// Whether guidance without a negative prompt is away from nothing (zeros) rather than from the empty text; SDXL's is.
    zeros_for_empty_prompt: bool,
}

impl TextEncoders {
    /// Loads the text encoders of a base model.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn load(engine: &CandleEngine, source: &Source, precision: Precision) -> Result<Self, BaseError> {
        let configs = source.text_configs()?;
        if configs.is_empty() {
            return Err(BaseError::Missing { path: source.path().join(Component::TextEncoder.folder()) });
        }
        let mut encoders = Vec::new();
        for (config, component) in configs.into_iter().zip([Component::TextEncoder, Component::TextEncoder2])
        {
            let encoder =
                source.load(engine, component, precision, |parameters| ClipText::new(config, parameters))?;
            encoders.push((source.tokenizer(component)?, encoder));
        }
        Ok(Self {
            encoders,
            pooled: source.unet_config()?.has_text_time(),
            zeros_for_empty_prompt: source.zeros_for_empty_prompt()?,
        })
    }

    /// Encodes captions, in which brackets are brackets: SDXL's two encoders side by side, or the only one's last states. All
    /// get as many chunks of tokens as the longest needs, so that they fit into one batch.
    ///
    /// # Errors
    /// [`BaseError::Text`] and [`BaseError::Network`].
    pub fn encode_captions(
        &self,
        engine: &CandleEngine,
        captions: &[&str],
    ) -> Result<Vec<EncodedPrompts>, BaseError> {
        let chunks = |caption: &&str| -> Result<Vec<Vec<Chunk>>, BaseError> {
            let of = |(tokenizer, _): &(Tokenizer, _)| Ok(emphasis::plain_chunks(tokenizer, caption)?);
            self.encoders.iter().map(of).collect()
        };
        let all: Vec<Vec<Vec<Chunk>>> = captions.iter().map(chunks).collect::<Result<_, _>>()?;
        let count = all.iter().flatten().map(Vec::len).max().unwrap_or(1);
        all.into_iter().map(|chunks| self.weighted(engine, chunks, count)).collect()
    }

    /// States of `batch` sequences of tokens; `ids` has those of each encoder, end to end.
    fn states(
        &self,
        engine: &CandleEngine,
        ids: &[Vec<u32>],
        batch: usize,
    ) -> Result<EncodedPrompts, BaseError> {
        let mut context: Option<Tensor> = None;
        let mut pooled = None;
        for ((_, encoder), ids) in self.encoders.iter().zip(ids) {
            let text = on_pool(|| encoder.forward(engine, ids, batch))?;
            let states = if self.encoders.len() > 1 { text.penultimate } else { text.last };
            context = Some(match context {
                Some(first) => engine.concat(&first, &states, 2)?,
                None => states,
            });
            pooled = text.pooled;
        }
        // `load` has refused a model without text encoders.
        let context = context.map_or_else(|| engine.from_slice(&[], &[batch, 0, 0]), Ok)?;
        let shape = engine.shape(&context);
        let pooled = pooled.filter(|_| self.pooled);
        Ok(EncodedPrompts {
            context: engine.to_vec(&context)?,
            tokens: shape[1],
            width: shape[2],
            pooled: pooled.map(|pooled| engine.to_vec(&pooled)).transpose()?,
        })
    }

    /// Encodes a prompt of any length with weights (`(word:1.2)`), and what guidance leads away from, both of as many tokens:
    /// the shorter one gets chunks of the empty text.
    ///
    /// # Errors
    /// [`BaseError::Text`] and [`BaseError::Network`].
    pub fn encode_pair(
        &self,
        engine: &CandleEngine,
        prompt: &str,
        negative: &str,
    ) -> Result<Texts, BaseError> {
        let positive = self.chunks(prompt)?;
        let other = self.chunks(negative)?;
        let count = positive.iter().chain(&other).map(Vec::len).max().unwrap_or(1);
        let positive = self.weighted(engine, positive, count)?;
        let mut other = self.weighted(engine, other, count)?;
        if negative.is_empty() && self.zeros_for_empty_prompt {
            other.context.fill(0.0);
            other.pooled.iter_mut().for_each(|pooled| pooled.fill(0.0));
        }
        Ok([positive, other])
    }

    /// The chunks of a prompt for each encoder.
    fn chunks(&self, prompt: &str) -> Result<Vec<Vec<Chunk>>, BaseError> {
        self.encoders.iter().map(|(tokenizer, _)| Ok(emphasis::chunks(tokenizer, prompt)?)).collect()
    }

    /// States of all chunks end to end, as one text of `count` chunks; the pooled text is the first one's. A token of weight
    /// w has w times the difference from the empty text at its place, as ComfyUI has it.
    fn weighted(
        &self,
        engine: &CandleEngine,
        mut chunks: Vec<Vec<Chunk>>,
        count: usize,
    ) -> Result<EncodedPrompts, BaseError> {
        for (own, (tokenizer, _)) in chunks.iter_mut().zip(&self.encoders) {
            own.resize_with(count, || Chunk::empty(tokenizer));
        }
        let plain = chunks.iter().flatten().all(Chunk::is_plain);
        let mut batch = count;
        let mut ids: Vec<Vec<u32>> = chunks
            .iter()
            .map(|own| own.iter().flat_map(|chunk| chunk.ids.iter().copied()).collect())
            .collect();
        if !plain {
            batch += 1;
            for (ids, (tokenizer, _)) in ids.iter_mut().zip(&self.encoders) {
                ids.extend(Chunk::empty(tokenizer).ids);
            }
        }
        let mut text = self.states(engine, &ids, batch)?;
        let each = text.tokens * text.width;
        if !plain {
            let (states, empty) = text.context.split_at_mut(count * each);
            let mut start = 0;
            for (own, (_, encoder)) in chunks.iter().zip(&self.encoders) {
                let width = encoder.config.hidden_size;
                let weights = own.iter().flat_map(|chunk| &chunk.weights);
                for ((row, weight), at) in states.chunks_exact_mut(text.width).zip(weights).zip(0..) {
                    let base = &empty[at % text.tokens * text.width..][..text.width];
                    for column in start..start + width {
                        row[column] = base[column] + weight * (row[column] - base[column]);
                    }
                }
                start += width;
            }
            text.context.truncate(count * each);
        }
        if let Some(pooled) = &mut text.pooled {
            pooled.truncate(pooled.len() / batch);
        }
        Ok(EncodedPrompts { tokens: count * text.tokens, ..text })
    }
}
