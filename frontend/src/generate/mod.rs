//! Generating pictures, and looking at them.

mod compare;
mod download;
mod form;
mod gallery;
mod live;
mod offer;
mod page;
mod pictures;
mod place;
mod selection;
mod viewer;
mod wish;

pub(crate) use gallery::thumbnail_path;
pub(crate) use page::Generate;
