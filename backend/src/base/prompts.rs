//! Texts, as the denoiser takes them.

use std::ops::Range;

use mudi_diffusion::clip::ClipText;
pub use mudi_diffusion::texts::Tokens;
use mudi_diffusion::{Component, Engine, texts};
use mudi_engine_candle::lora::{self, Adaptation, Attachment, Learning};
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, on_pool, part_of};

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
        let of = |all: &[f32]| part_of(all, &part, batch);
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
pub type TextStates = texts::TextStates<CandleEngine>;

fn read(engine: &CandleEngine, states: &TextStates) -> Result<EncodedPrompts, BaseError> {
    let shape = engine.shape(&states.context);
    Ok(EncodedPrompts {
        context: engine.to_vec(&states.context)?,
        tokens: shape[1],
        width: shape[2],
        pooled: states.pooled.as_ref().map(|pooled| engine.to_vec(pooled)).transpose()?,
    })
}

/// A prompt, and what guidance leads away from, of as many tokens.
pub type Texts = [EncodedPrompts; 2];

/// The text encoders of a base model, with their tokenizers.
pub struct TextEncoders(texts::TextEncoders<CandleEngine>);

impl TextEncoders {
    /// Loads the text encoders of a base model.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn load(engine: &CandleEngine, source: &Source, precision: Precision) -> Result<Self, BaseError> {
        let configs = source.text_configs()?;
        source.check_fit(&configs)?;
        let mut configs = configs.into_iter();
        let load = |config, component| -> Result<_, BaseError> {
            let encoder =
                source.load(engine, component, precision, |parameters| ClipText::new(config, parameters))?;
            Ok((source.tokenizer(component)?, encoder))
        };
        let missing = || BaseError::Missing { path: source.path().join(Component::TextEncoder.folder()) };
        let first = load(configs.next().ok_or_else(missing)?, Component::TextEncoder)?;
        let second = configs.next().map(|config| load(config, Component::TextEncoder2)).transpose()?;
        let pooled = source.unet_config()?.has_text_time();
        Ok(Self(texts::TextEncoders::new(first, second, pooled, source.zeros_for_empty_prompt()?)))
    }

    /// Encodes captions, in which brackets are brackets. All get as many chunks of tokens as the longest needs, so that they fit into
    /// one batch.
    ///
    /// # Errors
    /// [`BaseError::Text`] and [`BaseError::Network`].
    pub fn encode_captions(
        &self,
        engine: &CandleEngine,
        captions: &[&str],
    ) -> Result<Vec<EncodedPrompts>, BaseError> {
        let encode = |tokens: &Tokens| read(engine, &self.encode_tokens(engine, &[tokens])?);
        self.tokens(captions)?.iter().map(encode).collect()
    }

    /// The tokens of captions, in which brackets are brackets: of all as many as the longest needs.
    ///
    /// # Errors
    /// [`BaseError::Text`].
    pub fn tokens(&self, captions: &[&str]) -> Result<Vec<Tokens>, BaseError> {
        let mut all =
            captions.iter().map(|caption| self.0.caption(caption)).collect::<Result<Vec<_>, _>>()?;
        self.0.level(&mut all);
        Ok(all)
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
        Ok(on_pool(|| self.0.encode(engine, captions, 1.0))?)
    }

    /// Attaches a LoRA that learns to the attentions of every encoder, as [`lora::attach_trainable_text`] does.
    ///
    /// # Errors
    /// [`BaseError::Network`].
    pub fn attach_trainable(
        &mut self,
        adaptation: Adaptation,
        mut init: impl FnMut(&str, &[usize]) -> Vec<f32>,
    ) -> Result<Learning, BaseError> {
        let mut made = Learning::default();
        for (component, encoder) in self.0.encoders_mut() {
            made.extend(lora::attach_trainable_text(encoder, component, adaptation, &mut init)?);
        }
        Ok(made)
    }

    /// Attaches what a LoRA has for the encoders.
    ///
    /// # Errors
    /// [`BaseError::Lora`].
    pub fn attach(&mut self, lora: &Attachment) -> Result<(), BaseError> {
        for (component, encoder) in self.0.encoders_mut() {
            lora.attach(component, encoder.adaptable())?;
        }
        Ok(())
    }

    /// Takes every LoRA away.
    pub fn detach(&mut self) {
        self.0.encoders_mut().for_each(|(_, encoder)| lora::detach(encoder.adaptable()));
    }

    /// Encodes a prompt of any length with weights (`(word:1.2)`), and what guidance leads away from, both of as many tokens. The own
    /// scale of a LoRA that is attached is multiplied by `lora_scale`.
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
        let mut tokens = [self.0.prompt(prompt)?, self.0.prompt(negative)?];
        self.0.level(&mut tokens);
        let [prompt, negative] = &tokens;
        let states = on_pool(|| self.0.encode(engine, &[prompt], lora_scale))?;
        let other = on_pool(|| self.0.encode_negative(engine, negative, lora_scale))?;
        Ok([read(engine, &states)?, read(engine, &other)?])
    }
}
