//! Projects: all of them, and one at a glance.

mod list;
mod overview;

pub(crate) use list::Projects;
pub(crate) use overview::Overview;
