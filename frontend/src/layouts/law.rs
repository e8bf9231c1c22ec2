//! By which law subjects are thrown at random.

use mudi_domain::api::Run;
use mudi_domain::segmix::Options;

use crate::api;

/// The law by which the project's newest run makes collages: what it learns is best drawn where it lay in them. That of the
/// paper where there is no run, or none to be had.
pub(super) async fn law(project: &str) -> Options {
    let runs: Vec<Run> = api::list(&format!("{project}/runs")).await.unwrap_or_default();
    runs.last().map_or_else(Options::default, |run| Options::from(&run.recipe))
}
