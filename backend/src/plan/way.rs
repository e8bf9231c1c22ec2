//! How pictures are made where nobody is asked: as well as the memory allows.

use mudi_domain::recipe::Recipe;
use mudi_engine_candle::weights::Precision;

use super::refusal::{Cure, refused};
use super::{Job, Plan, plan};
use crate::base::{BaseError, Source};

/// Side in pixels of the tiles in which pictures are decoded where whole ones do not fit.
const TILE: usize = 512;

/// A way to make pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Pictures at a time.
    pub count: usize,
    /// Side of the tiles that they are decoded in, in pixels; none for whole pictures.
    pub tile: Option<usize>,
    /// How the base's weights are held.
    pub precision: Precision,
}

impl Way {
    /// Pictures of `size` with the LoRA of a recipe, made this way.
    #[must_use]
    pub fn job(self, size: Option<[usize; 2]>, lora: Option<&Recipe>) -> Job<'_> {
        let Self { count, tile, precision } = self;
        Job::Generate { size, tile, count, lora, precision }
    }

    /// This way and those that take less memory, the best first. Smaller groups give the same pictures but for rounding; tiles
    /// change their colours a little; weights in two bytes are others than those that were asked for.
    fn and_smaller(self) -> Vec<Self> {
        let tiled = Some(self.tile.map_or(TILE, |tile| tile.min(TILE)));
        let half = match self.precision {
            Precision::Single => Precision::Half,
            half => half,
        };
        let mut ways: Vec<Self> = Vec::new();
        for precision in [self.precision, half] {
            for tile in [self.tile, tiled] {
                let counts =
                    std::iter::successors(Some(self.count), |&count| (count > 1).then_some(count / 2));
                for way in counts.map(|count| Self { count, tile, precision }) {
                    // Of what is asked for some may save memory already.
                    if !ways.contains(&way) {
                        ways.push(way);
                    }
                }
            }
        }
        ways
    }
}

/// The first of `ways` that needs no more than is `available`, and what it needs; else the least that one of them needs.
fn first_that_fits(
    ways: &[Way],
    available: Option<usize>,
    needs: impl Fn(Way) -> Result<Plan, BaseError>,
) -> Result<Result<(Way, Plan), Plan>, BaseError> {
    let mut least: Option<Plan> = None;
    for &way in ways {
        let needs = needs(way)?;
        if available.is_none_or(|available| needs.total <= available) {
            return Ok(Ok((way, needs)));
        }
        if least.as_ref().is_none_or(|least| needs.total < least.total) {
            least = Some(needs);
        }
    }
    Ok(Err(least.unwrap_or_default()))
}

/// The best way to make pictures within `available` bytes, as `wished` or with less memory, and what it needs.
///
/// # Errors
/// [`BaseError::TooLarge`] where none fits; those of [`plan`].
pub fn way(
    base: &Source,
    size: Option<[usize; 2]>,
    lora: Option<&Recipe>,
    wished: Way,
    available: Option<usize>,
) -> Result<(Way, Plan), BaseError> {
    let found = first_that_fits(&wished.and_smaller(), available, |way| plan(base, way.job(size, lora)))?;
    found.map_err(|least| refused(base, least, available.unwrap_or(0), Cure::Tried))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const WISHED: Way = Way { count: 4, tile: None, precision: Precision::Single };

    #[test]
    fn what_changes_pictures_least_comes_first() {
        let ways = WISHED.and_smaller();
        let counts: Vec<usize> = ways.iter().map(|way| way.count).collect();
        assert_eq!(counts, [4, 2, 1].repeat(4));
        assert_eq!((ways[3].tile, ways[3].precision), (Some(TILE), Precision::Single));
        assert_eq!((ways[6].tile, ways[6].precision), (None, Precision::Half));
        // What saves memory already is not tried twice.
        let saving = Way { count: 1, tile: Some(256), precision: Precision::Bf16 };
        assert_eq!(saving.and_smaller(), [saving]);
    }

    fn pocket() -> Source {
        Source::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/pocket")).unwrap()
    }

    #[test]
    fn memory_decides() {
        let base = pocket();
        // What the program itself holds changes with the tests beside this one.
        let needs = |way: Way| {
            let mut needs = plan(&base, way.job(Some([1024; 2]), None))?;
            needs.total -= needs.program;
            Ok(needs)
        };
        let total = |way: Way| needs(way).unwrap().total;
        let ways = WISHED.and_smaller();
        let totals: Vec<usize> = ways.iter().map(|&way| total(way)).collect();
        for (at, &available) in totals.iter().enumerate() {
            let (found, least) = first_that_fits(&ways, Some(available), needs).unwrap().unwrap();
            let first = totals.iter().position(|&total| total <= available).unwrap();
            assert_eq!((found, least.total), (ways[first], totals[first]), "with room for {:?}", ways[at]);
        }
        let least = *totals.iter().min().unwrap();
        assert!(least < total(WISHED) / 2, "{totals:?}");
        assert_eq!(first_that_fits(&ways, Some(least - 1), needs).unwrap().unwrap_err().total, least);
        assert_eq!(first_that_fits(&ways, None, needs).unwrap().unwrap().0, WISHED);
    }

    #[test]
    fn what_does_not_fit_in_any_way_is_refused_in_words_of_the_page() {
        let Err(BaseError::TooLarge(large)) = way(&pocket(), None, None, WISHED, Some(1)) else {
            panic!("it fits");
        };
        let words = large.for_page();
        assert!(words.contains("one picture at a time") && !words.contains("--"), "{words}");
    }
}
