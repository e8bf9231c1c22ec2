//! What pictures start from: the noise of a seed or of a file, and a layout.

use std::ops::Range;
use std::path::Path;

use image::RgbImage;
use indexmap::IndexMap;
use mudi::base::{Base, Source};
use mudi::dataset::Dataset;
use mudi::generate::{Placing, Start, layout_start};
use mudi::train::RunInfo;
use mudi_diffusion::Engine;
use mudi_domain::aspect::Aspect;
use mudi_domain::collage::{CANVAS, MAX_SUBJECTS};
use mudi_domain::cutout::Cutout;
use mudi_domain::geometry::Rect;
use mudi_domain::layout::{Layout, suited_gamma};
use mudi_domain::segmix;
use mudi_domain::subject::SubjectId;
use mudi_engine_candle::nchw;
use mudi_engine_candle::weights::read_safetensors;

use super::{Arguments, Failure};

/// A start, and what is kept of its layout.
pub(super) struct Made {
    pub(super) start: Start,
    pub(super) canvas: Option<RgbImage>,
    pub(super) layout: Option<Layout>,
}

/// Who is placed, and where.
pub(super) struct Stage {
    cutouts: IndexMap<SubjectId, Vec<Cutout>>,
    /// How random layouts are drawn.
    law: segmix::Options,
    /// The layout of a file.
    fixed: Option<Layout>,
}

impl Stage {
    /// Reads the layout and the run's photos; none without `--layout`.
    pub(super) fn load(arguments: &Arguments, info: Option<&RunInfo>) -> Result<Option<Self>, Failure> {
        let Some(layout) = &arguments.layout else { return Ok(None) };
        let info = info.ok_or("--layout needs a --run: its subjects are what the layout places")?;
        let dataset = Dataset::load(arguments.photos.as_ref().unwrap_or(&info.photos))?;
        let law = segmix::Options::from(&info.recipe);
        if layout.as_os_str() == "random" {
            let cutouts = dataset.cutouts_for(&arguments.prompt)?;
            let count = cutouts.len();
            if count > MAX_SUBJECTS {
                return Err(format!(
                    "the prompt asks for {count} subjects and a layout can place {MAX_SUBJECTS}; name fewer of them in --prompt"
                )
                .into());
            }
            return Ok(Some(Self { cutouts, law, fixed: None }));
        }
        let file = layout.display();
        let text = std::fs::read_to_string(layout).map_err(|error| {
            format!("{file}: the layout cannot be read ({error}); --layout takes a JSON file, or `random`")
        })?;
        let cutouts = dataset.cutouts()?;
        let fixed = Layout::from_json(&text).map_err(|error| format!("{file}: {error}"))?;
        Ok(Some(Self { cutouts, law, fixed: Some(fixed) }))
    }

    /// Refuses pictures, of this height and width in pixels, that no layout can be drawn for, or that would lack a subject of the layout in
    /// `file`: it fills their height, so where they are narrower its sides are not seen.
    pub(super) fn check(&self, file: &Path, [height, width]: [usize; 2]) -> Result<(), Failure> {
        let file = file.display();
        let [across, down] = [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        if [across, down].iter().any(|side| !CANVAS.contains(side)) {
            let (least, most) = (CANVAS.start(), CANVAS.end());
            return Err(format!(
                "{width}x{height} pixels: with a --layout pictures have {least} to {most} pixels a side; ask for another --size, or leave out --layout"
            )
            .into());
        }
        let Some(layout) = &self.fixed else { return Ok(()) };
        let collage = layout
            .render((across, down), |subject, photo| self.cutouts.get(subject)?.get(photo.unwrap_or(0)))
            .map_err(|error| format!("{file}: {error}"))?;
        let picture = Rect::whole(across, down);
        match collage.parts.iter().find(|part| part.rect.intersect(&picture).is_none()) {
            None => Ok(()),
            Some(part) => Err(format!(
                "{file}: `{}` would lie beside a picture of {width}x{height} pixels, which is narrower than this layout; ask for --size {}, or move \
                 the subject towards the middle",
                part.subject, layout.aspect
            )
            .into()),
        }
    }

    /// The proportions of a layout from a file.
    pub(super) fn aspect(&self) -> Option<Aspect> {
        self.fixed.as_ref().map(|layout| layout.aspect)
    }

    /// The strength that suits as many subjects as are placed.
    pub(super) fn suited_gamma(&self) -> f32 {
        suited_gamma(self.fixed.as_ref().map_or(self.cutouts.len(), |layout| layout.subjects.len()))
    }
}

/// Makes starts, a few at a time.
pub(super) struct Starter<'a> {
    base: &'a Base,
    stage: Option<Stage>,
    /// Height and width of the canvas in pixels.
    size: [usize; 2],
    /// Seed of the first picture.
    seed: u64,
    noise: Option<Noise>,
    /// What is the same for all pictures of a layout from a file: it is encoded once.
    same: Option<(Start, RgbImage, Layout)>,
}

impl<'a> Starter<'a> {
    pub(super) fn new(
        base: &'a Base,
        stage: Option<Stage>,
        size: [usize; 2],
        seed: u64,
        noise: Option<Noise>,
    ) -> Self {
        Self { base, stage, size, seed, noise, same: None }
    }

    /// The starts of the pictures of these numbers.
    pub(super) fn starts(&mut self, numbers: Range<u64>) -> Result<Vec<Made>, Failure> {
        numbers.map(|number| self.start(number)).collect()
    }

    fn start(&mut self, number: u64) -> Result<Made, Failure> {
        let seed = self.seed.wrapping_add(number);
        let mut made = match &self.stage {
            None => Made { start: Start { seed, ..Start::default() }, canvas: None, layout: None },
            Some(Stage { cutouts, law, fixed }) => {
                let placing = fixed.as_ref().map_or(Placing::Random(law), Placing::Fixed);
                let (start, canvas, layout) = match &self.same {
                    Some(same) => same.clone(),
                    None => layout_start(self.base, cutouts, placing, self.size, seed)?,
                };
                if fixed.is_some() && self.same.is_none() {
                    self.same = Some((start.clone(), canvas.clone(), layout.clone()));
                }
                Made { start: Start { seed, ..start }, canvas: Some(canvas), layout: Some(layout) }
            }
        };
        if let Some((noise, each)) = &self.noise {
            let noise = noise.chunks_exact(*each).nth(number as usize);
            made.start.noise = noise.map(<[f32]>::to_vec);
        }
        Ok(made)
    }
}

/// The noise of all pictures, and how many values each has.
pub(super) type Noise = (Vec<f32>, usize);

/// The noise of the file that `--noise` names, for as many pictures as are asked for, of `size` (height and width in pixels).
pub(super) fn noise(
    source: &Source,
    arguments: &Arguments,
    size: [usize; 2],
) -> Result<Option<Noise>, Failure> {
    let Some(path) = &arguments.noise else { return Ok(None) };
    let vae = source.vae_config()?;
    let [height, width] = size.map(|side| side / vae.reduction());
    let shape = [arguments.count as usize, vae.latent_channels, height, width];
    let tensors = read_safetensors(path)?;
    let fault = |found: &str| {
        format!("{}: needs a tensor `noise` of shape {shape:?} for these pictures, {found}", path.display())
    };
    let noise = tensors.get("noise").ok_or_else(|| fault("and has none"))?;
    if noise.dims() != shape {
        return Err(fault(&format!("and has one of shape {:?}", noise.dims())).into());
    }
    let values = source.engine().to_vec(&nchw::to_channels_last(noise)?)?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(format!("{}: the tensor `noise` has values that are no numbers", path.display()).into());
    }
    Ok(Some((values, shape[1..].iter().product())))
}
