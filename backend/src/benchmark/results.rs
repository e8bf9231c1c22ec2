//! What was measured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mudi_domain::statistics::Estimate;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Options;
use super::ways::{Part, Way};
use crate::evaluate::right_from;
use crate::probe::reader::PLACED;

/// One judged picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// What was asked for.
    pub prompt: String,
    /// The seed of its noise.
    pub seed: u64,
    /// The Detect-and-Compare score.
    pub score: f64,
    /// How many toys were found.
    pub found: usize,
    /// How surely all of it is set in the place that was asked for, 0..=1.
    pub sureness: f64,
}

impl Picture {
    /// Whether it shows each of so many toys once and unmixed.
    pub(super) fn is_right(&self, toys: usize) -> bool {
        self.score >= right_from(toys)
    }

    /// Whether all of it is set in the place that was asked for.
    pub(super) fn is_placed(&self) -> bool {
        self.sureness >= PLACED
    }
}

/// All pictures of one group of toys, taught and started in one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Which group.
    pub group: u64,
    /// The toys, in words.
    pub toys: Vec<String>,
    /// The pictures.
    pub pictures: Vec<Picture>,
}

/// A picture that is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Its file, below the output folder; folders of earlier versions have none.
    pub file: PathBuf,
    /// How it was judged.
    pub picture: Picture,
}

/// One row of a table: all groups in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The part of the benchmark.
    pub part: Part,
    /// What JSON calls it.
    pub key: String,
    /// What it is.
    pub title: String,
    /// How many toys its pictures should show.
    pub toys: usize,
    /// Share of pictures that show every toy once and unmixed.
    pub success: Option<Estimate>,
    /// Share of pictures that are set, all of them, in the place that was asked for.
    pub placed: Option<Estimate>,
    /// Share of pictures that show every toy once and unmixed in the place that was asked for.
    pub whole: Option<Estimate>,
    /// Mean score.
    pub score: Option<Estimate>,
    /// Share of pictures with as many toys as there should be.
    pub counted: Option<Estimate>,
    /// Of each group the share of right pictures.
    pub groups: Vec<f64>,
    /// Of the first group the first picture of each prompt.
    #[serde(skip)]
    pub examples: Vec<Example>,
}

impl Row {
    pub(super) fn of(way: &Way, cells: &[Cell], examples: Vec<Example>) -> Self {
        let toys = way.teaching.toys;
        let rate = |is: &dyn Fn(&Picture) -> bool| {
            let count = |cell: &Cell| {
                (cell.pictures.iter().filter(|picture| is(picture)).count(), cell.pictures.len())
            };
            Estimate::rate_of_groups(&cells.iter().map(count).collect::<Vec<_>>())
        };
        let scores = |cell: &Cell| cell.pictures.iter().map(|picture| picture.score).collect::<Vec<_>>();
        Self {
            part: way.part,
            key: way.key.clone(),
            title: way.title.clone(),
            toys,
            success: rate(&|picture| picture.is_right(toys)),
            placed: rate(&Picture::is_placed),
            whole: rate(&|picture| picture.is_right(toys) && picture.is_placed()),
            score: Estimate::mean_of_groups(&cells.iter().map(scores).collect::<Vec<_>>()),
            counted: rate(&|picture| picture.found == toys),
            groups: cells
                .iter()
                .map(|cell| {
                    let count = cell.pictures.iter().filter(|picture| picture.is_right(toys)).count();
                    count as f64 / cell.pictures.len().max(1) as f64
                })
                .collect(),
            examples,
        }
    }
}

/// The whole benchmark.
#[derive(Clone, Debug)]
pub struct Results {
    /// Every row, in the order of the tables.
    pub rows: Vec<Row>,
    /// The toys of each group, in words, by how many toys the groups have.
    pub groups: BTreeMap<usize, Vec<Vec<String>>>,
    /// The command that repeats it.
    pub command: String,
}

impl Results {
    /// As JSON: `methods.<name>.success` and its interval, and so on.
    #[must_use]
    pub fn json(&self, options: &Options) -> serde_json::Value {
        let mut methods = serde_json::Map::new();
        for row in &self.rows {
            methods.insert(
                row.key.clone(),
                json!({
                    "title": row.title,
                    "part": row.part,
                    "toys": row.toys,
                    "threshold": right_from(row.toys),
                    "success": row.success.map(|estimate| estimate.value),
                    "success_interval": row.success.and_then(|estimate| estimate.interval),
                    "placed": row.placed.map(|estimate| estimate.value),
                    "right_and_placed": row.whole.map(|estimate| estimate.value),
                    "right_and_placed_interval": row.whole.and_then(|estimate| estimate.interval),
                    "score": row.score.map(|estimate| estimate.value),
                    "score_interval": row.score.and_then(|estimate| estimate.interval),
                    "right_number": row.counted.map(|estimate| estimate.value),
                    "pictures": row.success.map_or(0, |estimate| estimate.count),
                    "groups": row.groups,
                }),
            );
        }
        json!({
            "threshold": right_from(2), "pairs": options.pairs, "pair_seed": options.pair_seed, "prompts": options.prompts,
            "seeds": options.seeds, "steps": options.steps, "toys": self.groups, "command": self.command,
            "methods": methods,
        })
    }
}
