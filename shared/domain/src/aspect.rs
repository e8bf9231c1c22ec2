//! Proportions of pictures, and how large a picture of them is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How far the sides of pictures lie apart, as a share of the square's side: 64 pixels at 1024, as SDXL was trained.
const SHARE: usize = 16;
/// The longest side, as a multiple of the shortest one.
const LONGEST: usize = 4;

/// Width to height of a picture.
// As text by its own words, which takes less of the page's program than serde's; the schema's are those of `rename`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Aspect {
    /// As wide as high.
    #[default]
    #[serde(rename = "1:1")]
    Square,
    /// A landscape, as older screens are.
    #[serde(rename = "4:3")]
    Landscape,
    /// A landscape, as photos are.
    #[serde(rename = "3:2")]
    Photo,
    /// A landscape, as screens are.
    #[serde(rename = "16:9")]
    Screen,
    /// Two squares side by side.
    #[serde(rename = "2:1")]
    Wide,
    /// A panorama.
    #[serde(rename = "5:2")]
    Panorama,
    /// A portrait.
    #[serde(rename = "3:4")]
    Portrait,
    /// A portrait, as photos are.
    #[serde(rename = "2:3")]
    UprightPhoto,
    /// A portrait, as phones are.
    #[serde(rename = "9:16")]
    Phone,
}

/// A text that names no proportions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of the proportions {words}", words = Aspect::WORDS.join(", "))]
pub struct UnknownAspect(String);

impl Aspect {
    /// All of them, landscapes before portraits.
    pub const ALL: [Self; 9] = [
        Self::Square,
        Self::Landscape,
        Self::Photo,
        Self::Screen,
        Self::Wide,
        Self::Panorama,
        Self::Portrait,
        Self::UprightPhoto,
        Self::Phone,
    ];

    /// How each of [`Self::ALL`] is written.
    pub const WORDS: &'static [&'static str] =
        &["1:1", "4:3", "3:2", "16:9", "2:1", "5:2", "3:4", "2:3", "9:16"];

    /// How it is written, width first.
    #[must_use]
    pub const fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// Width and height, as it is written.
    const fn terms(self) -> [u32; 2] {
        match self {
            Self::Square => [1, 1],
            Self::Landscape => [4, 3],
            Self::Photo => [3, 2],
            Self::Screen => [16, 9],
            Self::Wide => [2, 1],
            Self::Panorama => [5, 2],
            Self::Portrait => [3, 4],
            Self::UprightPhoto => [2, 3],
            Self::Phone => [9, 16],
        }
    }

    /// Width over height.
    #[must_use]
    pub fn ratio(self) -> f64 {
        let [across, down] = self.terms().map(f64::from);
        across / down
    }

    /// Those nearest to a picture of `width` x `height` pixels.
    #[must_use]
    pub fn nearest(width: usize, height: usize) -> Self {
        let wanted = width.max(1) as f64 / height.max(1) as f64;
        let far = |aspect: &Self| (aspect.ratio() / wanted).max(wanted / aspect.ratio());
        Self::ALL.into_iter().min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or_default()
    }

    /// Height and width of a picture of these proportions, as nearly as [`bucket`] has them.
    #[must_use]
    pub fn size(self, side: usize, multiple: usize) -> [usize; 2] {
        bucket(side, multiple, self.terms().map(|term| term as usize))
    }

    // By reference, as serde passes fields.
    pub(crate) fn is_square(&self) -> bool {
        *self == Self::Square
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl TryFrom<String> for Aspect {
    type Error = UnknownAspect;

    fn try_from(text: String) -> Result<Self, UnknownAspect> {
        text.parse()
    }
}

impl From<Aspect> for String {
    fn from(aspect: Aspect) -> Self {
        aspect.word().to_owned()
    }
}

impl FromStr for Aspect {
    type Err = UnknownAspect;

    fn from_str(text: &str) -> Result<Self, UnknownAspect> {
        let found = Self::ALL.into_iter().find(|aspect| aspect.word() == text.trim());
        found.ok_or_else(|| UnknownAspect(text.to_owned()))
    }
}

/// Height and width, in pixels, of a picture that is about as wide and high as one of `width` x `height`: the bucket with the nearest
/// aspect ratio, of about as many pixels as a square of `side` pixels has.
///
/// Buckets have at most the area of that square, and sides that are multiples of a sixteenth of it, rounded to
/// `multiple`; the longer side is at most twice that of the square (SDXL, section 2.3 and appendix I).
#[must_use]
pub fn bucket(side: usize, multiple: usize, [width, height]: [usize; 2]) -> [usize; 2] {
    let multiple = multiple.max(1);
    let step = (side / SHARE / multiple * multiple).max(multiple);
    let wanted = (width.max(1) as f64 / height.max(1) as f64).ln();
    let mut best = [side, side];
    let mut distance = wanted.abs();
    let mut across = step;
    while across <= 2 * side {
        let down = (side * side / across / step * step).min(2 * side / step * step);
        if down > 0 && across.max(down) <= LONGEST * across.min(down) {
            let found = ((across as f64 / down as f64).ln() - wanted).abs();
            if found < distance {
                (best, distance) = ([down, across], found);
            }
        }
        across += step;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (index, aspect) in Aspect::ALL.into_iter().enumerate() {
            let [across, down] = aspect.terms();
            assert_eq!(aspect.word(), format!("{across}:{down}"));
            assert_eq!((aspect as usize, aspect.word().parse()), (index, Ok(aspect)));
            let json = serde_json::to_string(&aspect).unwrap();
            assert_eq!(json, format!("\"{aspect}\""));
            assert_eq!(serde_json::from_str::<Aspect>(&json).unwrap(), aspect);
        }
        let error = "7:1".parse::<Aspect>().unwrap_err().to_string();
        assert!(error.contains("`7:1`") && error.contains("16:9"), "{error}");
    }

    #[test]
    fn pictures_have_proportions() {
        for aspect in Aspect::ALL {
            let [height, width] = aspect.size(1024, 8);
            assert_eq!(Aspect::nearest(width, height), aspect);
        }
        assert_eq!(Aspect::nearest(10, 1), Aspect::Panorama);
        assert_eq!(Aspect::nearest(0, 7), Aspect::Phone);
    }

    #[test]
    fn sdxls_sizes() {
        let sizes = Aspect::ALL.map(|aspect| aspect.size(1024, 8));
        let expected = [
            [1024, 1024],
            [896, 1152],
            [832, 1216],
            [768, 1344],
            [704, 1408],
            [640, 1600],
            [1152, 896],
            [1216, 832],
            [1344, 768],
        ];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn buckets_of_photos() {
        for (photo, expected) in [
            ([100, 100], [1024, 1024]),
            ([1216, 832], [832, 1216]),
            ([832, 1216], [1216, 832]),
            ([1600, 900], [768, 1344]),
            ([4000, 1000], [512, 2048]),
            // Beyond four to one the longest bucket remains.
            ([9000, 100], [512, 2048]),
            ([1, 9000], [2048, 512]),
        ] {
            assert_eq!(bucket(1024, 8, photo), expected, "{photo:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_bucket_fits(side in 32usize..1100, multiple in 1usize..65, width in 1usize..5000, height in 1usize..5000) {
            let side = side.next_multiple_of(multiple);
            let [h, w] = bucket(side, multiple, [width, height]);
            proptest::prop_assert!(h * w <= side * side && h > 0 && w > 0);
            proptest::prop_assert!(h % multiple == 0 && w % multiple == 0);
            proptest::prop_assert!(h.max(w) <= 2 * side);
        }
    }
}
