//! Whether a picture is set, all of it, in the place that was asked for: the reading against truth, on scenes that are one place, two
//! places joined in the middle, or another place.

use std::path::Path;

use image::{RgbImage, imageops};
use mudi_domain::rng::{self, Stream};
use mudi_domain::statistics::Estimate;
use mudi_toybox::{Background, Scene, similar_pair};
use rand::Rng;
use serde::Serialize;

use super::ProbeError;
use super::auroc::auroc;
use super::reader::{PLACED, Reader};
use crate::pretrain::miniature::softener::Softener;

/// Side of the scenes, in pixels.
const SIDE: u32 = 96;

/// What a scene shows of the place that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// That place and nothing else.
    Whole,
    /// That place on one side of a seam in the middle, another one on the other, as Cut-Mix joins photos.
    Joined,
    /// Two other places, joined.
    JoinedElsewhere,
    /// Another place.
    Elsewhere,
}

/// Whole ones as often as they are needed to be told from the others.
const SHOWN: [Setting; 6] = [
    Setting::Whole,
    Setting::Whole,
    Setting::Joined,
    Setting::Joined,
    Setting::JoinedElsewhere,
    Setting::Elsewhere,
];

/// How the reading does on one sort of scene.
#[derive(Clone, Debug, Serialize)]
pub struct Settled {
    /// Which.
    pub setting: Setting,
    /// How surely, in the mean, both halves are read as the place that was asked for, 0..=1.
    pub sureness: Option<Estimate>,
    /// The share of scenes that count as set there.
    pub placed: Option<Estimate>,
    /// How well the sureness tells whole scenes from these; `None` for the whole ones themselves.
    pub auroc: Option<f64>,
}

/// Reads scenes of `pairs` pairs of similar held-out toys with the classifier in the folder `reader`. The scenes are softened by the
/// autoencoder of `base`, as pictures that it generates are. `read` hears of each pair.
///
/// # Errors
/// A folder without the classifier; a base without autoencoder; networks that fail.
pub fn place(
    reader: &Path,
    base: &Path,
    pairs: u64,
    seed: u64,
    mut read: impl FnMut(),
) -> Result<Vec<Settled>, ProbeError> {
    let reader = Reader::load(reader)?;
    let softener = Softener::load(base)?;
    let mut found: Vec<(Setting, f64)> = Vec::new();
    for pair in 0..pairs {
        let stream = &mut rng::stream(seed, "place pair", pair);
        let asked = Background::random_place(stream);
        let scenes: Vec<RgbImage> = SHOWN.iter().map(|setting| setting.scene(asked, stream)).collect();
        for (setting, image) in SHOWN.iter().zip(softener.soften(&scenes)?) {
            found.push((*setting, reader.sureness(&image, asked)?));
        }
        read();
    }
    Ok(summary(&found))
}

impl Setting {
    /// A scene of two similar toys.
    fn scene(self, asked: Background, stream: &mut Stream) -> RgbImage {
        let (first, second) = similar_pair(stream);
        let other = |not: &[Background], stream: &mut Stream| loop {
            let place = Background::random_place(stream);
            if !not.contains(&place) {
                break place;
            }
        };
        let draw =
            |place, toys, stream: &mut Stream| Scene::compose(stream, [SIDE; 2], place, toys).render().image;
        let elsewhere = other(&[asked], stream);
        let [mut left, mut right] = match self {
            Self::Whole => return draw(asked, vec![first, second], stream),
            Self::Elsewhere => return draw(elsewhere, vec![first, second], stream),
            Self::Joined => [asked, elsewhere],
            Self::JoinedElsewhere => [elsewhere, other(&[asked, elsewhere], stream)],
        };
        if stream.random_bool(0.5) {
            std::mem::swap(&mut left, &mut right);
        }
        let mut image = draw(left, vec![first], stream);
        let right = draw(right, vec![second], stream);
        // The middles of both pictures, where the toys are.
        let half = imageops::crop_imm(&image, SIDE / 4, 0, SIDE / 2, SIDE).to_image();
        imageops::replace(&mut image, &half, 0, 0);
        let half = imageops::crop_imm(&right, SIDE / 4, 0, SIDE / 2, SIDE).to_image();
        imageops::replace(&mut image, &half, i64::from(SIDE / 2), 0);
        image
    }
}

fn summary(found: &[(Setting, f64)]) -> Vec<Settled> {
    let of = |setting| -> Vec<f64> {
        found.iter().filter(|(other, _)| *other == setting).map(|(_, sureness)| *sureness).collect()
    };
    let whole = of(Setting::Whole);
    let settled = |setting| {
        let these = of(setting);
        let placed = these.iter().filter(|sureness| **sureness >= PLACED).count();
        Settled {
            setting,
            sureness: Estimate::mean(&these).map(|mean| mean.within(0.0, 1.0)),
            placed: Estimate::rate(placed, these.len()),
            auroc: if setting == Setting::Whole { None } else { auroc(&whole, &these) },
        }
    };
    [Setting::Whole, Setting::Joined, Setting::JoinedElsewhere, Setting::Elsewhere].map(settled).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_scenes_have_a_seam_in_the_middle() {
        let stream = &mut rng::stream(5, "place test", 0);
        // The step from the left half to the right one, and that between two columns beside it.
        let steps = |image: &RgbImage| {
            let step = |x: u32| -> u32 {
                let pixels = (0..SIDE).map(|y| (image.get_pixel(x, y), image.get_pixel(x - 1, y)));
                pixels.map(|(a, b)| (0..3).map(|i| u32::from(a[i].abs_diff(b[i]))).sum::<u32>()).sum()
            };
            [step(SIDE / 2), step(SIDE / 2 - 1)]
        };
        let (mut seam, mut beside) = (0, 0);
        for _ in 0..10 {
            let [at, near] = steps(&Setting::Joined.scene(Background::Beach, stream));
            seam += at;
            beside += near;
        }
        assert!(seam > 4 * beside, "{seam} at the seam, {beside} beside it");
        assert_eq!(Setting::Whole.scene(Background::Snow, stream).dimensions(), (SIDE, SIDE));
    }

    #[test]
    fn shares_are_of_their_own_sort() {
        let found =
            [(Setting::Whole, 0.9), (Setting::Whole, 0.4), (Setting::Joined, 0.1), (Setting::Joined, 0.6)];
        let rows = summary(&found);
        let placed: Vec<Option<f64>> = rows.iter().map(|row| row.placed.map(|share| share.value)).collect();
        assert_eq!(placed, [Some(0.5), Some(0.5), None, None]);
        assert_eq!((rows[0].auroc, rows[1].auroc), (None, Some(0.75)));
    }
}
