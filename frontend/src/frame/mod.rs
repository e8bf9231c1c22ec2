//! What stands around every page.

mod deletions;
mod project;
mod theme;
mod toasts;
mod top;

pub(crate) use deletions::Deletions;
pub(crate) use project::{ProjectFrame, TheProject, the_project};
pub(crate) use theme::Theme;
pub(crate) use toasts::{ToastList, Toasts};
pub(crate) use top::{Banner, Crumb, Top};
