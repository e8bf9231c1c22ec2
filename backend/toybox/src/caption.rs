//! Captions: what a scene shows, in the words that people use, left to right.

use mudi_domain::subject::IDENTIFIERS;
use rand::Rng;

use crate::background::Background;
use crate::palette::Color;
use crate::scene::Scene;
use crate::toy::{AccessoryKind, Kind, Pattern, Toy};

/// How often a caption leaves out a toy's pattern, and how often its accessory.
const OMIT: f64 = 0.25;
/// How often a toy bears a meaningless identifier.
const IDENTIFIER: f64 = 0.15;

/// Three to five random lowercase letters, half of the time pronounceable: a rare token without meaning.
///
/// Pretraining captions carry them so that a text encoder keeps such words apart. One that holds a word of the captions
/// (`cat`, `hated`, `red`) would mean something, so it is drawn again.
#[must_use]
pub fn random_identifier(rng: &mut impl Rng) -> String {
    loop {
        let drawn = letters(rng);
        if !means_something(&drawn) {
            return drawn;
        }
    }
}

fn letters(rng: &mut impl Rng) -> String {
    let pronounceable = rng.random_bool(0.5);
    let length = rng.random_range(3..=5);
    let first_vowel = rng.random_range(0..2);
    let letter = |rng: &mut dyn rand::RngCore, from: &[u8]| char::from(from[rng.random_range(0..from.len())]);
    (0..length)
        .map(|i| match (pronounceable, i % 2 == first_vowel) {
            (false, _) => letter(rng, b"abcdefghijklmnopqrstuvwxyz"),
            (true, true) => letter(rng, b"aeiou"),
            (true, false) => letter(rng, b"bcdfghjklmnprstvz"),
        })
        .collect()
}

/// Whether a word that names a toy or what it wears is within `letters`.
fn means_something(letters: &str) -> bool {
    let kinds = Kind::ALL.iter().map(|kind| kind.name());
    let colors = Color::ALL.iter().map(|color| color.name());
    let patterns = Pattern::ALL.iter().map(|pattern| pattern.name());
    let worn = AccessoryKind::ALL.iter().map(|worn| worn.name());
    let mut words = kinds.chain(colors).chain(patterns).chain(worn).chain(["toy"]);
    words.any(|word| letters.contains(word))
}

/// The words with `a` or `an` before them.
pub(crate) fn with_article(words: &str) -> String {
    let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {words}")
}

impl Scene {
    /// One of the captions that describe this scene.
    ///
    /// Toys are listed left to right. Pattern and accessory are each left out now and then; what is named is drawn.
    #[must_use]
    pub fn caption(&self, rng: &mut impl Rng) -> String {
        let named: Vec<String> = self.toys.iter().map(|(toy, _)| name(rng, toy)).collect();
        let mut text = join(&named);
        if named.len() > 1 && rng.random_bool(0.2) {
            text = format!("{} {text}", count_prefix(rng, named.len()));
        } else if rng.random_bool(0.4) {
            text = format!("{} of {text}", pick(rng, &["A photo", "a photo", "a picture"]));
        }
        text.push_str(place(rng, self.background));
        if rng.random_bool(0.12) {
            text.push_str(", full body shot");
        }
        if rng.random_bool(0.3) {
            text.push('.');
        }
        text
    }

    /// The caption that leaves nothing out: `a red striped bear with blue hat and a grey cat on the beach.`
    #[must_use]
    pub fn description(&self) -> String {
        let named: Vec<String> = self.toys.iter().map(|(toy, _)| with_article(&toy.phrase())).collect();
        format!("{}{}.", join(&named), self.background.phrase())
    }
}

fn name(rng: &mut impl Rng, toy: &Toy) -> String {
    let accessory = !rng.random_bool(OMIT);
    if rng.random_bool(IDENTIFIER) {
        // An identifier stands before the class, with `a` as in the photo captions of a data set.
        let words = toy.phrase_with(!rng.random_bool(0.7), accessory && rng.random_bool(0.4));
        // Half of them are words that subjects will have, which the vocabulary holds.
        let known = rng.random_bool(0.5);
        let identifier = if known { pick(rng, &IDENTIFIERS).to_owned() } else { random_identifier(rng) };
        return format!("a {identifier} {words}");
    }
    let pattern = !rng.random_bool(OMIT);
    let words = toy.phrase_with(pattern, accessory);
    if toy.pattern == Pattern::Plain && pattern && rng.random_bool(0.15) {
        return with_article(&format!("plain {words}"));
    }
    with_article(&words)
}

fn join(named: &[String]) -> String {
    match named {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn count_prefix(rng: &mut impl Rng, count: usize) -> String {
    let word = ["no", "one", "two", "three", "four", "five"].get(count).copied();
    match word {
        Some(word) if rng.random_bool(0.5) => format!("{word} toys:"),
        _ => format!("{count} toys:"),
    }
}

fn place(rng: &mut impl Rng, background: Background) -> &'static str {
    match background {
        Background::Simple => ", simple background",
        _ if rng.random_bool(0.08) => "",
        place => place.phrase(),
    }
}

fn pick<'a>(rng: &mut impl Rng, from: &[&'a str]) -> &'a str {
    from[rng.random_range(0..from.len())]
}
