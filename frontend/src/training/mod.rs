//! Training: what shall be trained, how far it is, and what came of it.

mod chart;
mod draft;
mod field;
mod form;
mod history;
mod kept;
mod open;
mod outlook;
mod page;
mod progress;
mod run;
mod samples;
mod seen;

pub(crate) use open::OpenJobs;
pub(crate) use page::Training;
pub(crate) use progress::{Progress, StateTag, Work};
pub(crate) use run::RunPage;
