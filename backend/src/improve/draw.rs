//! The pictures that are chosen from.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use mudi_domain::cutout::Cutout;
use mudi_domain::recipe::Recipe;
use mudi_domain::segmix;
use mudi_domain::subject::SubjectId;

use super::{ImproveError, Options};
use crate::base::{Base, BaseError, Source, TextEncoders, Texts, precision};
use crate::dataset::Dataset;
use crate::generate::{Parameters, Placing, Settings, Start, layout_start, sample, write_png};
use crate::plan;
use crate::train::write_latent;

/// Pictures that are sampled at once, where there is room for so many.
const TOGETHER: usize = 4;

/// What is drawn, with what, and where to.
pub(super) struct Drawing<'a> {
    pub(super) options: &'a Options,
    /// The run's.
    pub(super) recipe: &'a Recipe,
    pub(super) source: &'a Source,
    /// The run's LoRA.
    pub(super) lora: &'a Path,
    pub(super) dataset: &'a Dataset,
    pub(super) prompts: &'a [String],
    /// Strength of the layouts.
    pub(super) gamma: f32,
    pub(super) folder: &'a Path,
}

impl Drawing<'_> {
    /// The file of a picture.
    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:04}.png"))
    }

    /// Draws what is not there yet, each prompt as often as another; `progress` hears how many there are.
    pub(super) fn draw(&self, mut progress: impl FnMut(u64)) -> Result<(), ImproveError> {
        let count = self.prompts.len() as u64;
        // Files are written whole or not at all.
        let missing = |prompt: u64| {
            (prompt..self.options.pictures).step_by(count as usize).filter(|&at| !self.file(at).is_file())
        };
        let mut done =
            self.options.pictures - (0..count).map(|prompt| missing(prompt).count() as u64).sum::<u64>();
        progress(done);
        if done == self.options.pictures {
            return Ok(());
        }
        let (base, texts, together) = self.load()?;
        let cutouts = self.dataset.cutouts()?;
        for (at, (prompt, texts)) in self.prompts.iter().zip(&texts).enumerate() {
            let numbers: Vec<u64> = missing(at as u64).collect();
            for numbers in numbers.chunks(together) {
                self.some(&base, &cutouts, prompt, texts, numbers)?;
                done += numbers.len() as u64;
                progress(done);
            }
        }
        Ok(())
    }

    /// The base with the run's LoRA, what the prompts say (text encoders need not stay in memory), and how many pictures it can draw at
    /// once.
    fn load(&self) -> Result<(Base, Vec<Texts>, usize), ImproveError> {
        let held = precision(self.recipe.precision);
        let size = Some(self.source.sizes()?.size_for(Some(self.recipe), None));
        let tile = Some(self.recipe.vae_tile as usize).filter(|&tile| tile > 0);
        let job = |count| plan::Job::Generate { size, tile, count, lora: Some(self.recipe), precision: held };
        let available = self.options.memory.or_else(|| self.options.device.free_memory());
        let mut together = TOGETHER;
        loop {
            match plan::check_as_it_is(self.source, job(together), available) {
                Err(BaseError::TooLarge(_)) if together > 1 => together /= 2,
                found => {
                    found?;
                    break;
                }
            }
        }
        let lora = self.source.attachment(self.lora)?;
        let engine = self.source.engine();
        let mut encoders = TextEncoders::load(engine, self.source, held)?;
        encoders.attach(&lora)?;
        let negative = self.source.negative_prompt()?;
        let encoded = self.prompts.iter().map(|prompt| encoders.encode_pair(engine, prompt, negative, 1.0));
        let texts = encoded.collect::<Result<Vec<_>, _>>()?;
        drop(encoders);
        crate::allocator::give_back();
        let mut base = Base::without_text(self.source, held)?;
        base.attach(&lora)?;
        base.vae.tile = tile;
        Ok((base, texts, together))
    }

    /// Some pictures of one prompt, from random layouts.
    fn some(
        &self,
        base: &Base,
        cutouts: &IndexMap<SubjectId, Vec<Cutout>>,
        prompt: &str,
        texts: &Texts,
        numbers: &[u64],
    ) -> Result<(), ImproveError> {
        let size = base.size_for(self.recipe);
        let gamma = self.gamma;
        let settings = Settings {
            size,
            gamma,
            guidance: self.options.guidance,
            interrupt: self.options.interrupt.clone(),
            ..Settings::for_base(base)
        };
        let law = segmix::Options::from(self.recipe);
        let mut starts = Vec::new();
        let mut layouts = Vec::new();
        for &number in numbers {
            let seed = self.options.seed.wrapping_add(number);
            if gamma == 0.0 {
                starts.push(Start { seed, ..Start::default() });
                layouts.push(None);
            } else {
                let (start, _, layout) = layout_start(base, cutouts, Placing::Random(&law), size, seed)?;
                starts.push(start);
                layouts.push(Some(layout));
            }
        }
        let latents = sample(base, texts, &settings, &starts, |_| {})?;
        let images = base.decode_latents(&latents, base.latent_size(size[0], size[1])?)?;
        let each = latents.chunks_exact(latents.len() / starts.len());
        let name = base.path.file_name().unwrap_or_default().to_string_lossy();
        for ((((&number, start), layout), image), latent) in
            numbers.iter().zip(&starts).zip(layouts).zip(&images).zip(each)
        {
            let parameters = Parameters::of(&settings, prompt, base.negative_prompt, &name);
            let parameters = Parameters { seed: start.seed, layout, ..parameters };
            let file = self.file(number);
            // Where the picture is, its latents are.
            write_latent(&file, latent)?;
            write_png(&file, image, Some(&parameters))?;
        }
        Ok(())
    }
}
