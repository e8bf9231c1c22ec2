//! All cells, side by side where there are processors for it, and what is written of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, available_parallelism};

use mudi_domain::recipe::Method;
use rayon::ThreadPoolBuilder;

use super::cells::{self, Bench, cell_name};
use super::page::{chart, page};
use super::pictures;
use super::results::{Cell, Example, Picture, Results, Row};
use super::ways::{Part, Teaching, Way, ways};
use super::{BenchmarkError, HTML_NAME, JSON_NAME, Options, settings};
use crate::base::Source;
use crate::demo::{check_memory, other_models, recipe};
use crate::files::{create_folder, write_atomically};
use crate::interrupt::Interrupt;
use crate::pretrain::miniature::Miniature;
use crate::train::TrainError;

/// Runs what has not been run, writes the page, the numbers and the plots, and returns the numbers. `progress` hears what is being
/// done, how many units are done, and of how many; a unit is a training step or a picture.
///
/// Groups know nothing of each other: `options.workers` of them are worked on at a time, each on its share of the processor's threads,
/// which is faster than all threads on one group, and gives the same numbers.
///
/// # Errors
/// [`BenchmarkError`]; cells that are done stay.
pub fn run(options: &Options, mut progress: impl FnMut(&str, u64, u64)) -> Result<Results, BenchmarkError> {
    recipe(0, options.steps, Method::Mudi, 2).validate().map_err(TrainError::from)?;
    let source = Source::open(&options.base)?;
    let negative = source.negative_prompt()?;
    check_memory(&source, &recipe(0, options.steps, Method::Mudi, 2))?;
    create_folder(&options.out.join("cells"))?;
    settings::check(options, negative)?;
    let ways = ways(&options.parts, &options.toys);
    let each = options.prompts as u64 * options.seeds;
    let all =
        options.pairs * (ways.len() as u64 * each + teachings(&ways).len() as u64 * u64::from(options.steps));
    let workers = options.workers.min(options.pairs as usize).max(1);
    let threads = (available_parallelism().map_or(1, usize::from) / workers).max(1);
    let next = AtomicU64::new(options.first);
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
    let mut bench = Bench::open(options, interrupt)?;
    let mut groups = Vec::new();
    loop {
        let group = next.fetch_add(1, Ordering::Relaxed);
        if group >= options.first + options.pairs {
            return Ok(groups);
        }
        let mut tell = |what: &str, add: u64| {
            // The reader has gone only where all is over.
            let _ = told.send((format!("{} of {}: {what}", group - options.first + 1, options.pairs), add));
        };
        let mut cells = Vec::new();
        for teaching in teachings(ways) {
            let of_teaching = || ways.iter().filter(|way| way.teaching == teaching);
            // Cells that were measured elsewhere come without their LoRA.
            let before = if of_teaching().all(|way| cells::is_there(options, group, way)) {
                0
            } else {
                bench.teach(group, &teaching, &mut tell)?
            };
            tell("taught already", u64::from(options.steps) - before);
            for way in of_teaching() {
                cells.push((way.key.as_str(), bench.cell(group, way, &mut tell)?));
            }
        }
        let cell = |way: &Way| cells.iter().find(|(key, _)| *key == way.key).map(|(_, cell)| cell.clone());
        groups.push((group, ways.iter().filter_map(cell).collect()));
    }
}

/// The tables' rows, of all groups' cells.
fn results(options: &Options, ways: &[Way], mut groups: Vec<(u64, Vec<Cell>)>) -> Results {
    groups.sort_by_key(|(group, _)| *group);
    let mut results = Results { rows: Vec::new(), groups: BTreeMap::new(), command: command(options) };
    for (at, way) in ways.iter().enumerate() {
        let cells: Vec<Cell> = groups.iter().map(|(_, cells)| cells[at].clone()).collect();
        results.rows.push(Row::of(way, &cells, examples(options, way, &cells)));
        let named = || cells.iter().map(|cell| cell.toys.clone()).collect();
        results.groups.entry(way.teaching.toys).or_insert_with(named);
    }
    results
}

/// Of the first group the first picture of each prompt.
fn examples(options: &Options, way: &Way, cells: &[Cell]) -> Vec<Example> {
    let firsts = cells.iter().take(1).flat_map(|cell| cell.pictures.iter().step_by(options.seeds as usize));
    let file =
        |prompt, picture: &Picture| pictures::file(&cell_name(options.first, way), prompt, picture.seed);
    firsts
        .enumerate()
        .map(|(prompt, picture)| Example { file: file(prompt, picture), picture: picture.clone() })
        .collect()
}

/// The trainings that a group needs.
fn teachings(ways: &[Way]) -> Vec<Teaching> {
    let mut all: Vec<Teaching> = Vec::new();
    for way in ways {
        if !all.contains(&way.teaching) {
            all.push(way.teaching);
        }
    }
    all
}

fn command(options: &Options) -> String {
    let all = Part::ALL.iter().all(|part| options.parts.contains(part));
    let parts = options.parts.iter().filter(|_| !all).map(|part| format!(" --part {}", part.word()));
    let toys = options.toys.iter().map(|toys| format!(" --toys {toys}"));
    let first = (options.first > 0).then(|| format!(" --first-pair {}", options.first + 1));
    let only: String = first.into_iter().chain(parts).chain(toys).collect();
    let models = other_models(&[
        ("base", &options.base, "pocket"),
        ("detector", &options.detector, Miniature::Owlv2.folder()),
        ("embedder", &options.embedder, Miniature::Dinov2.folder()),
        ("reader", &options.reader, Miniature::Reader.folder()),
    ]);
    format!(
        "mudi benchmark --pairs {} --pair-seed {} --prompts {} --seeds {} --steps {}{only}{models}",
        options.pairs, options.pair_seed, options.prompts, options.seeds, options.steps
    )
}

fn write(options: &Options, results: &Results) -> Result<(), BenchmarkError> {
    let mut text = serde_json::to_string_pretty(&results.json(options))?;
    text.push('\n');
    write_atomically(&options.out.join(JSON_NAME), text.as_bytes())?;
    let strips = Part::ALL.map(|part| pictures::strips(results, part, &options.out));
    write_atomically(&options.out.join(HTML_NAME), page(results, options, &strips).as_bytes())?;
    for (part, strips) in Part::ALL.into_iter().zip(&strips) {
        if let Some(chart) = chart(results, part) {
            write_atomically(&options.out.join(format!("{}.svg", part.word())), chart.as_bytes())?;
        }
        pictures::write_sheet(strips, &options.out.join(format!("{}.webp", part.word())))?;
    }
    Ok(())
}
