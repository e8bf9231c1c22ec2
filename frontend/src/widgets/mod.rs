//! Parts that several pages are made of.

mod busy;
mod decision;
mod dialog;
mod icon;
mod option;
mod sheet;
mod slider;
mod states;
mod title;
mod toys;
mod twice;
mod zip_button;

pub(crate) use busy::busy_already;
pub(crate) use decision::Decision;
pub(crate) use dialog::Dialog;
pub(crate) use icon::{Icon, Sign};
pub(crate) use option::{choice, option, shapes};
pub(crate) use sheet::Sheet;
pub(crate) use slider::Slider;
pub(crate) use states::{Empty, Failed, SaveFault, Waiting, shown, shown_after};
pub(crate) use title::PageTitle;
pub(crate) use toys::{Asked, ToyBase, ToysOnly};
pub(crate) use twice::Twice;
pub(crate) use zip_button::ZipButton;
