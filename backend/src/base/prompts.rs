//! Texts, as the denoiser takes them.

use std::ops::Range;

use mudi_diffusion::clip::ClipText;
use mudi_diffusion::emphasis::{self, Chunk};
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_diffusion::{Component, Engine};
use mudi_engine_candle::lora::{self, Attachment};
use mudi_engine_candle::weights::{Precision, Trainable};
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

impl EncodedPrompts {
    /// Some of a batch of `batch` texts.
    pub(crate) fn part(&self, part: Range<usize>, batch: usize) -> Self {
        let of = |all: &[f32]| {
            let each = all.len() / batch;
            all[part.start * each..part.end * each].to_vec()
        };
        Self { context: of(&self.context), pooled: self.pooled.as_deref().map(of), ..*self }
    }

    /// The same on the engine, for a batch.
    pub(crate) fn on(&self, engine: &CandleEngine, batch: usize) -> Result<TextStates, BaseError> {
        let pooled =
            self.pooled.as_ref().map(|values| engine.from_slice(values, &[batch, values.len() / batch]));
        Ok(TextStates {
            context: engine.from_slice(&self.context, &[batch, self.tokens, self.width])?,
            pooled: pooled.transpose()?,
        })
    }
}

/// Encoded texts on the engine, through which gradients flow to the encoders' LoRA where that learns.
#[derive(Clone)]
pub struct TextStates {
    /// Text states, `[B, T, C]`.
    pub context: Tensor,
    /// Pooled projections, `[B, P]`, where the base has them.
    pub pooled: Option<Tensor>,
}

impl TextStates {
    fn read(&self, engine: &CandleEngine) -> Result<EncodedPrompts, BaseError> {
        let shape = engine.shape(&self.context);
        Ok(EncodedPrompts {
            context: engine.to_vec(&self.context)?,
            tokens: shape[1],
            width: shape[2],
            pooled: self.pooled.as_ref().map(|pooled| engine.to_vec(pooled)).transpose()?,
        })
    }
}

/// A caption's tokens.
#[derive(Clone)]
pub struct Tokens {
    /// Of each encoder, chunk after chunk.
    ids: Vec<Vec<u32>>,
    /// How many chunks.
    chunks: usize,
}

/// The encoders' places in a base model.
const COMPONENTS: [Component; 2] = [Component::TextEncoder, Component::TextEncoder2];

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
        for (config, component) in configs.into_iter().zip(COMPONENTS) {
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
        let encode = |tokens: &Tokens| self.encode_tokens(engine, &[tokens])?.read(engine);
        self.tokens(captions)?.iter().map(encode).collect()
    }

    /// The tokens of captions, in which brackets are brackets: of all as many as the longest needs.
    ///
    /// # Errors
    /// [`BaseError::Text`].
    pub fn tokens(&self, captions: &[&str]) -> Result<Vec<Tokens>, BaseError> {
        let chunks = |caption: &&str| -> Result<Vec<Vec<Chunk>>, BaseError> {
            let of = |(tokenizer, _): &(Tokenizer, _)| Ok(emphasis::plain_chunks(tokenizer, caption)?);
            self.encoders.iter().map(of).collect()
        };
        let mut all: Vec<Vec<Vec<Chunk>>> = captions.iter().map(chunks).collect::<Result<_, _>>()?;
        let count = all.iter().flatten().map(Vec::len).max().unwrap_or(1);
        let tokens = |chunks: &mut Vec<Vec<Chunk>>| {
            self.pad(chunks, count);
            Tokens { ids: ids(chunks), chunks: count }
        };
        Ok(all.iter_mut().map(tokens).collect())
    }

    /// Encodes captions of as many tokens each, with the LoRA that is attached.
    ///
    /// # Errors
    /// [`BaseError::Network`].
    pub fn encode_tokens(
        &self,
        engine: &CandleEngine,
        captions: &[&Tokens],
    ) -> Result<TextStates, BaseError> {
        let batch = captions.len();
        let chunks = captions.first().map_or(0, |tokens| tokens.chunks);
        let of = |encoder: usize| captions.iter().flat_map(|tokens| &tokens.ids[encoder]).copied().collect();
        let ids: Vec<Vec<u32>> = (0..self.encoders.len()).map(of).collect();
        let states = self.states(engine, &ids, batch * chunks, 1.0)?;
        if chunks == 1 {
            return Ok(states);
        }
        let context = engine.shape(&states.context);
        let pooled = states.pooled.map(|pooled| {
            let width = engine.shape(&pooled)[1];
            let pooled = engine.reshape(&pooled, &[batch, chunks, width])?;
            // A text's pooled state is that of its first chunk.
            engine.select_positions(&pooled, &vec![0; batch])
        });
        Ok(TextStates {
            context: engine.reshape(&states.context, &[batch, chunks * context[1], context[2]])?,
            pooled: pooled.transpose()?,
        })
    }

    /// Attaches a LoRA that learns to the attentions of every encoder, as [`lora::attach_trainable_text`] does.
    ///
    /// # Errors
    /// [`BaseError::Network`].
    pub fn attach_trainable(
        &mut self,
        rank: usize,
        alpha: f32,
        mut init: impl FnMut(&str, &[usize]) -> Vec<f32>,
    ) -> Result<Vec<Trainable>, BaseError> {
        let mut made = Vec::new();
        for ((_, encoder), component) in self.encoders.iter_mut().zip(COMPONENTS) {
            made.extend(lora::attach_trainable_text(encoder, component, rank, alpha, &mut init)?);
        }
        Ok(made)
    }

    /// Attaches what a LoRA has for the encoders.
    ///
    /// # Errors
    /// [`BaseError::Lora`].
    pub fn attach(&mut self, lora: &Attachment) -> Result<(), BaseError> {
        for ((_, encoder), component) in self.encoders.iter_mut().zip(COMPONENTS) {
            lora.attach(component, encoder.adaptable())?;
        }
        Ok(())
    }

    /// Takes every LoRA away.
    pub fn detach(&mut self) {
        self.encoders.iter_mut().for_each(|(_, encoder)| lora::detach(encoder.adaptable()));
    }

    /// States of `batch` sequences of tokens; `ids` has those of each encoder, end to end.
    fn states(
        &self,
        engine: &CandleEngine,
        ids: &[Vec<u32>],
        batch: usize,
        lora_scale: f32,
    ) -> Result<TextStates, BaseError> {
        let mut context: Option<Tensor> = None;
        let mut pooled = None;
        for ((_, encoder), ids) in self.encoders.iter().zip(ids) {
            let text = on_pool(|| encoder.forward_with(engine, ids, batch, lora_scale))?;
            let states = if self.encoders.len() > 1 { text.penultimate } else { text.last };
            context = Some(match context {
                Some(first) => engine.concat(&first, &states, 2)?,
                None => states,
            });
            pooled = text.pooled;
        }
        // `load` has refused a model without text encoders.
        let context = context.map_or_else(|| engine.from_slice(&[], &[batch, 0, 0]), Ok)?;
        Ok(TextStates { context, pooled: pooled.filter(|_| self.pooled) })
    }

    /// Encodes a prompt of any length with weights (`(word:1.2)`), and what guidance leads away from, both of as many tokens:
    /// the shorter one gets chunks of the empty text. The own scale of a LoRA that is attached is multiplied by `lora_scale`.
    ///
    /// # Errors
    /// [`BaseError::Text`] and [`BaseError::Network`].
    pub fn encode_pair(
        &self,
        engine: &CandleEngine,
        prompt: &str,
        negative: &str,
        lora_scale: f32,
    ) -> Result<Texts, BaseError> {
        let positive = self.chunks(prompt)?;
        let other = self.chunks(negative)?;
        let count = positive.iter().chain(&other).map(Vec::len).max().unwrap_or(1);
        let positive = self.weighted(engine, positive, count, lora_scale)?;
        let mut other = self.weighted(engine, other, count, lora_scale)?;
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

    /// Gives a text `count` chunks for each encoder; those that it has not are of the empty text.
    fn pad(&self, chunks: &mut [Vec<Chunk>], count: usize) {
        for (own, (tokenizer, _)) in chunks.iter_mut().zip(&self.encoders) {
            own.resize_with(count, || Chunk::empty(tokenizer));
        }
    }

    /// States of all chunks end to end, as one text of `count` chunks; the pooled text is the first one's. A token of weight
    /// w has w times the difference from the empty text at its place, as ComfyUI has it.
    fn weighted(
        &self,
        engine: &CandleEngine,
        mut chunks: Vec<Vec<Chunk>>,
        count: usize,
        lora_scale: f32,
    ) -> Result<EncodedPrompts, BaseError> {
        self.pad(&mut chunks, count);
        let plain = chunks.iter().flatten().all(Chunk::is_plain);
        let mut batch = count;
        let mut ids = ids(&chunks);
        if !plain {
            batch += 1;
            for (ids, (tokenizer, _)) in ids.iter_mut().zip(&self.encoders) {
                ids.extend(Chunk::empty(tokenizer).ids);
            }
        }
        let mut text = self.states(engine, &ids, batch, lora_scale)?.read(engine)?;
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

/// The tokens of chunks for each encoder, end to end.
fn ids(chunks: &[Vec<Chunk>]) -> Vec<Vec<u32>> {
    let of = |own: &Vec<Chunk>| own.iter().flat_map(|chunk| chunk.ids.iter().copied()).collect();
    chunks.iter().map(of).collect()
}
