//! Which models know the toybox's toys only. Those that ship do, and the page says so before somebody puts photos of real things to them.

use std::path::Path;

use mudi_domain::api::ToysOnly;
use serde::Deserialize;

use super::settings::Settings;
use crate::base;

/// How the title of a card ends that `mudi pretrain` writes.
const TITLE: &str = "in miniature, for toys";
/// What a network of the toybox calls whatever it knows.
const ANY: &str = "toy";

/// Of the networks that see, which `settings` name.
pub(crate) fn networks(settings: &Settings) -> ToysOnly {
    ToysOnly {
        detector: knows_toys_only(&settings.detector_folder()),
        segmenter: knows_toys_only(&settings.segmenter_folder()),
        embedder: knows_toys_only(&settings.embedder_folder()),
    }
}

/// What `config.json` says of itself, where it is of a network of the toybox.
#[derive(Deserialize)]
struct Knowledge {
    #[serde(default)]
    known_classes: Vec<String>,
}

/// Whether the model in `folder` knows toys only, by its configuration or by the title of its card. Of one that says nothing it is not assumed.
pub(crate) fn knows_toys_only(folder: &Path) -> bool {
    let classes = base::read_config::<Knowledge>(folder).map(|known| known.known_classes).unwrap_or_default();
    classes.iter().any(|class| class == ANY) || titled(folder)
}

fn titled(folder: &Path) -> bool {
    let card = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    card.lines().find(|line| line.starts_with("# ")).is_some_and(|title| title.trim_end().ends_with(TITLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_knows_toys_only() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        for name in ["pocket", "owlv2-toybox", "sam-toybox", "dinov2-toybox"] {
            assert!(knows_toys_only(&models.join(name)), "{name}");
        }
    }

    #[test]
    fn by_its_own_files_and_not_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("sam-toybox");
        std::fs::create_dir(&model).unwrap();
        assert!(!knows_toys_only(&model) && !knows_toys_only(&folder.path().join("none")));
        std::fs::write(model.join("config.json"), r#"{"model_type": "owlv2"}"#).unwrap();
        std::fs::write(model.join("README.md"), "# OWLv2\nOthers are in miniature, for toys").unwrap();
        assert!(!knows_toys_only(&model));
        std::fs::write(model.join("config.json"), r#"{"known_classes": ["bear", "toy"]}"#).unwrap();
        assert!(knows_toys_only(&model));
        std::fs::write(model.join("config.json"), "{").unwrap();
        assert!(!knows_toys_only(&model));
    }
}
