//! One cell after the other: teaching, drawing, judging.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use mudi_domain::prompt::{self, Noun};
use mudi_domain::recipe::Method;
use mudi_domain::{rng, segmix};
use mudi_engine_candle::weights::Precision;
use mudi_toybox::{Background, Toy, photo_set, similar_group, similar_pair, write_data_set};

use super::results::{Cell, Picture};
use super::ways::{PLACES, Teaching, Way};
use super::{BenchmarkError, Options, pictures};
use crate::base::{Base, Source};
use crate::dataset::Dataset;
use crate::demo::recipe;
use crate::evaluate::{Eyes, Judge};
use crate::files::{create_folder, write_atomically};
use crate::generate::{self, Parameters, Placing, Settings, Start, layout_start, write_png};
use crate::interrupt::Interrupt;
use crate::probe::reader::Reader;
use crate::train::{self, LORA_FILE};

/// Photos of each toy.
const PHOTOS: usize = 5;
/// Pictures that are sampled at once.
const TOGETHER: usize = 5;

/// The toys of a group.
fn toys(options: &Options, group: u64, count: usize) -> Vec<Toy> {
    let stream = &mut rng::stream(options.pair_seed, "benchmark group", group * 10 + count as u64);
    if count == 2 {
        let (first, second) = similar_pair(stream);
        return vec![first, second];
    }
    similar_group(stream, count)
}

/// The prompt that asks for the toys in `place`. `turn` says which is named first: methods must not depend on it, and some do.
fn prompt(names: &[&str], place: Background, turn: usize) -> String {
    let mut named: Vec<String> = names.iter().map(|name| format!("a {name}")).collect();
    named.rotate_left(turn % names.len().max(1));
    prompt::together(&named, place.phrase(), Noun::Toys)
}

/// The name of a cell's file, without its extension, and of the folder of its pictures.
pub(super) fn cell_name(group: u64, way: &Way) -> String {
    format!("{group}-{}-{}", way.teaching.key(), way.gamma)
}

/// A cell's file.
fn cell_file(options: &Options, group: u64, way: &Way) -> PathBuf {
    options.out.join("cells").join(format!("{}.json", cell_name(group, way)))
}

/// Whether a cell has been measured.
pub(super) fn is_there(options: &Options, group: u64, way: &Way) -> bool {
    cell_file(options, group, way).is_file()
}

/// What the pictures of a cell are asked for, in one wording.
struct Asked<'a> {
    /// The cell's name.
    cell: &'a str,
    /// The prompt's number, from 0.
    number: usize,
    prompt: String,
    place: Background,
}

/// What is made once and used by many cells.
pub(super) struct Bench<'a> {
    options: &'a Options,
    interrupt: &'a Interrupt,
    source: Source,
    base: Base,
    eyes: Arc<Eyes>,
    reader: Reader,
}

impl<'a> Bench<'a> {
    /// Loads all that cells need.
    ///
    /// # Errors
    /// Networks that cannot be read.
    pub(super) fn open(options: &'a Options, interrupt: &'a Interrupt) -> Result<Self, BenchmarkError> {
        let source = Source::open(&options.base)?;
        Ok(Self {
            options,
            interrupt,
            base: Base::from_source(&source, Precision::Single)?,
            source,
            eyes: Arc::new(Eyes::load(&options.detector, &[&options.embedder])?),
            reader: Reader::load(&options.reader)?,
        })
    }

    fn folder(&self, group: u64, teaching: &Teaching) -> PathBuf {
        self.options.out.join("runs").join(format!("{group}-{}", teaching.key()))
    }

    /// Trains where nobody has yet; returns for how many steps `tell` has been told.
    pub(super) fn teach(
        &self,
        group: u64,
        teaching: &Teaching,
        tell: &mut dyn FnMut(&str, u64),
    ) -> Result<u64, BenchmarkError> {
        let folder = self.folder(group, teaching);
        let (photos, out) = (folder.join("toys"), folder.join("run"));
        if out.join(LORA_FILE).exists() {
            return Ok(0);
        }
        let recipe = recipe(group, self.options.steps, teaching.method, teaching.toys);
        if !photos.exists() {
            let toys = toys(self.options, group, teaching.toys);
            let side = self.base.sizes().side_for(Some(&recipe)) as u32;
            let set = photo_set(&toys, teaching.naming, PHOTOS, self.options.pair_seed ^ group, side);
            write_data_set(&photos, &toys, teaching.naming, &set)?;
        }
        let run = train::Options {
            photos,
            base: self.options.base.clone(),
            vae: None,
            resume: out.exists(),
            out,
            recipe,
            further: None,
            stop_after: None,
            masks: None,
            interrupt: self.interrupt.clone(),
            memory: None,
            device: crate::device::Device::default(),
        };
        let mut told = 0;
        let what = format!("teaching by {}", teaching.key());
        train::run(&run, |event| {
            if let train::Progress::Step(..) = event {
                told += 1;
                tell(&what, 1);
            }
        })?;
        Ok(told)
    }

    /// The pictures of one group in one way, judged: from their file, or made.
    pub(super) fn cell(
        &mut self,
        group: u64,
        way: &Way,
        tell: &mut dyn FnMut(&str, u64),
    ) -> Result<Cell, BenchmarkError> {
        let name = cell_name(group, way);
        let path = cell_file(self.options, group, way);
        let pictures = self.options.prompts as u64 * self.options.seeds;
        if path.is_file() {
            tell("drawn already", pictures);
            return read_cell(&path);
        }
        let folder = self.folder(group, &way.teaching);
        let dataset = Dataset::load(&folder.join("toys"))?;
        let toys = toys(self.options, group, way.teaching.toys);
        let judge = Judge::new(self.eyes.clone(), &dataset, self.eyes.options())?;
        self.base.detach();
        self.base.attach(&self.source.attachment(&folder.join("run").join(LORA_FILE))?)?;
        let names: Vec<&str> = dataset.subjects.iter().map(|data| data.subject.name()).collect();
        let mut cell = Cell { group, toys: toys.iter().map(Toy::phrase).collect(), pictures: Vec::new() };
        create_folder(&self.options.out.join("pictures").join(&name))?;
        let all: Vec<u64> = (0..self.options.seeds).collect();
        for (at, place) in PLACES.iter().take(self.options.prompts).enumerate() {
            for (turn, seeds) in all.chunks(TOGETHER).enumerate() {
                let asked = Asked {
                    cell: &name,
                    number: at,
                    prompt: prompt(&names, *place, at + turn),
                    place: *place,
                };
                cell.pictures.extend(self.judged(&judge, &dataset, &asked, seeds, way.gamma)?);
                tell(&way.title, seeds.len() as u64);
            }
        }
        self.base.detach();
        let mut text = serde_json::to_string(&cell)?;
        text.push('\n');
        write_atomically(&path, text.as_bytes())?;
        Ok(cell)
    }

    /// The pictures of some seeds, judged: those that an interrupted run has left, or new ones.
    fn judged(
        &self,
        judge: &Judge,
        dataset: &Dataset,
        asked: &Asked<'_>,
        seeds: &[u64],
        gamma: f32,
    ) -> Result<Vec<Picture>, BenchmarkError> {
        let file = |&seed: &u64| self.options.out.join(pictures::file(asked.cell, asked.number, seed));
        let files: Vec<PathBuf> = seeds.iter().map(file).collect();
        // A file that cannot be read is drawn again.
        let kept = files.iter().map(|file| Some(image::open(file).ok()?.into_rgb8())).collect();
        let images = match kept {
            Some(images) => images,
            None => self.draw(dataset, asked, seeds, gamma, &files)?,
        };
        let mut pictures = Vec::new();
        for ((&seed, file), image) in seeds.iter().zip(&files).zip(&images) {
            let judged = judge.judge(file, image)?;
            pictures.push(Picture {
                prompt: asked.prompt.clone(),
                seed,
                score: judged.score(),
                found: judged.found.len(),
                sureness: self.reader.sureness(image, asked.place)?,
            });
        }
        Ok(pictures)
    }

    /// Draws the pictures of some seeds and writes them to `files`.
    fn draw(
        &self,
        dataset: &Dataset,
        asked: &Asked<'_>,
        seeds: &[u64],
        gamma: f32,
        files: &[PathBuf],
    ) -> Result<Vec<RgbImage>, BenchmarkError> {
        // The method changes nothing in what is taken from it.
        let recipe = recipe(0, self.options.steps, Method::Mudi, dataset.subjects.len());
        let size = self.base.size_for(&recipe);
        let settings =
            Settings { size, gamma, interrupt: self.interrupt.clone(), ..Settings::for_base(&self.base) };
        let cutouts = dataset.cutouts()?;
        let law = segmix::Options::from(&recipe);
        let (mut starts, mut layouts) = (Vec::new(), Vec::new());
        for &seed in seeds {
            let (start, layout) = if gamma > 0.0 {
                let placing = Placing::Random(&law);
                let (start, _, layout) = layout_start(&self.base, &cutouts, placing, size, seed)?;
                (start, Some(layout))
            } else {
                (Start { seed, ..Start::default() }, None)
            };
            starts.push(start);
            layouts.push(layout);
        }
        let negative = self.base.negative_prompt;
        let texts = self.base.encode_pair(&asked.prompt, negative)?;
        let images = generate::pictures(&self.base, &texts, &settings, &starts, |_| {})?;
        let base = self.options.base.file_name().unwrap_or_default().to_string_lossy();
        for (((&seed, layout), image), file) in seeds.iter().zip(layouts).zip(&images).zip(files) {
            let parameters = Parameters::of(&settings, &asked.prompt, negative, &base);
            write_png(file, image, Some(&Parameters { seed, layout, ..parameters }))?;
        }
        Ok(images)
    }
}

fn read_cell(path: &Path) -> Result<Cell, BenchmarkError> {
    let fail = |reason: String| BenchmarkError::Cell { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| fail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_toy_is_named_first_in_its_turn() {
        let of = |names: &[&str], turn| prompt(names, Background::Snow, turn);
        assert_eq!(of(&["olis cat", "hta cat"], 0), "A photo of a olis cat and a hta cat in the snow.");
        assert_eq!(of(&["olis cat", "hta cat"], 3), "A photo of a hta cat and a olis cat in the snow.");
        assert_eq!(of(&["x", "y", "z"], 1), "3 toys: A photo of a y, a z and a x in the snow.");
    }
}
