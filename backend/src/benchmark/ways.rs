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
    /// MuDI and Cut-Mix on two to five toys at once.
    Subjects,
    /// MuDI on two to five toys, and after it has learnt on from its best pictures.
    Improved,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Methods, Self::Ablations, Self::Gamma, Self::Subjects, Self::Improved];
    /// Those that are measured where none is named: what the paper's tables compare.
    pub const USUAL: [Self; 4] = [Self::Methods, Self::Ablations, Self::Gamma, Self::Subjects];

    /// What the command line calls it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Methods => "methods",
            Self::Ablations => "ablations",
            Self::Gamma => "gamma",
            Self::Subjects => "subjects",
            Self::Improved => "improved",
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
    /// Whether it has learnt on from its best pictures ([`improve`](crate::improve)).
    pub(super) improved: bool,
}

impl Teaching {
    const fn pair(method: Method, naming: Naming) -> Self {
        Self { method, naming, toys: 2, improved: false }
    }

    /// The name of its folders.
    pub(super) fn key(&self) -> String {
        let naming = match self.naming {
            Naming::Described => "",
            Naming::Kind => "-kind",
        };
        let improved = if self.improved { "-improved" } else { "" };
        format!("{}{naming}-{}{improved}", self.method.word(), self.toys)
    }

    /// What it learns on from, where it does.
    pub(super) const fn earlier(&self) -> Option<Self> {
        if self.improved { Some(Self { improved: false, ..*self }) } else { None }
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

/// All rows of the parts, in the order of the tables; of [`Part::Subjects`] and [`Part::Improved`] only those of `toys`, where it names any.
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
        let gamma = gamma_for(toys);
        for (key, name, method, gamma) in
            [("subjects", "MuDI", Method::Mudi, gamma), ("cutmix_subjects", "Cut-Mix", Method::Cutmix, 0.0)]
        {
            let teaching = Teaching { toys, ..pair(method) };
            let (key, title) = (format!("{key}_{toys}"), format!("{toys} toys, {name}"));
            ways.push(way(Part::Subjects, &key, &title, teaching, gamma));
        }
    }
    for toys in (2..=mudi_toybox::MAX_TOYS).filter(asked) {
        let plain = Teaching { toys, ..pair(Method::Mudi) };
        for (key, name, teaching) in [
            ("before", "MuDI", plain),
            ("improved", "MuDI, on its best pictures", Teaching { improved: true, ..plain }),
        ] {
            let (key, title) = (format!("{key}_{toys}"), format!("{toys} toys, {name}"));
            ways.push(way(Part::Improved, &key, &title, teaching, gamma_for(toys)));
        }
    }
    ways.retain(|way| parts.contains(&way.part));
    ways
}

/// How strongly the layout of so many toys counts: the paper wants stronger ones where there are many; two are also a row of other parts.
pub(super) fn gamma_for(toys: usize) -> f32 {
    if toys > 2 { suited_gamma(toys) } else { GAMMA }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_some_sizes_can_be_left_out() {
        let sizes = |toys: &[usize]| -> Vec<usize> {
            ways(&[Part::Subjects], toys).iter().map(|way| way.teaching.toys).collect()
        };
        assert_eq!(sizes(&[]), [2, 2, 3, 3, 4, 4, 5, 5]);
        assert_eq!(sizes(&[5, 3]), [3, 3, 5, 5]);
        // Other parts are of pairs.
        assert_eq!(ways(&[Part::Gamma], &[3]).len(), 5);
    }
}
