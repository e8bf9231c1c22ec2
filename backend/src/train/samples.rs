//! Training samples: photos, collages and prior images, as noisy latents with their texts. A pure function of the step.

use std::ops::Range;
use std::sync::Arc;

use image::RgbImage;
use mudi_domain::aspect::bucket;
use mudi_domain::collage::Collage;
use mudi_domain::cutout::Cutout;
use mudi_domain::prompt;
use mudi_domain::recipe::{Method, Recipe, Regularization};
use mudi_domain::rng::{self, Stream};
use mudi_domain::segmix;
use mudi_domain::{cutmix, subject::Subject};
use mudi_engine_candle::part_of;
use rand::Rng;
use rand::seq::index;

use super::captions::Captions;
use super::further::OwnPicture;
use super::{TrainError, TrainingPicture};
use crate::base::{Base, EncodedPrompts, Tokens};
use crate::dataset::Dataset;

/// One photo, ready.
struct Photo {
    /// As a whole, for Cut-Mix; otherwise empty.
    image: RgbImage,
    /// At the training size, as the model sees it.
    framed: RgbImage,
    cutout: Cutout,
    caption: String,
    latent: Vec<f32>,
    /// What errors count at each place of the latents: nothing where white fills what the photo lacks.
    counts: Vec<f32>,
    /// Height and width of the training image, in pixels.
    size: [usize; 2],
}

struct SubjectSamples {
    subject: Subject,
    photos: Vec<Photo>,
}

/// Prior images of one class.
pub(super) struct Prior {
    pub(super) caption: String,
    pub(super) latents: Vec<Vec<f32>>,
}

/// What samples are made from.
pub(super) struct Samples {
    base: Arc<Base>,
    recipe: Recipe,
    subjects: Vec<SubjectSamples>,
    /// Pictures that stand in for photos and collages, where there are any.
    own: Vec<Shown>,
    priors: Vec<Prior>,
    captions: Arc<Captions>,
    /// Height and width of collages, and of pictures of its own, in pixels.
    canvas: [usize; 2],
}

/// A picture that a sample shows, with its caption.
#[derive(Clone)]
struct Shown {
    picture: TrainingPicture,
    latent: Vec<f32>,
    /// What errors count at each place of the latents, 0..=1.
    counts: Vec<f32>,
    /// Height and width in pixels.
    size: [usize; 2],
}

impl Shown {
    /// All of a picture.
    fn whole(picture: OwnPicture, channels: usize, size: [usize; 2]) -> Self {
        let OwnPicture { image, caption, latent, .. } = picture;
        Self {
            counts: vec![1.0; latent.len() / channels],
            latent,
            size,
            picture: TrainingPicture { image, caption, is_collage: false },
        }
    }

    /// A photo.
    fn photo(photo: &Photo) -> Self {
        let (image, caption) = (photo.framed.clone(), photo.caption.clone());
        Self {
            counts: photo.counts.clone(),
            latent: photo.latent.clone(),
            size: photo.size,
            picture: TrainingPicture { image, caption, is_collage: false },
        }
    }
}

/// Everything that one forward and backward pass needs; instance samples first, then prior ones.
pub(super) struct Batch {
    pub(super) noisy: Vec<f32>,
    pub(super) target: Vec<f32>,
    pub(super) timesteps: Vec<f32>,
    pub(super) text: EncodedPrompts,
    /// The captions' tokens, where text encoders learn.
    pub(super) tokens: Option<Vec<Tokens>>,
    /// Weight of each value's squared error, loss mask and prior weight included.
    pub(super) weights: Vec<f32>,
    pub(super) samples: usize,
    /// Height and width in pixels.
    pub(super) size: [usize; 2],
    /// The pictures of the instance samples.
    pub(super) pictures: Vec<TrainingPicture>,
}

impl Batch {
    /// Some of the samples; what their errors count stays.
    pub(super) fn part(&self, part: Range<usize>) -> Self {
        let values = |all: &[f32]| part_of(all, &part, self.timesteps.len());
        Self {
            noisy: values(&self.noisy),
            target: values(&self.target),
            timesteps: values(&self.timesteps),
            text: self.text.part(part.clone(), self.timesteps.len()),
            tokens: self.tokens.as_ref().map(|tokens| tokens[part.clone()].to_vec()),
            weights: values(&self.weights),
            samples: self.samples,
            size: self.size,
            pictures: Vec::new(),
        }
    }
}

impl Samples {
    /// Prepares the photos: squares at the training size, latents and masks. What no sample needs is let go.
    pub(super) fn new(
        base: Arc<Base>,
        dataset: Dataset,
        own: Vec<OwnPicture>,
        recipe: &Recipe,
        priors: Vec<Prior>,
        captions: Arc<Captions>,
    ) -> Result<Self, TrainError> {
        let (side, canvas) = (base.sizes().side_for(Some(recipe)), base.size_for(recipe));
        let channels = base.vae.config.latent_channels;
        let [h, w] = base.latent_size(canvas[0], canvas[1])?;
        if let Some(other) = own.iter().find(|picture| picture.latent.len() != h * w * channels) {
            let reason = format!("it is not of the run's size, {} x {} pixels", canvas[1], canvas[0]);
            return Err(TrainError::Read { path: other.path.clone(), reason });
        }
        let mut subjects = Vec::new();
        // Photos that no sample shows need not be encoded.
        let shown = if own.is_empty() { dataset.subjects } else { Vec::new() };
        let whole = recipe.method == Method::Cutmix;
        for data in shown {
            let mut photos = Vec::new();
            for photo in data.photos {
                let [height, width] = if recipe.aspect_buckets {
                    let (width, height) = photo.image.dimensions();
                    bucket(side, base.sizes().multiple, [width as usize, height as usize])
                } else {
                    [side, side]
                };
                let framed = photo.framed([width as u32, height as u32]);
                let [h, w] = base.latent_size(height, width)?;
                let counts = framed.photo.map(|photo| photo.to_latent(w as u32, h as u32));
                photos.push(Photo {
                    counts: counts.unwrap_or_else(|| vec![1.0; h * w]),
                    size: [height, width],
                    latent: base.encode_images(&[&framed.image])?,
                    framed: framed.image,
                    cutout: photo.cutout()?,
                    image: if whole { photo.image } else { RgbImage::default() },
                    caption: photo.caption,
                });
            }
            subjects.push(SubjectSamples { subject: data.subject, photos });
        }
        let own = own.into_iter().map(|picture| Shown::whole(picture, channels, canvas)).collect();
        Ok(Self { base, recipe: recipe.clone(), subjects, own, priors, captions, canvas })
    }

    /// A subject drawn uniformly, one of its photos, and what the sample shows of it: the photo, or a collage with
    /// another subject, or several (MuDI, section 4.1). Where the run has pictures of its own, one of these. All samples of a batch
    /// have one `size`; it is the first one's.
    fn shown(&self, stream: &mut Stream, size: Option<[usize; 2]>) -> Result<Shown, TrainError> {
        if !self.own.is_empty() {
            return Ok(pick(stream, &self.own).clone());
        }
        // All collages have one size.
        if let Some(size) = size.filter(|size| *size != self.canvas)
            && let Some(photo) = self.of_size(stream, size)
        {
            return Ok(Shown::photo(photo));
        }
        let first = stream.random_range(0..self.subjects.len());
        let photo = pick(stream, &self.subjects[first].photos);
        let mixed = self.subjects.len() > 1 && stream.random_bool(self.recipe.collage_probability());
        if !mixed {
            let fitting = match size {
                Some(size) if photo.size != size => self.of_size(stream, size),
                _ => Some(photo),
            };
            if let Some(photo) = fitting {
                return Ok(Shown::photo(photo));
            }
            // No photo is of the collages' size, so the batch has begun with a collage, and goes on with another.
        }
        let mut shown = vec![(first, photo)];
        for index in self.company(stream, first) {
            shown.push((index, pick(stream, &self.subjects[index].photos)));
        }
        let id = |index: usize| self.subjects[index].subject.id().clone();
        let [height, width] = self.canvas;
        let size = (width as u32, height as u32);
        let collage: Collage = if self.recipe.method == Method::Cutmix {
            let [one, other] = [0, 1].map(|at| (id(shown[at].0), &shown[at].1.image));
            cutmix::compose(stream, size, [one, other])?
        } else {
            let items: Vec<_> = shown.iter().map(|(index, photo)| (id(*index), &photo.cutout)).collect();
            segmix::compose(stream, size, &items, &segmix::Options::from(&self.recipe))?
        };
        let names: Vec<&str> =
            collage.left_to_right.iter().map(|&at| self.subjects[shown[at].0].subject.name()).collect();
        // Nothing is drawn where there are none, as in runs of earlier recipes.
        let articles = self.recipe.articles > 0.0 && stream.random_bool(self.recipe.articles);
        let caption = if articles { prompt::collage_with_articles(&names) } else { prompt::collage(&names) };
        let [h, w] = self.base.latent_size(height, width)?;
        let floor = self.recipe.loss_mask_floor as f32;
        let mask = collage.union.to_latent(w as u32, h as u32);
        Ok(Shown {
            latent: self.base.encode_images(&[&collage.image])?,
            counts: mask.into_iter().map(|covered| covered * (1.0 - floor) + floor).collect(),
            size: self.canvas,
            picture: TrainingPicture { image: collage.image, caption, is_collage: true },
        })
    }

    /// A photo of height and width `size`: of the subjects that have such photos each is as likely.
    fn of_size(&self, stream: &mut Stream, size: [usize; 2]) -> Option<&Photo> {
        let of = |subject: &SubjectSamples| -> Vec<usize> {
            let photos = subject.photos.iter().enumerate();
            photos.filter(|(_, photo)| photo.size == size).map(|(at, _)| at).collect()
        };
        let fitting: Vec<(&SubjectSamples, Vec<usize>)> = self
            .subjects
            .iter()
            .map(|subject| (subject, of(subject)))
            .filter(|(_, photos)| !photos.is_empty())
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let (subject, photos) = pick(stream, &fitting);
        Some(&subject.photos[*pick(stream, photos)])
    }

    /// Who shares a collage with the subject `first`: at least one other, each choice as likely.
    fn company(&self, stream: &mut Stream, first: usize) -> Vec<usize> {
        let count = self.subjects.len();
        let other = |distance: usize| (first + distance) % count;
        let most = self.recipe.most_together(count);
        // Nothing else is drawn where there are pairs only, as in runs of earlier recipes.
        if most == 2 {
            return vec![other(stream.random_range(1..count))];
        }
        let further = stream.random_range(1..most);
        index::sample(stream, count - 1, further).into_iter().map(|distance| other(distance + 1)).collect()
    }

    /// The batch of pass `index` (steps times accumulation, plus the pass within the step).
    pub(super) fn batch(&self, index: u64) -> Result<Batch, TrainError> {
        let recipe = &self.recipe;
        let mut stream = rng::stream(recipe.seed, "sample", index);
        let channels = self.base.vae.config.latent_channels;
        let count = recipe.batch as usize;
        let with_prior = recipe.regularization == Regularization::Prior && !self.priors.is_empty();
        let total = if with_prior { 2 * count } else { count };
        let mut captions: Vec<String> = Vec::with_capacity(total);
        let mut batch = Batch {
            noisy: Vec::new(),
            target: Vec::new(),
            timesteps: Vec::new(),
            text: EncodedPrompts { context: Vec::new(), tokens: 0, width: 0, pooled: None },
            tokens: None,
            weights: Vec::new(),
            samples: count,
            size: self.canvas,
            pictures: Vec::with_capacity(count),
        };
        for at in 0..total {
            let latent = if at < count {
                let shown = self.shown(&mut stream, (at > 0).then_some(batch.size))?;
                batch.size = shown.size;
                let weight = 1.0 / (count * shown.latent.len()) as f32;
                let counts = shown.counts.iter().map(|count| weight * count);
                batch.weights.extend(counts.flat_map(|count| std::iter::repeat_n(count, channels)));
                captions.push(shown.picture.caption.clone());
                batch.pictures.push(shown.picture);
                shown.latent
            } else {
                let prior = pick(&mut stream, &self.priors);
                let latent = pick(&mut stream, &prior.latents).clone();
                let weight = recipe.prior_weight as f32 / (count * latent.len()) as f32;
                batch.weights.extend(std::iter::repeat_n(weight, latent.len()));
                captions.push(prior.caption.clone());
                latent
            };
            let noise = rng::normal(&mut stream, latent.len());
            let t = stream.random_range(0..self.base.schedule.num_train_timesteps());
            let weight = self.timestep_weight(t)? as f32;
            let own = batch.weights.len() - latent.len()..;
            batch.weights[own].iter_mut().for_each(|value| *value *= weight);
            batch.noisy.extend(self.base.schedule.add_noise(&latent, &noise, t)?);
            batch.target.extend(self.base.schedule.target(&latent, &noise, t)?);
            batch.timesteps.push(t as f32);
        }
        batch.text = self.captions.batch(&captions)?;
        batch.tokens = self.captions.tokens(&captions)?;
        Ok(batch)
    }

    /// How much an error at timestep `t` counts.
    fn timestep_weight(&self, t: usize) -> Result<f64, TrainError> {
        let (schedule, recipe) = (&self.base.schedule, &self.recipe);
        Ok(if recipe.debiased_loss {
            schedule.debiased_weight(t)?
        } else if recipe.min_snr_gamma > 0.0 {
            schedule.min_snr_weight(t, recipe.min_snr_gamma)?
        } else {
            1.0
        })
    }
}

fn pick<'a, T>(stream: &mut Stream, items: &'a [T]) -> &'a T {
    &items[stream.random_range(0..items.len())]
}
