//! Texts, as denoisers take them: one or two CLIP encoders side by side, texts of any length, prompts with weights.

use crate::clip::{ClipText, ClipTextConfig};
use crate::component::Component;
use crate::emphasis::{self, Chunk};
use crate::engine::Engine;
use crate::error::Error;
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::unet::UNetConfig;

/// Refuses a denoiser that reads something else than what these text encoders, and the sizes of pictures, give.
///
/// # Errors
/// [`Error::Config`].
pub fn check_fit(unet: &UNetConfig, encoders: &[ClipTextConfig]) -> Result<(), Error> {
    let read = unet.cross_attention_dim.at(0, "cross_attention_dim")?;
    let given = encoders.iter().fold(0usize, |sum, encoder| sum.saturating_add(encoder.hidden_size));
    if read != given {
        return Err(Error::Config(format!(
            "the denoiser reads text states of {read} values (`cross_attention_dim`), and the text encoders give {given}; take a base whose networks belong together"
        )));
    }
    if !unet.has_text_time() {
        return Ok(());
    }
    let pooled = encoders.last().filter(|encoder| encoder.with_projection());
    let sizes = unet.addition_time_embed_dim.unwrap_or(0).saturating_mul(6);
    let given = pooled.map_or(0, |encoder| encoder.projection_dim).saturating_add(sizes);
    match unet.projection_class_embeddings_input_dim {
        Some(read) if read != given => Err(Error::Config(format!(
            "the denoiser reads {read} values beside the text states, where a pooled text and six sizes are {given}, as of SDXL's refiner or of models for variations, which are not supported; take a base that makes pictures from text alone"
        ))),
        _ => Ok(()),
    }
}

/// Encoded texts on an engine; gradients flow through them where encoders learn.
pub struct TextStates<E: Engine> {
    /// Text states, `[B, T, C]`.
    pub context: E::Tensor,
    /// Pooled projections, `[B, P]`, where the base has them.
    pub pooled: Option<E::Tensor>,
}

// Derived, this would ask the same of the engine.
impl<E: Engine> Clone for TextStates<E> {
    fn clone(&self) -> Self {
        Self { context: self.context.clone(), pooled: self.pooled.clone() }
    }
}

/// A text's tokens, in chunks of what an encoder reads at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// Of each encoder; all have as many.
    chunks: Vec<Vec<Chunk>>,
    /// Whether there is no text at all.
    empty: bool,
}

impl Tokens {
    fn count(&self) -> usize {
        self.chunks.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn is_plain(&self) -> bool {
        self.chunks.iter().flatten().all(Chunk::is_plain)
    }
}

/// The encoders' places in a base model.
const COMPONENTS: [Component; 2] = [Component::TextEncoder, Component::TextEncoder2];

/// The text encoders of a base model, with their tokenizers.
pub struct TextEncoders<E: Engine> {
    encoders: Vec<(Tokenizer, ClipText<E>)>,
    pooled: bool,
    zeros_for_empty_prompt: bool,
}

impl<E: Engine> TextEncoders<E> {
    /// The only encoder of SD 1.5 and 2.1, or SDXL's two. `pooled`: whether the denoiser asks for a pooled text.
    /// `zeros_for_empty_prompt`: whether guidance without a negative prompt is away from nothing (zeros) rather than from the empty text,
    /// as SDXL's is.
    pub fn new(
        first: (Tokenizer, ClipText<E>),
        second: Option<(Tokenizer, ClipText<E>)>,
        pooled: bool,
        zeros_for_empty_prompt: bool,
    ) -> Self {
        Self { encoders: std::iter::once(first).chain(second).collect(), pooled, zeros_for_empty_prompt }
    }

    /// The encoders and their places, for a LoRA.
    pub fn encoders_mut(&mut self) -> impl Iterator<Item = (Component, &mut ClipText<E>)> {
        COMPONENTS.into_iter().zip(self.encoders.iter_mut().map(|(_, encoder)| encoder))
    }

    /// The tokens of a prompt with weights, such as `(word:1.2)`.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn prompt(&self, text: &str) -> Result<Tokens, TokenizerError> {
        self.tokens(text, emphasis::chunks)
    }

    /// The tokens of a caption, in which brackets are brackets.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn caption(&self, text: &str) -> Result<Tokens, TokenizerError> {
        self.tokens(text, emphasis::plain_chunks)
    }

    fn tokens(
        &self,
        text: &str,
        chunks: impl Fn(&Tokenizer, &str) -> Result<Vec<Chunk>, TokenizerError>,
    ) -> Result<Tokens, TokenizerError> {
        let of = |(tokenizer, _): &(Tokenizer, _)| chunks(tokenizer, text);
        let chunks = self.encoders.iter().map(of).collect::<Result<_, _>>()?;
        let mut tokens = [Tokens { chunks, empty: text.is_empty() }];
        self.level(&mut tokens);
        let [tokens] = tokens;
        Ok(tokens)
    }

    /// Gives all texts as many chunks as the longest has, so that they fit into one batch; those that a text has not are of the empty
    /// text.
    pub fn level(&self, texts: &mut [Tokens]) {
        let count = texts.iter().map(Tokens::count).max().unwrap_or(0);
        for text in texts {
            for (chunks, (tokenizer, _)) in text.chunks.iter_mut().zip(&self.encoders) {
                chunks.resize_with(count, || Chunk::empty(tokenizer));
            }
        }
    }

    /// Encodes texts of as many chunks each: SDXL's two encoders side by side, or the only one's last states. A LoRA's own scale is
    /// multiplied by `lora_scale`. A text's states are those of its chunks, one after the other; its pooled state is the first one's. A
    /// token of weight w has w times the difference from the empty text at its place, as ComfyUI has it.
    ///
    /// # Errors
    /// Engine errors.
    pub fn encode(&self, engine: &E, texts: &[&Tokens], lora_scale: f32) -> Result<TextStates<E>, Error> {
        let (batch, count) = (texts.len(), texts.first().map_or(0, |tokens| tokens.count()));
        let plain = texts.iter().all(|tokens| tokens.is_plain());
        let rows = batch * count;
        let mut context: Option<E::Tensor> = None;
        let mut pooled = None;
        for (at, (tokenizer, encoder)) in self.encoders.iter().enumerate() {
            let chunks = texts.iter().flat_map(|tokens| &tokens.chunks[at]);
            let mut ids: Vec<u32> = chunks.flat_map(|chunk| chunk.ids.iter().copied()).collect();
            if !plain {
                ids.extend(Chunk::empty(tokenizer).ids);
            }
            let all = if plain { rows } else { rows + 1 };
            let text = encoder.forward_with(engine, &ids, all, lora_scale)?;
            let states = if self.encoders.len() > 1 { text.penultimate } else { text.last };
            let states = if plain { states } else { weighted(engine, &states, texts, at)? };
            context = Some(match context {
                Some(first) => engine.concat(&first, &states, 2)?,
                None => states,
            });
            pooled = text.pooled;
        }
        // `new` has asked for an encoder.
        let context = context.map_or_else(|| engine.from_slice(&[], &[batch, 0, 0]), Ok)?;
        let pooled = pooled.filter(|_| self.pooled);
        if plain && count == 1 {
            return Ok(TextStates { context, pooled });
        }
        let [_, length, width] = engine.shape(&context)[..] else {
            return Ok(TextStates { context, pooled });
        };
        let pooled = pooled.map(|pooled| {
            let width = engine.shape(&pooled)[1];
            let pooled = engine.slice(&pooled, 0, 0, rows)?;
            let pooled = engine.reshape(&pooled, &[batch, count, width])?;
            engine.select_positions(&pooled, &vec![0; batch])
        });
        Ok(TextStates {
            context: engine.reshape(&context, &[batch, count * length, width])?,
            pooled: pooled.transpose()?,
        })
    }

    /// Encodes what guidance leads away from.
    ///
    /// # Errors
    /// Engine errors.
    pub fn encode_negative(
        &self,
        engine: &E,
        text: &Tokens,
        lora_scale: f32,
    ) -> Result<TextStates<E>, Error> {
        let states = self.encode(engine, &[text], lora_scale)?;
        if !(text.empty && self.zeros_for_empty_prompt) {
            return Ok(states);
        }
        let nothing = |x: E::Tensor| engine.scale(&x, 0.0);
        Ok(TextStates { context: nothing(states.context)?, pooled: states.pooled.map(nothing).transpose()? })
    }
}

/// The states `[rows + 1, T, C]` of all texts' chunks, the last of which is the empty text, with the weights of the encoder `at`:
/// `[rows, T, C]`.
fn weighted<E: Engine>(
    engine: &E,
    states: &E::Tensor,
    texts: &[&Tokens],
    at: usize,
) -> Result<E::Tensor, Error> {
    let shape = engine.shape(states);
    let (rows, length, width) = (shape[0] - 1, shape[1], shape[2]);
    let weights: Vec<f32> = texts
        .iter()
        .flat_map(|tokens| &tokens.chunks[at])
        .flat_map(|chunk| &chunk.weights)
        .flat_map(|weight| std::iter::repeat_n(*weight, width))
        .collect();
    let rest: Vec<f32> = weights.iter().map(|weight| 1.0 - weight).collect();
    let on_engine = |values: &[f32]| engine.from_slice(values, &[rows, length, width]);
    let empty = engine.reshape(&engine.slice(states, 0, rows, 1)?, &[length, width])?;
    let own = engine.mul(&engine.slice(states, 0, 0, rows)?, &on_engine(&weights)?)?;
    engine.add(&own, &engine.mul(&on_engine(&rest)?, &empty)?)
}
