//! Layouts: where the subjects shall be.

mod list;

pub(crate) use list::LayoutList;
