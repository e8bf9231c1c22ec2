//! Which toys a base model must not see, and groups of them that are easily mixed up.

use rand::Rng;

use crate::palette::Color;
use crate::toy::{Accessory, Kind, Pattern, Toy};

/// One combination of named attributes in this many is held out.
const HELD_OUT_ONE_IN: u64 = 10;

/// Whether the toy's named attributes (kind, colour, pattern, accessory and its colour) are held out of training.
///
/// A fixed hash decides, so the answer is the same in every run and does not depend on unnamed traits.
#[must_use]
pub fn is_held_out(toy: &Toy) -> bool {
    let hash = toy.phrase().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of FNV-1a are its weakest.
    (hash >> 32).is_multiple_of(HELD_OUT_ONE_IN)
}

/// Two held-out toys of one kind with different colours, patterns and accessories.
#[must_use]
pub fn similar_pair(rng: &mut impl Rng) -> (Toy, Toy) {
    let kind = Kind::random(rng);
    let first = held_out_of_kind(rng, kind);
    let second = loop {
        let toy = held_out_of_kind(rng, kind);
        if toy.pattern != first.pattern && tells_apart(&toy, &first) {
            break toy;
        }
    };
    (first, second)
}

/// `count` (at most 5) held-out toys of one kind: colours and accessories all different, patterns as far as there are
/// enough of them.
#[must_use]
pub fn similar_group(rng: &mut impl Rng, count: usize) -> Vec<Toy> {
    // Few combinations are held out, so the first members may leave nothing for the last: then another group is tried.
    loop {
        if let Some(group) = try_group(rng, count.min(crate::MAX_TOYS)) {
            return group;
        }
    }
}

/// A group, or nothing when no next member turned up among the toys drawn for it.
fn try_group(rng: &mut impl Rng, count: usize) -> Option<Vec<Toy>> {
    /// Enough to meet most of a kind's held-out combinations.
    const DRAWS: usize = 100;
    let kind = Kind::random(rng);
    let mut group: Vec<Toy> = Vec::with_capacity(count);
    while group.len() < count {
        let recent = group.len().saturating_sub(Pattern::ALL.len() - 1);
        let next = (0..DRAWS).map(|_| held_out_of_kind(rng, kind)).find(|toy| {
            group[recent..].iter().all(|other| other.pattern != toy.pattern)
                && group.iter().all(|other| tells_apart(toy, other))
        })?;
        group.push(next);
    }
    Some(group)
}

fn held_out_of_kind(rng: &mut impl Rng, kind: Kind) -> Toy {
    loop {
        let toy = Toy { kind, ..Toy::random(rng) };
        if is_held_out(&toy) {
            return toy;
        }
    }
}

/// Colours that are far apart, and other things worn (nothing counts as a thing).
fn tells_apart(a: &Toy, b: &Toy) -> bool {
    let worn = |toy: &Toy| toy.accessory.as_ref().map(|worn: &Accessory| worn.kind);
    let far = |a: Color, b: Color| a.rgb().distance(b.rgb()) > 0.2;
    far(a.color, b.color) && worn(a) != worn(b)
}
