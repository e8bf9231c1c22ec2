//! The types of parameters, and their text and JSON forms.

use std::fmt;
use std::str::FromStr;

use serde_json::Value as Json;

use super::parameter::Kind;
use crate::aspect::Aspect;
use crate::subject::SubjectId;

/// A type that a recipe's field may have. Texts have passed [`Kind::check`] before they are parsed.
pub(super) trait Value: Sized {
    fn parse(text: &str, kind: &Kind) -> Result<Self, String>;
    /// Text that `parse` reads back.
    fn text(&self, kind: &Kind) -> String;
    fn json(&self, kind: &Kind) -> Json {
        self.text(kind).into()
    }
}

macro_rules! numeric {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn parse(text: &str, _: &Kind) -> Result<Self, String> {
                text.parse().map_err(|_| format!("a number of type {} is needed", stringify!($type)))
            }
            fn text(&self, _: &Kind) -> String {
                // The debug form is the shortest that reads back: `0.0001`, `1e-8`.
                format!("{self:?}")
            }
            fn json(&self, _: &Kind) -> Json {
                (*self).into()
            }
        }
    )*};
}
numeric!(u32, u64, f64, bool);

impl Value for Vec<String> {
    fn parse(text: &str, kind: &Kind) -> Result<Self, String> {
        let Kind::List(separator) = kind else { return Err("a list is needed".to_owned()) };
        Ok(text.split(*separator).map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }
    fn text(&self, kind: &Kind) -> String {
        let separator = if let Kind::List(separator) = kind { *separator } else { ',' };
        self.join(&separator.to_string())
    }
    fn json(&self, _: &Kind) -> Json {
        self.clone().into()
    }
}

impl Value for Aspect {
    fn parse(text: &str, _: &Kind) -> Result<Self, String> {
        text.parse().map_err(|_| format!("one of {} is needed", Self::WORDS.join(", ")))
    }
    fn text(&self, _: &Kind) -> String {
        self.word().to_owned()
    }
}

macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$item_meta:meta])* $item:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$item_meta])* $item,)* }

        impl $name {
            /// The words that stand for the variants, in their order.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word that stands for this variant.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$item => $word,)* }
            }
        }

        impl Value for $name {
            fn parse(text: &str, _: &Kind) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$item),)*
                    _ => Err(format!("one of {} is needed", Self::WORDS.join(", "))),
                }
            }
            fn text(&self, _: &Kind) -> String {
                self.word().to_owned()
            }
        }
    };
}

choice! {
    /// How training samples are made.
    Method {
        /// MuDI: photos, and Seg-Mix collages of segmented subjects.
        Mudi = "mudi",
        /// DreamBooth: photos alone.
        Dreambooth = "dreambooth",
        /// Cut-Mix: photos, and pairs of whole photos side by side.
        Cutmix = "cutmix",
    }
}

choice! {
    /// What keeps the base model's knowledge of the subjects' classes.
    Regularization {
        /// Prior preservation: the base's own images of each class are trained on, too.
        Prior = "prior",
        /// Direct consistency: the loss is compared with that of the base without LoRA; no images are needed.
        Dco = "dco",
        /// Kullback-Leibler: what is predicted shall stay near to what the model predicted before; no images are needed.
        Kl = "kl",
        /// Nothing.
        None = "none",
    }
}

choice! {
    /// How the base's frozen weights are held.
    Precision {
        /// As `f32`.
        Single = "single",
        /// Those of linear layers and convolutions in two bytes, as files in half precision have them, others in bf16.
        Half = "half",
        /// Those of linear layers and convolutions in bf16, which some processors multiply twice as fast.
        Bf16 = "bf16",
    }
}

choice! {
    /// What moves the weights.
    Optimizer {
        /// AdamW, its moments in four bytes each.
        Adamw = "adamw",
        /// AdamW, its moments in one byte each.
        Adamw8bit = "adamw8bit",
        /// Prodigy, which finds its learning rate by itself.
        Prodigy = "prodigy",
    }
}

choice! {
    /// How the learning rate goes on after the warm-up.
    LearningSchedule {
        /// As it is.
        Constant = "constant",
        /// In a straight line to zero at the last step.
        Linear = "linear",
        /// Along half a cosine to zero at the last step.
        Cosine = "cosine",
    }
}

/// How large subjects are beside each other, for example `a=1,b=0.6`; a subject that is not named has 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RelativeSizes(Vec<(SubjectId, f64)>);

impl RelativeSizes {
    /// The smallest and the largest relative size.
    pub const RANGE: std::ops::RangeInclusive<f64> = 0.05..=1.0;

    /// The relative size of `subject`, in [`Self::RANGE`].
    #[must_use]
    pub fn of(&self, subject: &SubjectId) -> f64 {
        self.0.iter().find(|(id, _)| id == subject).map_or(1.0, |(_, size)| *size)
    }

    /// Whether no subject is named: sizes are free.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The named subjects and their sizes, in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&SubjectId, f64)> {
        self.0.iter().map(|(id, size)| (id, *size))
    }
}

impl FromStr for RelativeSizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut sizes: Vec<(SubjectId, f64)> = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let pair = item.split_once('=').and_then(|(id, size)| {
                Some((SubjectId::new(id.trim()).ok()?, size.trim().parse::<f64>().ok()?))
            });
            match pair {
                Some((id, _)) if sizes.iter().any(|(known, _)| *known == id) => {
                    return Err(format!("`{id}` is given twice; give each subject one size"));
                }
                Some((id, size)) if Self::RANGE.contains(&size) => sizes.push((id, size)),
                _ => return Err("sizes from 0.05 to 1, as `a=1,b=0.6`, are needed".to_owned()),
            }
        }
        Ok(Self(sizes))
    }
}

impl fmt::Display for RelativeSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (id, size)) in self.0.iter().enumerate() {
            write!(f, "{}{id}={size:?}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl Value for RelativeSizes {
    fn parse(text: &str, _: &Kind) -> Result<Self, String> {
        text.parse()
    }
    fn text(&self, _: &Kind) -> String {
        self.to_string()
    }
}
