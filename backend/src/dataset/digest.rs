//! Digests of a data set's files, by which a run knows its photos again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::sha256;

/// SHA-256 of each file, in hexadecimal, by its path in the data set's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digests(BTreeMap<String, String>);

impl Digests {
    /// Takes a file in.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_owned(), sha256(bytes));
    }

    /// The files whose bytes differ, or that only one of the two has; sorted.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let lacking = other.0.keys().filter(|name| !self.0.contains_key(*name));
        let differing = self.0.iter().filter(|(name, digest)| other.0.get(*name) != Some(digest));
        let mut names: Vec<String> = differing.map(|(name, _)| name).chain(lacking).cloned().collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(files: &[(&str, &str)]) -> Digests {
        let mut digests = Digests::default();
        for (name, bytes) in files {
            digests.add(name, bytes.as_bytes());
        }
        digests
    }

    #[test]
    fn a_file_that_differs_is_new_or_is_gone_has_changed() {
        let before = digests(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let after = digests(&[("a", "1"), ("c", "4"), ("0", "5")]);
        assert_eq!(before.changed(&after), ["0", "b", "c"]);
        assert_eq!(after.changed(&before), ["0", "b", "c"]);
        assert!(before.changed(&before.clone()).is_empty());
    }

    #[test]
    fn the_digest_is_sha_256_and_survives_json() {
        let digests = digests(&[("a", "abc")]);
        let text = serde_json::to_string(&digests).unwrap();
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text, format!(r#"{{"a":"{abc}"}}"#));
        assert_eq!(serde_json::from_str::<Digests>(&text).unwrap(), digests);
    }
}
