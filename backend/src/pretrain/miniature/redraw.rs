//! Renders as pocket would draw them: noise is added to their latents, and a base model takes it away again (SDEdit, Meng et al. 2022). What is
//! in the picture stays known, and how it is drawn is the base's.

use std::path::Path;
use std::sync::OnceLock;

use mudi_diffusion::schedule::Sampler;
use mudi_domain::rng::{self, Stream};
use mudi_engine_candle::weights::Precision;
use mudi_toybox::{Rendered, Scene};
use rand::Rng;

use crate::base::{Base, BaseError, EncodedPrompts};
use crate::generate::{Denoising, GenerateError, Settings, joined, repeated};

/// Steps of a whole picture, of which the last ones are made.
pub(crate) const STEPS: usize = 20;

/// A base model that draws on.
pub(crate) struct Redrawer(Base);

impl Redrawer {
    /// Loads the base model of a folder.
    pub(crate) fn load(base: &Path) -> Result<Self, BaseError> {
        Base::load(base, Precision::Single).map(Self)
    }

    /// Renders `scenes`, of one size, and draws the last `steps` of [`STEPS`] of each picture anew, by the description of its scene. No steps
    /// leave what the autoencoder makes of it. Masks and boxes are the renders'.
    ///
    /// # Errors
    /// Sizes that the base does not draw, engine errors.
    pub(crate) fn redraw(
        &self,
        scenes: &[&Scene],
        steps: usize,
        stream: &mut Stream,
    ) -> Result<Vec<Rendered>, GenerateError> {
        let Self(base) = self;
        let Some(first) = scenes.first() else { return Ok(Vec::new()) };
        let size = [first.size[1] as usize, first.size[0] as usize];
        let rendered: Vec<Rendered> = scenes.iter().map(|scene| scene.render()).collect();
        let settings = Settings { size, steps: STEPS, ..Settings::for_base(base) };
        let mut latents =
            base.encode_images(&rendered.iter().map(|rendered| &rendered.image).collect::<Vec<_>>())?;
        let steps = steps.min(STEPS);
        if steps > 0 {
            let sampler = Sampler::new(settings.sampler, &base.schedule, settings.steps, settings.karras)?;
            let from = STEPS - steps;
            let signal = sampler.alpha_bar(from);
            // Euler's latents are `x_0 + sigma noise`.
            let sigma = ((1.0 - signal) / signal).sqrt() as f32;
            let noise = rng::normal(stream, latents.len());
            latents.iter_mut().zip(noise).for_each(|(latent, noise)| *latent += sigma * noise);
            let seeds = scenes.iter().map(|_| stream.random()).collect();
            let text = self.texts(scenes)?;
            latents =
                Denoising { base, text, settings: &settings, sampler, seeds }.run(from, latents, |_| {})?;
        }
        let images = base.decode_latents(&latents, base.latent_size(size[0], size[1])?)?;
        Ok(rendered.into_iter().zip(images).map(|(rendered, image)| Rendered { image, ..rendered }).collect())
    }

    /// What guidance leads away from, as often as there are scenes, and their descriptions.
    fn texts(&self, scenes: &[&Scene]) -> Result<EncodedPrompts, BaseError> {
        let Self(base) = self;
        let described: Vec<String> = scenes.iter().map(|scene| scene.description()).collect();
        let captions: Vec<&str> =
            std::iter::once(base.negative_prompt).chain(described.iter().map(String::as_str)).collect();
        let missing = || BaseError::Missing { path: base.path.join("text_encoder") };
        let mut encoded =
            base.text.as_ref().ok_or_else(missing)?.encode_captions(&base.engine, &captions)?.into_iter();
        let other = encoded.next().ok_or_else(missing)?;
        Ok(encoded.fold(repeated(&other, scenes.len()), |all, text| joined(&all, &text)))
    }
}

/// Things that are made when they are first asked for and stay.
pub(crate) struct Pool<T>(Vec<OnceLock<T>>);

impl<T> Pool<T> {
    /// Room for `size` of them.
    pub(crate) fn new(size: usize) -> Self {
        Self((0..size).map(|_| OnceLock::new()).collect())
    }

    /// How many there may be.
    pub(crate) fn size(&self) -> usize {
        self.0.len()
    }

    /// Number `index`, below [`size`](Self::size), made by `make` where it is not there yet: the same whenever that happens, if `make` depends on nothing else.
    pub(crate) fn get<E>(&self, index: usize, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let place = &self.0[index];
        if let Some(made) = place.get() {
            return Ok(made);
        }
        let made = make()?;
        Ok(place.get_or_init(|| made))
    }
}
