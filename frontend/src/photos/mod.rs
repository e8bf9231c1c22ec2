//! Photos and the subjects that they show.

mod card;
mod masks;
mod more;
mod name;
mod page;
mod subject;
mod upload_list;
mod uploads;

pub(crate) use page::Photos;
pub(crate) use uploads::UploadQueue;

/// The color of the subject at `place`, which chips, dots and outlines have.
pub(crate) fn color(place: usize) -> String {
    format!("var(--subject-{})", place % 6)
}
