//! Teaching, drawing, judging, cell by cell.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, available_parallelism};

use mudi_domain::prompt::{self, Noun};
use mudi_domain::recipe::Method;
use mudi_domain::{rng, segmix};
use mudi_engine_candle::weights::Precision;
use mudi_toybox::{Background, Toy, photo_set, similar_group, similar_pair, write_data_set};
use rayon::ThreadPoolBuilder;

use super::page::{chart, page};
use super::results::{Cell, Picture, Results, Row};
use super::ways::{PLACES, Part, Teaching, Way, ways};
use super::{BenchmarkError, HTML_NAME, JSON_NAME, Options, settings};
use crate::base::{Base, Source};
use crate::dataset::Dataset;
use crate::demo::recipe;
use crate::evaluate::{Eyes, Judge};
use crate::files::{create_folder, write_atomically};
use crate::generate::{Placing, Settings, Start, layout_start, pictures};
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

/// What is made once and used by many cells.
struct Bench<'a> {
    options: &'a Options,
    interrupt: &'a Interrupt,
    source: Source,
    base: Base,
    eyes: Arc<Eyes>,
    reader: Reader,
}

/// Runs what has not been run, writes the page, the numbers and the plots, and returns the numbers. `progress` hears what is being
/// done, how many units are done, and of how many; a unit is a training step or a picture.
///
/// Groups know nothing of each other: `options.workers` of them are worked on at a time, each on its share of the processor's threads,
/// which is faster than all threads on one group, and gives the same numbers.
///
/// # Errors
/// [`BenchmarkError`]; cells that are done stay.
pub fn run(options: &Options, mut progress: impl FnMut(&str, u64, u64)) -> Result<Results, BenchmarkError> {
    create_folder(&options.out.join("cells"))?;
    settings::check(options)?;
    let ways = ways(&options.parts, &options.toys);
    let each = options.prompts as u64 * options.seeds;
    let all = options.pairs * (ways.len() as u64 * each + teachings(&ways) * u64::from(options.steps));
    let workers = options.workers.min(options.pairs as usize).max(1);
    let threads = (available_parallelism().map_or(1, usize::from) / workers).max(1);
    let next = AtomicU64::new(0);
    // Where one worker fails the others shall not go on for minutes before anybody hears of it.
    let interrupt = Interrupt::default();
    let (told, hears) = channel();
    let ended: Vec<Result<_, BenchmarkError>> = thread::scope(|scope| {
        let start = |told: Sender<(String, u64)>| {
            let (ways, next, interrupt) = (&ways, &next, &interrupt);
            scope.spawn(move || {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
                pool.install(|| work(options, ways, next, interrupt, &told)).inspect_err(|_| interrupt.set())
            })
        };
        let running: Vec<_> = (0..workers).map(|_| start(told.clone())).collect();
        drop(told);
        let mut done = 0;
        for (what, add) in hears {
            done += add;
            progress(&what, done, all);
        }
        running.into_iter().map(|worker| worker.join().unwrap_or(Err(BenchmarkError::Worker))).collect()
    });
    let mut groups = Vec::new();
    let mut interrupted = None;
    for worker in ended {
        match worker {
            Ok(cells) => groups.extend(cells),
            // Because of another's error, which is the one to tell.
            Err(error) if error.is_interruption() => interrupted = Some(error),
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = interrupted {
        return Err(error);
    }
    let results = results(options, &ways, groups);
    write(options, &results)?;
    Ok(results)
}

/// Works on one group after the other until none is left; their cells, in the order of `ways`.
fn work(
    options: &Options,
    ways: &[Way],
    next: &AtomicU64,
    interrupt: &Interrupt,
    told: &Sender<(String, u64)>,
) -> Result<Vec<(u64, Vec<Cell>)>, BenchmarkError> {
    let source = Source::open(&options.base)?;
    let mut bench = Bench {
        options,
        interrupt,
        base: Base::from_source(&source, Precision::Single)?,
        source,
        eyes: Arc::new(Eyes::load(&options.detector, &[&options.embedder])?),
        reader: Reader::load(&options.reader)?,
    };
    let mut groups = Vec::new();
    loop {
        let group = next.fetch_add(1, Ordering::Relaxed);
        if group >= options.pairs {
            return Ok(groups);
        }
        let mut taught: Vec<Teaching> = Vec::new();
        let mut cells = Vec::new();
        for way in ways {
            let mut tell = |what: &str, add: u64| {
                // The reader has gone only where all is over.
                let _ = told.send((format!("{} of {}: {what}", group + 1, options.pairs), add));
            };
            if !taught.contains(&way.teaching) {
                taught.push(way.teaching);
                let before = bench.teach(group, &way.teaching, &mut tell)?;
                tell("taught already", u64::from(options.steps) - before);
            }
            cells.push(bench.cell(group, way, &mut tell)?);
        }
        groups.push((group, cells));
    }
}

/// The tables' rows, of all groups' cells.
fn results(options: &Options, ways: &[Way], mut groups: Vec<(u64, Vec<Cell>)>) -> Results {
    groups.sort_by_key(|(group, _)| *group);
    let rows = ways.iter().enumerate().map(|(at, way)| {
        let cells: Vec<Cell> = groups.iter().map(|(_, cells)| cells[at].clone()).collect();
        Row::of(way.part, &way.key, &way.title, way.teaching.toys, &cells)
    });
    Results {
        rows: rows.collect(),
        groups: (0..options.pairs)
            .map(|group| toys(options, group, 2).iter().map(Toy::phrase).collect())
            .collect(),
        command: command(options),
    }
}

/// How many trainings a group needs.
fn teachings(ways: &[Way]) -> u64 {
    let mut all: Vec<Teaching> = Vec::new();
    for way in ways {
        if !all.contains(&way.teaching) {
            all.push(way.teaching);
        }
    }
    all.len() as u64
}

fn command(options: &Options) -> String {
    let all = Part::ALL.iter().all(|part| options.parts.contains(part));
    let parts = options.parts.iter().filter(|_| !all).map(|part| format!(" --part {}", part.word()));
    let toys = options.toys.iter().map(|toys| format!(" --toys {toys}"));
    let only: String = parts.chain(toys).collect();
    format!(
        "mudi benchmark --pairs {} --pair-seed {} --prompts {} --seeds {} --steps {}{only}",
        options.pairs, options.pair_seed, options.prompts, options.seeds, options.steps
    )
}

fn write(options: &Options, results: &Results) -> Result<(), BenchmarkError> {
    let mut text = serde_json::to_string_pretty(&results.json(options))?;
    text.push('\n');
    write_atomically(&options.out.join(JSON_NAME), text.as_bytes())?;
    write_atomically(&options.out.join(HTML_NAME), page(results, options).as_bytes())?;
    for part in Part::ALL {
        if let Some(chart) = chart(results, part) {
            write_atomically(&options.out.join(format!("{}.svg", part.word())), chart.as_bytes())?;
        }
    }
    Ok(())
}

impl Bench<'_> {
    fn folder(&self, group: u64, teaching: &Teaching) -> PathBuf {
        self.options.out.join("runs").join(format!("{group}-{}", teaching.key()))
    }

    /// Trains where nobody has yet; returns for how many steps `tell` has been told.
    fn teach(
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
        if !photos.exists() {
            let toys = toys(self.options, group, teaching.toys);
            let size =
                self.base.side_for(&recipe(group, self.options.steps, teaching.method, teaching.toys)) as u32;
            let set = photo_set(&toys, teaching.naming, PHOTOS, self.options.pair_seed ^ group, size);
            write_data_set(&photos, &toys, teaching.naming, &set)?;
        }
        let run = train::Options {
            photos,
            base: self.options.base.clone(),
            vae: None,
            resume: out.exists(),
            out,
            recipe: recipe(group, self.options.steps, teaching.method, teaching.toys),
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
    fn cell(
        &mut self,
        group: u64,
        way: &Way,
        tell: &mut dyn FnMut(&str, u64),
    ) -> Result<Cell, BenchmarkError> {
        let name = format!("{group}-{}-{}.json", way.teaching.key(), way.gamma);
        let path = self.options.out.join("cells").join(name);
        let pictures = self.options.prompts as u64 * self.options.seeds;
        if path.is_file() {
            tell("drawn already", pictures);
            return read_cell(&path);
        }
        let folder = self.folder(group, &way.teaching);
        let dataset = Dataset::load(&folder.join("toys"))?;
        let toys = toys(self.options, group, way.teaching.toys);
        let judge = Judge::new(self.eyes.clone(), dataset.clone(), self.eyes.options())?;
        self.base.detach();
        self.base.attach(&self.source.attachment(&folder.join("run").join(LORA_FILE))?)?;
        let names: Vec<&str> = dataset.subjects.iter().map(|data| data.subject.name()).collect();
        let mut cell = Cell { group, toys: toys.iter().map(Toy::phrase).collect(), pictures: Vec::new() };
        let all: Vec<u64> = (0..self.options.seeds).collect();
        for (at, place) in PLACES.iter().take(self.options.prompts).enumerate() {
            for (turn, seeds) in all.chunks(TOGETHER).enumerate() {
                let asked = (prompt(&names, *place, at + turn), *place);
                self.draw(&judge, &dataset, &asked, seeds, way.gamma, &mut cell)?;
                tell(&way.title, seeds.len() as u64);
            }
        }
        self.base.detach();
        let mut text = serde_json::to_string(&cell)?;
        text.push('\n');
        write_atomically(&path, text.as_bytes())?;
        Ok(cell)
    }

    fn draw(
        &self,
        judge: &Judge,
        dataset: &Dataset,
        (prompt, place): &(String, Background),
        seeds: &[u64],
        gamma: f32,
        cell: &mut Cell,
    ) -> Result<(), BenchmarkError> {
        // The method changes nothing in what is taken from it.
        let recipe = recipe(0, self.options.steps, Method::Mudi, dataset.subjects.len());
        let side = self.base.side_for(&recipe);
        let settings = Settings {
            size: [side, side],
            gamma,
            interrupt: self.interrupt.clone(),
            ..Settings::for_base(&self.base)
        };
        let cutouts = dataset.cutouts()?;
        let law = segmix::Options::from(&recipe);
        let mut starts = Vec::new();
        for &seed in seeds {
            starts.push(if gamma > 0.0 {
                layout_start(&self.base, &cutouts, Placing::Random(&law), settings.size[0], seed)?.0
            } else {
                Start { seed, ..Start::default() }
            });
        }
        let texts = self.base.encode_pair(prompt, mudi_domain::prompt::NEGATIVE)?;
        let images = pictures(&self.base, &texts, &settings, &starts, |_| {})?;
        for (seed, image) in seeds.iter().zip(&images) {
            let judged = judge.judge(Path::new("picture"), image)?;
            cell.pictures.push(Picture {
                prompt: prompt.clone(),
                seed: *seed,
                score: judged.score(),
                found: judged.found.len(),
                sureness: self.reader.sureness(image, *place)?,
            });
        }
        Ok(())
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
