//! Where each picture starts.

use image::RgbImage;
use indexmap::IndexMap;
use mudi_domain::aspect::Aspect;
use mudi_domain::cutout::Cutout;
use mudi_domain::layout::Layout;
use mudi_domain::rng;
use mudi_domain::segmix::{Options, Shape};
use mudi_domain::subject::SubjectId;
use rand::Rng;

use super::GenerateError;
use crate::base::Base;

/// The start of one picture.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Seed of the noise, and of the sampler's own noise.
    pub seed: u64,
    /// Encoded layout times its mask, `[h, w, C]`; none for plain sampling.
    pub mean: Option<Vec<f32>>,
    /// Noise to use instead of the seed's.
    pub noise: Option<Vec<f32>>,
}

/// Where a picture's subjects are to be.
#[derive(Clone, Copy, Debug)]
pub enum Placing<'a> {
    /// As somebody laid them out.
    Fixed(&'a Layout),
    /// At random, by this law of Seg-Mix: that of the collages that the model learnt from.
    Random(&'a Options),
}

/// A start shifted towards a layout of the subjects, for a picture of this height and width in pixels; a random layout is of this seed. Also
/// returns the canvas.
///
/// # Errors
/// A layout that names unknown subjects or cannot be drawn; engine errors.
pub fn layout_start(
    base: &Base,
    cutouts: &IndexMap<SubjectId, Vec<Cutout>>,
    placing: Placing<'_>,
    [height, width]: [usize; 2],
    seed: u64,
) -> Result<(Start, RgbImage, Layout), GenerateError> {
    let drawn;
    let layout = match placing {
        Placing::Fixed(layout) => layout,
        Placing::Random(law) => {
            drawn = random_layout(cutouts, Aspect::nearest(width, height), law, seed)?;
            &drawn
        }
    };
    let collage = layout.render((width as u32, height as u32), |subject, photo| {
        cutouts.get(subject)?.get(photo.unwrap_or(0))
    })?;
    let [h, w] = base.latent_size(height, width)?;
    let mask = collage.union.to_latent(w as u32, h as u32);
    let mut mean = base.encode_images(&[&collage.image])?;
    let channels = base.vae.config.latent_channels;
    for (latent, mask) in mean.chunks_exact_mut(channels).zip(mask) {
        latent.iter_mut().for_each(|v| *v *= mask);
    }
    Ok((Start { seed, mean: Some(mean), noise: None }, collage.image, layout.clone()))
}

/// A random photo of each subject, placed at random.
fn random_layout(
    cutouts: &IndexMap<SubjectId, Vec<Cutout>>,
    aspect: Aspect,
    law: &Options,
    seed: u64,
) -> Result<Layout, GenerateError> {
    let mut stream = rng::stream(seed, "layout", 0);
    let items: Vec<(Shape, Option<usize>)> = cutouts
        .iter()
        .filter(|(_, photos)| !photos.is_empty())
        .map(|(subject, photos)| {
            let photo = stream.random_range(0..photos.len());
            let cutout = &photos[photo];
            let shape = Shape { subject: subject.clone(), width: cutout.width(), height: cutout.height() };
            (shape, Some(photo))
        })
        .collect();
    Ok(Layout::random(&mut stream, &items, aspect, law)?)
}
