//! Names of subjects: suggestions, and warnings before two of them get in each other's way.

use mudi_domain::api::SubjectSummary;
use mudi_domain::subject::IDENTIFIERS;

/// Words that say so little that subjects with them are mixed up more (the paper's ablation of the class).
const PLAIN: [&str; 20] = [
    "animal", "bag", "bear", "bird", "boy", "car", "cat", "chair", "cup", "dog", "doll", "girl", "man",
    "object", "person", "robot", "thing", "toy", "vase", "woman",
];

/// Identifiers that no subject has yet, at most `most`.
#[must_use]
pub fn suggestions(taken: &[SubjectSummary], most: usize) -> Vec<&'static str> {
    let free = |word: &&str| taken.iter().all(|subject| !words(&subject.name).any(|known| known == **word));
    IDENTIFIERS.into_iter().filter(|word| free(word)).take(most).collect()
}

/// A key for a new subject: the first letter that none has.
#[must_use]
pub fn free_id(taken: &[SubjectSummary]) -> String {
    let free = |id: &String| taken.iter().all(|subject| subject.id.as_str() != id.as_str());
    let letters = ('a'..='z').map(String::from);
    let id = letters.chain((1..).map(|number| format!("s{number}"))).find(free);
    id.unwrap_or_default()
}

/// What may go wrong with an identifier and a class beside the names of `others`, in words; most important first.
#[must_use]
pub fn warnings(identifier: &str, class: &str, others: &[&str]) -> Vec<String> {
    let (identifier, class) = (identifier.trim().to_lowercase(), class.trim().to_lowercase());
    let mut found = Vec::new();
    for name in others {
        let Some(other) = words(name).next() else { continue };
        if identifier.is_empty() {
            continue;
        }
        if other == identifier {
            found.push(format!(
                "“{name}” has this identifier already: the model could not tell the two apart."
            ));
        } else if nearly(&other, &identifier) {
            found.push(format!(
                "“{identifier}” is nearly “{other}”, which “{name}” has: the model may read both alike."
            ));
        } else if words(name).any(|word| word == identifier) {
            found.push(format!("“{identifier}” is a word in “{name}”: choose one that means nothing."));
        }
    }
    if class.split_whitespace().any(|word| word == identifier) && !identifier.is_empty() {
        found.push("The identifier is also a word of the class: choose one that means nothing.".to_owned());
    }
    if PLAIN.contains(&identifier.as_str()) {
        found.push(format!("“{identifier}” means something to the model already: choose a rare word."));
    }
    if PLAIN.contains(&class.as_str()) {
        found.push(format!(
            "“{class}” is plain. Plain classes are mixed up more: say closely what it is, as “Weimaraner” or “brown teddy bear”."
        ));
    }
    let same =
        others.iter().find(|name| !class.is_empty() && words(name).skip(1).eq(class.split_whitespace()));
    if let Some(name) = same {
        found.push(format!(
            "“{name}” has the same class: say what tells the two apart, for example the colour."
        ));
    }
    found
}

fn words(name: &str) -> impl Iterator<Item = String> + '_ {
    name.split_whitespace().map(str::to_lowercase)
}

/// Whether one edit makes `b` of `a`.
fn nearly(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let end = a[same..].iter().rev().zip(b[same..].iter().rev()).take_while(|(x, y)| x == y).count();
    a.len().max(b.len()) - same - end <= 1
}

#[cfg(test)]
mod tests {
    use mudi_domain::subject::SubjectId;

    use super::*;

    fn taken(names: &[&str]) -> Vec<SubjectSummary> {
        let subject = |(index, name): (usize, &&str)| SubjectSummary {
            id: SubjectId::new(&char::from(b'a' + index as u8).to_string()).unwrap(),
            name: (*name).to_owned(),
            photos: 0,
            version: 1,
        };
        names.iter().enumerate().map(subject).collect()
    }

    #[test]
    fn what_is_suggested_is_free() {
        assert_eq!(suggestions(&[], 3), ["olis", "hta", "ult"]);
        assert_eq!(suggestions(&taken(&["Olis brown bear", "the hta"]), 2), ["ult", "amg"]);
        assert_eq!((free_id(&[]), free_id(&taken(&["x y", "z w"]))), ("a".to_owned(), "c".to_owned()));
    }

    #[test]
    fn clashes_are_warned_of() {
        let warned = |identifier, class, part: &str| {
            let found = warnings(identifier, class, &["olis brown teddy bear"]);
            assert!(found.iter().any(|text| text.contains(part)), "{identifier} {class}: {found:?}");
        };
        warned("Olis", "Weimaraner", "has this identifier already");
        warned("olix", "Weimaraner", "is nearly");
        warned("oli", "Weimaraner", "is nearly");
        warned("teddy", "Weimaraner", "is a word in");
        warned("hta", "dog", "is plain");
        warned("dog", "Weimaraner", "means something");
        warned("hta", "hta corgi", "also a word of the class");
        warned("hta", "brown teddy bear", "the same class");
    }

    #[test]
    fn good_names_are_left_alone() {
        assert_eq!(warnings("hta", "orange tabby cat", &["olis brown teddy bear"]), Vec::<String>::new());
        assert_eq!(warnings("", "", &["olis bear"]), Vec::<String>::new());
    }

    #[test]
    fn one_edit_is_near() {
        for (a, b, near) in [
            ("hta", "hta", true),
            ("hta", "hat", false),
            ("ab", "abc", true),
            ("", "a", true),
            ("ab", "cd", false),
        ] {
            assert_eq!(nearly(a, b), near, "{a} {b}");
        }
    }
}
