//! The mask editor: [`mudi_editor::mask`] in a browser.
//!
//! `desk` holds the editor and passes messages to it; `stage` is the canvas, on which `painter` draws with the help of `overlay`;
//! `input` makes messages of events; `finder` has automatic masks made, `clicks` lets them
//! follow the pointer; `keeper` saves to the server and keeps the journal in the browser (`journals`), until `ending`
//! says that it cannot; `others` reads what other windows or people have made of the mask.

mod clicks;
mod cursor;
mod desk;
mod ending;
mod files;
mod finder;
mod glimpse;
mod input;
mod journals;
mod keeper;
mod others;
mod overlay;
mod page;
mod painter;
mod panel;
mod photo;
mod stage;
mod surface;
mod toolbar;

pub(crate) use files::{decode_mask, decode_photo};
pub(crate) use input::Pressed;
pub(crate) use page::MaskPage;
pub(crate) use photo::{canvas, context};
