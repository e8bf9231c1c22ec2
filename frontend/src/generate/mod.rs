//! Generating pictures, and looking at them.

mod compare;
mod download;
mod form;
mod gallery;
mod live;
mod page;
mod viewer;
mod wish;

pub(crate) use gallery::picture_path;
pub(crate) use page::Generate;
