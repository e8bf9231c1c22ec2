//! Photos of held-out toys, found among those of others.

use mudi_domain::compare::Embedding;
use mudi_domain::mask::Mask;
use mudi_domain::rng;
use mudi_domain::statistics::Estimate;
use mudi_toybox::{Kind, Naming, Toy, is_held_out, photo_set};

use super::{Options, ProbeError, Row};
use crate::evaluate::crops::on_square;
use crate::vision::Embedder;

/// Photos of each toy.
const PHOTOS: usize = 4;
/// Side of the photos, in pixels.
const SIDE: u32 = 96;

/// Held-out toys of one kind, no two of which are named alike.
fn toys(options: &Options, kind: Kind) -> Vec<Toy> {
    let stream = &mut rng::stream(options.seed, "probe identities", kind as u64);
    let mut toys: Vec<Toy> = Vec::new();
    // A kind has about a hundred held-out combinations of what captions name.
    let mut draws = 0;
    while toys.len() < options.toys && draws < 1000 * options.toys {
        draws += 1;
        let toy = Toy { kind, ..Toy::random(stream) };
        if is_held_out(&toy) && toys.iter().all(|other| other.phrase() != toy.phrase()) {
            toys.push(toy);
        }
    }
    toys
}

pub(super) fn probe(embedder: &Embedder, options: &Options) -> Result<Vec<Row>, ProbeError> {
    let (mut found, mut asked) = (0, 0);
    for &kind in Kind::ALL {
        let toys = toys(options, kind);
        let photos = photo_set(&toys, Naming::Kind, PHOTOS, options.seed, SIDE);
        let mut embedded: Vec<(usize, Embedding)> = Vec::with_capacity(photos.len());
        for photo in &photos {
            // What evaluation embeds of a photo: its mask's box on a white square.
            let mask = photo.rendered.masks.first().cloned().map(Mask::from_gray);
            if let Some(bounds) = mask.and_then(|mask| mask.bounding_box()) {
                embedded.push((photo.subject, embedder.embed(&on_square(&photo.rendered.image, bounds))?));
            }
        }
        for (at, (subject, embedding)) in embedded.iter().enumerate() {
            let others = embedded.iter().enumerate().filter(|(other, _)| *other != at);
            let nearest = others
                .map(|(_, (other, vector))| (other, embedding.cosine(vector)))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            asked += 1;
            found += usize::from(nearest.is_some_and(|(other, _)| other == subject));
        }
    }
    let row =
        Row::of("a toy's photo among those of its kind, top-1", Estimate::rate(found, asked), Some(0.95));
    Ok(row.into_iter().collect())
}
