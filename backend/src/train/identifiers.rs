//! Identifiers that a base's vocabulary does not hold as words, or that several subjects have.

use itertools::Itertools as _;
use mudi_diffusion::Component;
use mudi_domain::subject::IDENTIFIERS;

use crate::base::{BaseError, Source};

/// For each of `names` (`<identifier> <class>`) whose identifier is several tokens of the base's vocabulary, a sentence that says so and what would
/// help. None where the base has no better word to offer. Before these a sentence for each identifier that several have.
///
/// Such tokens are parts of other words, too, and subjects are mixed up more (`docs/decisions/0005-toybox-and-pocket-model.md`).
///
/// # Errors
/// [`BaseError`], naming the tokenizer's file.
pub(crate) fn notes_on_identifiers(source: &Source, names: &[&str]) -> Result<Vec<String>, BaseError> {
    let tokenizer = source.tokenizer(Component::TextEncoder)?;
    let tokens = |word: &str| tokenizer.count(word).unwrap_or_default();
    let identifiers = || names.iter().filter_map(|name| name.split_whitespace().next());
    let free =
        |word: &&str| identifiers().all(|taken| !taken.eq_ignore_ascii_case(word)) && tokens(word) == 1;
    let mut better = IDENTIFIERS.into_iter().filter(free);
    let in_pieces = identifiers()
        .filter(|identifier| tokens(identifier) > 1)
        .map_while(|identifier| {
            let (better, count) = (better.next()?, tokens(identifier));
            Some(format!(
                "“{identifier}” is {count} tokens for this base, which are parts of other words, too, so subjects are mixed up more. \
                 “{better}” is a single rare one."
            ))
        });
    Ok(shared(identifiers()).chain(in_pieces).collect())
}

/// A sentence for each identifier that several subjects have, in letters of any case.
fn shared<'a>(identifiers: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    identifiers.counts_by(str::to_lowercase).into_iter().filter(|(_, count)| *count > 1).sorted().map(
        |(identifier, count)| {
            format!(
                "{count} subjects have the identifier “{identifier}”: only what stands behind it tells them apart, and a prompt with it means \
                 all of them. Give each its own."
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_is_told_with_what_would_be() {
        let pocket = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pocket");
        let source = Source::open(pocket.as_ref()).unwrap();
        assert!(notes_on_identifiers(&source, &["olis bear", "Hta bear"]).unwrap().is_empty());
        let told = notes_on_identifiers(&source, &["olis bear", "bella dog", "mydog dog"]).unwrap();
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("“bella” is") && told[0].contains("“hta”"), "{told:?}");
        assert!(told[1].contains("“mydog” is") && told[1].contains("“ult”"), "{told:?}");
        let told = notes_on_identifiers(&source, &["olis bear", "Olis dog", "hta bear"]).unwrap();
        assert!(told.len() == 1 && told[0].starts_with("2 subjects have the identifier “olis”"), "{told:?}");
    }
}
