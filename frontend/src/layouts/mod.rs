//! Layouts: where the subjects shall be.
//!
//! `bench` holds [`mudi_editor::layout`]'s designer and passes messages to it; `easel` is the canvas, on which `drawing` draws; `cutouts`
//! loads the subjects; `exact` shows what will be encoded; `keeping` saves, and has the browser keep a `draft` of what is not saved; `law` is how subjects are thrown at
//! random. `play` is the place that links to play with open.

mod bench;
mod cutouts;
mod designer;
mod draft;
mod drawing;
mod easel;
mod exact;
mod keeping;
mod law;
mod list;
mod live;
mod play;
mod shelf;
mod tools;

pub(crate) use designer::LayoutPage;
pub(crate) use exact::put;
pub(crate) use list::LayoutList;
pub(crate) use play::PlayPage;
