//! Whether a base model draws what it is asked for: pictures of held-out prompts, read by the probe classifier.

use std::path::{Path, PathBuf};

use image::RgbImage;
use mudi_domain::rng;
use mudi_domain::statistics::Estimate;
use mudi_toybox::{Background, Color, Kind, Options as SceneOptions, Scene};
use rand::Rng;
use serde::Serialize;

use super::reader::{Reader, Reading};
use super::{ProbeError, Row};
use crate::base::Base;
use crate::files::{create_folder, write_atomically};
use crate::generate::{Settings, Start, pictures};

/// How likely one, two and three toys are asked for.
const COUNTS: [f32; mudi_toybox::MAX_TOYS] = [1.0, 1.0, 1.0, 0.0, 0.0];

/// What to ask of a base model.
#[derive(Clone, Debug)]
pub struct BaseOptions {
    /// Prompts, one picture each.
    pub prompts: u64,
    /// Seed of prompts and pictures.
    pub seed: u64,
    /// Side of the pictures in pixels.
    pub side: usize,
    /// Sampler's steps.
    pub steps: usize,
    /// Classifier-free guidance scale.
    pub guidance: f32,
    /// Folder for the pictures; nowhere by default.
    pub pictures: Option<PathBuf>,
}

/// How well a base model heeds its prompts, and how well renders of the same scenes are read.
#[derive(Clone, Debug, Serialize)]
pub struct BaseProbe {
    /// The base's pictures.
    pub pictures: Vec<Row>,
    /// Renders of what the prompts describe: what the probe classifier can see at most.
    pub renders: Vec<Row>,
}

/// Counts of what was read right.
#[derive(Default)]
struct Tally {
    pictures: usize,
    toys: usize,
    kinds: usize,
    colors: usize,
    bound: usize,
    backgrounds: usize,
    numbers: usize,
}

/// How many of `asked` are among `found`, each of which answers for one.
fn answered<T: PartialEq>(asked: &[T], found: impl Iterator<Item = T>) -> usize {
    let mut left: Vec<T> = found.collect();
    let among = |asked: &&T| {
        let at = left.iter().position(|found| found == *asked);
        at.map(|at| left.swap_remove(at)).is_some()
    };
    asked.iter().filter(among).count()
}

impl Tally {
    fn count(&mut self, (asked, background): (&[(Kind, Color)], Background), found: &Reading) {
        let kinds: Vec<Kind> = asked.iter().map(|toy| toy.0).collect();
        let colors: Vec<Color> = asked.iter().map(|toy| toy.1).collect();
        self.pictures += 1;
        self.toys += asked.len();
        self.kinds += answered(&kinds, found.toys.iter().map(|toy| toy.0));
        self.colors += answered(&colors, found.toys.iter().map(|toy| toy.1));
        self.bound += answered(asked, found.toys.iter().copied());
        self.backgrounds += usize::from(found.background == background);
        self.numbers += usize::from(found.toys.len() == asked.len());
    }

    /// The table, with the aims for kind, colour, background, number and binding.
    fn rows(&self, aims: [Option<f64>; 5]) -> Vec<Row> {
        let [kind, color, background, number, bound] = aims;
        let rows = [
            ("kind of a toy", self.kinds, self.toys, kind),
            ("colour of a toy", self.colors, self.toys, color),
            ("background", self.backgrounds, self.pictures, background),
            ("number of toys", self.numbers, self.pictures, number),
            ("colour on the toy that it was asked for", self.bound, self.toys, bound),
        ];
        rows.into_iter()
            .filter_map(|(name, right, of, aim)| Row::of(name, Estimate::rate(right, of), aim))
            .collect()
    }
}

/// Draws what held-out prompts with one to three toys describe, and lets the classifier in the folder `reader` read it; `drawn` is
/// called for each picture.
///
/// A toy counts as drawn where the picture shows one of its kind (its colour, both of them on one toy) that does not answer for
/// another toy of the prompt.
///
/// # Errors
/// A folder without the classifier; a base that cannot draw; pictures that cannot be written.
pub fn base(
    model: &Base,
    reader: &Path,
    options: &BaseOptions,
    mut drawn: impl FnMut(),
) -> Result<BaseProbe, ProbeError> {
    let reader = Reader::load(reader)?;
    if let Some(folder) = &options.pictures {
        create_folder(folder)?;
    }
    let (mut pictured, mut rendered) = (Tally::default(), Tally::default());
    for index in 0..options.prompts {
        let scene = scene(options.seed, index, options.side as u32);
        let asked: Vec<(Kind, Color)> = scene.toys.iter().map(|(toy, _)| (toy.kind, toy.color)).collect();
        let asked = (asked.as_slice(), scene.background);
        let prompt = scene.description();
        let image = draw(model, &prompt, options, index)?;
        pictured.count(asked, &reader.read(&image)?);
        rendered.count(asked, &reader.read(&scene.render().image)?);
        if let Some(folder) = &options.pictures {
            let name = format!("{index:04} {}.png", prompt.trim_end_matches('.'));
            let mut png = std::io::Cursor::new(Vec::new());
            image.write_to(&mut png, image::ImageFormat::Png)?;
            write_atomically(&folder.join(name), png.get_ref())?;
        }
        drawn();
    }
    let aims = [0.95, 0.95, 0.95, 0.90, 0.85].map(Some);
    let reads = [Some(0.98), Some(0.98), Some(0.98), None, None];
    Ok(BaseProbe { pictures: pictured.rows(aims), renders: rendered.rows(reads) })
}

/// Held-out scene `index`.
fn scene(seed: u64, index: u64, size: u32) -> Scene {
    let options = SceneOptions { size: [size; 2], held_out: true, counts: COUNTS, ..SceneOptions::default() };
    Scene::random(&mut rng::stream(seed, "base probe", index), &options)
}

fn draw(model: &Base, prompt: &str, options: &BaseOptions, index: u64) -> Result<RgbImage, ProbeError> {
    let settings = Settings {
        size: [options.side; 2],
        steps: options.steps,
        guidance: options.guidance,
        ..Settings::for_base(model)
    };
    let seed = rng::stream(options.seed, "base probe picture", index).random();
    let start = Start { seed, ..Start::default() };
    let texts = model.encode_pair(prompt, "")?;
    let images = pictures(model, &texts, &settings, &[start], |_| {})?;
    images.into_iter().next().ok_or(ProbeError::NoPicture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_toy_answers_for_one() {
        use Color::{Blue, Red};
        use Kind::{Bear, Cat};
        let mut tally = Tally::default();
        let found = Reading { background: Background::Snow, toys: vec![(Bear, Blue), (Cat, Red)] };
        tally.count((&[(Bear, Red), (Cat, Blue)], Background::Snow), &found);
        tally.count((&[(Bear, Red), (Bear, Red), (Cat, Red)], Background::City), &found);
        let values = |rows: Vec<Row>| rows.iter().map(|row| row.value).collect::<Vec<_>>();
        // Both kinds, then one bear and the cat of three; both colours, then one red; nothing bound, then the cat.
        let expected = [4.0 / 5.0, 3.0 / 5.0, 1.0 / 2.0, 1.0 / 2.0, 1.0 / 5.0];
        assert_eq!(values(tally.rows([None; 5])), expected);
    }

    #[test]
    fn prompts_are_of_one_to_three_toys_that_training_never_shows() {
        let scenes: Vec<Scene> = (0..60).map(|index| scene(4, index, 96)).collect();
        for count in 1..=3 {
            assert!(scenes.iter().any(|scene| scene.toys.len() == count));
        }
        assert!(scenes.iter().flat_map(|scene| &scene.toys).all(|(toy, _)| mudi_toybox::is_held_out(toy)));
        assert!(scenes.iter().all(|scene| scene.toys.len() <= 3));
    }
}
