//! What OWLv2's miniature is asked for, in words, and what those words are to mean.

use mudi_domain::rng::Stream;
use mudi_toybox::{Color, Kind, Toy};
use rand::Rng;

/// What stands before a noun.
pub(super) const BEFORE: [&str; 6] = ["", "a ", "the ", "one ", "a photo of a ", "a picture of a "];

/// What a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Nothing for every kind: `toy`.
    pub(super) kind: Option<Kind>,
    pub(super) color: Option<Color>,
}

impl Query {
    /// Any toy.
    pub(super) const TOY: Self = Self { kind: None, color: None };

    /// Everything that can be asked for: any toy, each kind, each kind in each colour.
    pub(super) fn all() -> Vec<Self> {
        let of_kind = |&kind: &Kind| {
            let colored = Color::ALL.iter().map(move |&color| Some(color));
            [None].into_iter().chain(colored).map(move |color| Self { kind: Some(kind), color })
        };
        [Self::TOY].into_iter().chain(Kind::ALL.iter().flat_map(of_kind)).collect()
    }

    pub(super) fn names(&self, toy: &Toy) -> bool {
        self.kind.is_none_or(|kind| kind == toy.kind) && self.color.is_none_or(|color| color == toy.color)
    }

    /// The text, with `before` before its noun.
    pub(super) fn words(&self, before: &str) -> String {
        let noun = self.kind.map_or("toy", Kind::name);
        let color = self.color.map_or(String::new(), |color| format!("{} ", color.name()));
        format!("{before}{color}{noun}")
    }

    /// The text, with anything before its noun.
    pub(super) fn text(&self, stream: &mut Stream) -> String {
        self.words(if stream.random_bool(0.3) { "" } else { BEFORE[stream.random_range(0..BEFORE.len())] })
    }

    /// What the text is to mean: a unit vector of `width` numbers (at least 19). Each kind, each colour, and being any toy has a
    /// direction of its own; a toy of a kind and a colour lies between both.
    pub(super) fn meaning(&self, width: usize) -> Vec<f32> {
        let place = |of: Option<usize>, from: usize| of.map(|index| from + index);
        let kind = self.kind.and_then(|kind| Kind::ALL.iter().position(|&k| k == kind));
        let color = self.color.and_then(|color| Color::ALL.iter().position(|&c| c == color));
        let toy = (kind.is_none() && color.is_none()).then_some(0);
        let directions = [place(toy, 0), place(kind, 1), place(color, 1 + Kind::ALL.len())];
        let length = directions.iter().flatten().count() as f32;
        let mut meaning = vec![0.0; width];
        directions.into_iter().flatten().for_each(|at| meaning[at] = length.sqrt().recip());
        meaning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_is_said_and_meant_in_its_own_way() {
        let all = Query::all();
        assert_eq!(all.len(), 1 + Kind::ALL.len() * (1 + Color::ALL.len()));
        for (index, query) in all.iter().enumerate() {
            let meaning = query.meaning(24);
            let dot = |other: &Query| meaning.iter().zip(other.meaning(24)).map(|(a, b)| a * b).sum::<f32>();
            assert!((dot(query) - 1.0).abs() < 1e-6);
            assert!(all[..index].iter().all(|other| dot(other) < 0.8), "{query:?}");
            assert!(all[..index].iter().all(|other| other.words("") != query.words("")));
        }
        let red_bear = Query { kind: Some(Kind::Bear), color: Some(Color::Red) };
        assert_eq!(red_bear.words("a photo of a "), "a photo of a red bear");
    }
}
