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
    /// The row that those of its part are held against: MuDI as it is, or no layout.
    pub(super) fn measure(&self, row: &Row) -> Option<&Row> {
        let key = match row.part {
            Part::Methods => "mudi".to_owned(),
            Part::Ablations => "whole".to_owned(),
            Part::Gamma => "gamma_0".to_owned(),
            Part::Subjects => format!("subjects_{}", row.toys),
        };
        self.rows.iter().find(|other| other.key == key)
    }

    /// By how much a row's share of right pictures is above that of its [measure](Self::measure): the mean over groups of the
    /// difference within each, which says more than two intervals, since groups differ more than ways do. `None` for the measure
    /// itself, and where groups are [few](Estimate::FEW_GROUPS).
    pub(super) fn difference(&self, row: &Row) -> Option<Estimate> {
        let measure = self.measure(row).filter(|measure| measure.key != row.key)?;
        if row.groups.len() < Estimate::FEW_GROUPS || row.groups.len() != measure.groups.len() {
            return None;
        }
        let pairs = row.groups.iter().zip(&measure.groups);
        Estimate::mean(&pairs.map(|(own, measure)| own - measure).collect::<Vec<_>>())
    }

    /// As JSON: `methods.<name>.success` and its interval, and so on.
    #[must_use]
    pub fn json(&self, options: &Options) -> serde_json::Value {
        let mut methods = serde_json::Map::new();
        for row in &self.rows {
            let difference = self.difference(row);
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
                    "difference_to": self.measure(row).map(|measure| &measure.key),
                    "difference": difference.map(|estimate| estimate.value),
                    "difference_interval": difference.and_then(|estimate| estimate.interval),
                }),
            );
        }
        json!({
            "threshold": right_from(2), "pairs": options.pairs, "first_pair": options.first + 1, "pair_seed": options.pair_seed, "prompts": options.prompts,
            "seeds": options.seeds, "steps": options.steps, "toys": self.groups, "command": self.command,
            "methods": methods,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::ways::ways;
    use super::*;

    /// A group of which so many of ten pictures are right.
    fn cell(group: u64, right: usize) -> Cell {
        let picture = |number: usize| Picture {
            prompt: String::new(),
            seed: number as u64,
            score: if number < right { 1.0 } else { 0.0 },
            found: 2,
            sureness: 1.0,
        };
        Cell { group, toys: vec![String::new(); 2], pictures: (0..10).map(picture).collect() }
    }

    #[test]
    fn ways_are_held_against_mudi_within_each_group() {
        let rows = |shares: &dyn Fn(&str) -> Vec<usize>| -> Vec<Row> {
            let row = |way: &Way| {
                let cells: Vec<Cell> =
                    (0..).zip(shares(&way.key)).map(|(group, right)| cell(group, right)).collect();
                Row::of(way, &cells, Vec::new())
            };
            ways(&[Part::Methods], &[]).iter().map(row).collect()
        };
        let results = |rows| Results { rows, groups: BTreeMap::new(), command: String::new() };
        // Groups differ by much more than the ways do.
        let three = results(rows(&|key| match key {
            "mudi" => vec![3, 6, 10],
            "cutmix" => vec![1, 5, 7],
            _ => vec![0, 0, 0],
        }));
        let found = |key: &str| three.difference(three.rows.iter().find(|row| row.key == key).unwrap());
        let estimate = found("cutmix").unwrap();
        let (low, high) = estimate.interval.unwrap();
        assert!((estimate.value + 0.2).abs() < 1e-9, "{estimate:?}");
        // A deviation of 0.1 in three: 4.303 * 0.1 / sqrt(3).
        assert!((low + 0.2 + 0.2484).abs() < 1e-3 && (high + 0.2 - 0.2484).abs() < 1e-3, "{low} {high}");
        assert_eq!(found("mudi"), None);
        let two = results(rows(&|_| vec![3, 6]));
        assert!(two.rows.iter().all(|row| two.difference(row).is_none()));
    }
}
