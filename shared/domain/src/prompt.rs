//! The sentences that MuDI puts around subjects.

/// The negative prompt of MuDI's inference: it keeps the look of a collage out of the image (MuDI, section 4.2). For bases that know
/// its words: guidance away from what means nothing to a base leads anywhere (`docs/decisions/0017-negative-prompt.md`).
pub const NEGATIVE: &str = "sticker, collage.";
/// The word of [`NEGATIVE`] by which such a base is known: a token of CLIP's vocabulary, which has `collage` in two only.
pub const NEGATIVE_WORD: &str = "sticker";

/// What a prompt counts its subjects as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// `3 objects:`
    Objects,
    /// `3 animals:`
    Animals,
    /// `3 toys:`, as the captions of the base that ships count.
    Toys,
}

/// `prompt` behind a count of its subjects, for example `4 objects: A photo of ...` (MuDI, for many subjects).
#[must_use]
pub fn counted(prompt: &str, subjects: usize, noun: Noun) -> String {
    let noun = match (noun, subjects) {
        (Noun::Objects, 1) => "object",
        (Noun::Objects, _) => "objects",
        (Noun::Animals, 1) => "animal",
        (Noun::Animals, _) => "animals",
        (Noun::Toys, 1) => "toy",
        (Noun::Toys, _) => "toys",
    };
    format!("{subjects} {noun}: {prompt}")
}

/// The prompt that asks for all of `names` in one picture, counted where they are more than two: `A photo of a and b.`,
/// `3 objects: A photo of a, b and c in the snow.` The words of `place` follow the names and begin with a space; they may be none.
#[must_use]
pub fn together<S: AsRef<str>>(names: &[S], place: &str, noun: Noun) -> String {
    let prompt = format!("A photo of {}{place}.", list(names));
    if names.len() > 2 { counted(&prompt, names.len(), noun) } else { prompt }
}

/// The caption of a photo of one subject for which the data set gives none: `A photo of {name}.`
#[must_use]
pub fn photo(name: &str) -> String {
    format!("A photo of {name}.")
}

/// The caption of a Seg-Mix collage, its names from left to right: `A photo of a, b and c, simple background.`
///
/// The words on the background keep its white out of the identities (MuDI, section 4.1).
#[must_use]
pub fn collage<S: AsRef<str>>(names: &[S]) -> String {
    format!("A photo of {}, simple background.", list(names))
}

/// The same with articles: `A photo of a a, a b and a c, simple background.`
#[must_use]
pub fn collage_with_articles(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("a {name}")).collect();
    collage(&names)
}

/// Names as a sentence lists them: `a, b and c`.
#[must_use]
pub fn list<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        few => few.concat(),
    }
}

/// The prompt from which the base model makes prior images of `class` (MuDI, appendix on training).
#[must_use]
pub fn prior(class: &str) -> String {
    format!("A photo of {class}, simple background, full body shot.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_the_papers() {
        assert_eq!(
            collage(&["olis corgi", "hta dog"]),
            "A photo of olis corgi and hta dog, simple background."
        );
        assert_eq!(collage_with_articles(&["b", "c"]), "A photo of a b and a c, simple background.");
        assert_eq!(collage(&["a", "b", "c"]), "A photo of a, b and c, simple background.");
        assert_eq!(collage::<&str>(&[]), "A photo of , simple background.");
        assert_eq!(collage(&["a"]), "A photo of a, simple background.");
        assert_eq!(together(&["a", "b"], "", Noun::Objects), "A photo of a and b.");
        assert_eq!(together(&["a", "b", "c"], " here", Noun::Toys), "3 toys: A photo of a, b and c here.");
        assert_eq!(prior("corgi"), "A photo of corgi, simple background, full body shot.");
        assert_eq!(counted("A photo.", 4, Noun::Animals), "4 animals: A photo.");
        assert_eq!(counted("A photo.", 1, Noun::Objects), "1 object: A photo.");
    }
}
