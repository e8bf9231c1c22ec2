//! What is compared: ways to teach toys, and ways to start pictures of them.

use mudi_domain::layout::suited_gamma;
use mudi_domain::recipe::Method;
use mudi_toybox::{Background, Naming};

/// Where pictures are asked for.
pub(super) const PLACES: [Background; 5] =
    [Background::Garden, Background::Beach, Background::Snow, Background::Kitchen, Background::Forest];

/// How strongly the layout shifts the first noise where nothing else is said; that of the paper's Algorithm 2.
pub(super) const GAMMA: f32 = 1.0;

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// DreamBooth, Cut-Mix and MuDI on pairs.
    Methods,
    /// MuDI without each of its parts.
    Ablations,
    /// MuDI with other strengths of the layout.
    Gamma,
    /// MuDI, with the initialization and without, and Cut-Mix on two to five toys at once.
    Subjects,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Methods, Self::Ablations, Self::Gamma, Self::Subjects];

    /// What the command line calls it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Methods => "methods",
            Self::Ablations => "ablations",
            Self::Gamma => "gamma",
            Self::Subjects => "subjects",
        }
    }
}

/// How toys are taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Teaching {
    pub(super) method: Method,
    pub(super) naming: Naming,
    /// How many toys.
    pub(super) toys: usize,
}

impl Teaching {
    const fn pair(method: Method, naming: Naming) -> Self {
        Self { method, naming, toys: 2 }
    }

    /// The name of its folders.
    pub(super) fn key(&self) -> String {
        let naming = match self.naming {
            Naming::Described => "",
            Naming::Kind => "-kind",
        };
        format!("{}{naming}-{}", self.method.word(), self.toys)
    }
}

/// One row of a table.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) part: Part,
    /// What JSON calls it.
    pub(super) key: String,
    /// What tables call it.
    pub(super) title: String,
    pub(super) teaching: Teaching,
    /// 0 starts from plain noise.
    pub(super) gamma: f32,
}

/// All rows of the parts, in the order of the tables; of [`Part::Subjects`] only those of `toys`, where it names any.
pub(super) fn ways(parts: &[Part], toys: &[usize]) -> Vec<Way> {
    // The paper names subjects by a descriptive class. Without it nothing but the identifier tells the toys apart: there methods mix
    // more. With it, every method can lean on what the base knows of colours.
    let pair = |method| Teaching::pair(method, Naming::Described);
    let kind = |method| Teaching::pair(method, Naming::Kind);
    let way = |part, key: &str, title: &str, teaching, gamma| Way {
        part,
        key: key.to_owned(),
        title: title.to_owned(),
        teaching,
        gamma,
    };
    let mut ways = vec![
        way(Part::Methods, "dreambooth", "DreamBooth", pair(Method::Dreambooth), 0.0),
        way(Part::Methods, "cutmix", "Cut-Mix", pair(Method::Cutmix), 0.0),
        way(Part::Methods, "mudi", "MuDI", pair(Method::Mudi), GAMMA),
        way(
            Part::Methods,
            "dreambooth_kind",
            "DreamBooth, by kind (“bear” for “red bear”)",
            kind(Method::Dreambooth),
            0.0,
        ),
        way(Part::Methods, "cutmix_kind", "Cut-Mix, by kind", kind(Method::Cutmix), 0.0),
        way(Part::Methods, "mudi_kind", "MuDI, by kind", kind(Method::Mudi), GAMMA),
        way(Part::Ablations, "whole", "MuDI", pair(Method::Mudi), GAMMA),
        way(
            Part::Ablations,
            "without_segmix",
            "MuDI without Seg-Mix (DreamBooth, shifted noise)",
            pair(Method::Dreambooth),
            GAMMA,
        ),
        way(
            Part::Ablations,
            "without_initialization",
            "MuDI without the initialization",
            pair(Method::Mudi),
            0.0,
        ),
        way(
            Part::Ablations,
            "without_descriptive_class",
            "MuDI without the descriptive class (“bear” for “red bear”)",
            kind(Method::Mudi),
            GAMMA,
        ),
    ];
    for gamma in [0.0, 1.0, 2.0, 3.0, 4.0f32] {
        let (key, title) = (format!("gamma_{gamma}"), format!("γ = {gamma}"));
        ways.push(way(Part::Gamma, &key, &title, pair(Method::Mudi), gamma));
    }
    let asked = |count: &usize| toys.is_empty() || toys.contains(count);
    for toys in (2..=mudi_toybox::MAX_TOYS).filter(asked) {
        // The paper wants stronger layouts where there are many; two are also a row of the other parts.
        let gamma = if toys > 2 { suited_gamma(toys) } else { GAMMA };
        for (key, name, method, gamma) in [
            ("subjects", "MuDI", Method::Mudi, gamma),
            ("subjects_without_initialization", "without the initialization", Method::Mudi, 0.0),
            ("cutmix_subjects", "Cut-Mix", Method::Cutmix, 0.0),
        ] {
            let teaching = Teaching { toys, ..pair(method) };
            let (key, title) = (format!("{key}_{toys}"), format!("{toys} toys, {name}"));
            ways.push(way(Part::Subjects, &key, &title, teaching, gamma));
        }
    }
    ways.retain(|way| parts.contains(&way.part));
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_some_sizes_can_be_left_out() {
        let sizes = |toys: &[usize]| -> Vec<usize> {
            ways(&[Part::Subjects], toys).iter().map(|way| way.teaching.toys).collect()
        };
        assert_eq!(sizes(&[]), [2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]);
        assert_eq!(sizes(&[5, 3]), [3, 3, 3, 5, 5, 5]);
        // Other parts are of pairs.
        assert_eq!(ways(&[Part::Gamma], &[3]).len(), 5);
    }
}
