//! By which law subjects are thrown at random, and on which canvas new layouts begin.

use mudi_domain::api::{JobState, Run};
use mudi_domain::aspect::Aspect;
use mudi_domain::segmix::Options;

use crate::api;

/// The law by which the project's newest run makes collages: what it learns is best drawn where it lay in them. That of the
/// paper where there is no run, or none to be had. And the proportions of pictures that the newest run draws whose weights are there.
pub(super) async fn law(project: &str) -> (Options, Aspect) {
    let runs: Vec<Run> = api::list(&format!("{project}/runs")).await.unwrap_or_default();
    let done = runs.iter().rev().find(|run| run.state == JobState::Done);
    let aspect = done.map(|run| run.recipe.aspect).unwrap_or_default();
    (runs.last().map_or_else(Options::default, |run| Options::from(&run.recipe)), aspect)
}
