//! Networks as other versions of their tools have left them, and relatives of theirs.

use std::path::Path;

use image::RgbImage;
use mudi::segment::Segmenter;
use mudi::vision::Embedder;
use mudi_engine_candle::weights::{NamedTensors, read_safetensors, to_safetensors};
use mudi_tests::golden::fixture;
use mudi_tests::workshop::copy_folder;
use mudi_vision::sam::Prompt;

/// DINOv2 in miniature in a folder of its own, whose weights are called as `renamed` says.
fn dinov2_tiny(renamed: impl Fn(&str) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixture("vision/dinov2-tiny"), folder.path());
    let path = folder.path().join("model.safetensors");
    let weights = read_safetensors(&path).unwrap();
    let weights: NamedTensors = weights.into_iter().map(|(name, value)| (renamed(&name), value)).collect();
    std::fs::write(&path, to_safetensors(&weights, None).unwrap()).unwrap();
    folder
}

#[test]
fn weights_may_lie_where_other_versions_of_transformers_put_them() {
    let image = RgbImage::from_fn(40, 30, |x, y| image::Rgb([6 * x as u8, 8 * y as u8, 90]));
    let identity = |folder: &Path| Embedder::load(folder).unwrap().embed(&image).unwrap();
    // With a classifier above it.
    let folder = dinov2_tiny(|name| format!("dinov2.{name}"));
    assert_eq!(identity(folder.path()), identity(&fixture("vision/dinov2-tiny")));
    // The tied frequencies of a SAM: the one copy or the other is kept.
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixture("sam-tiny"), folder.path());
    let path = folder.path().join("model.safetensors");
    let mut weights = read_safetensors(&path).unwrap();
    let frequencies = weights.remove("shared_image_embedding.positional_embedding").unwrap();
    weights.insert("prompt_encoder.shared_embedding.positional_embedding".to_owned(), frequencies);
    std::fs::write(&path, to_safetensors(&weights, None).unwrap()).unwrap();
    let prompt = Prompt { bounds: Some([5.0, 5.0, 30.0, 25.0]), ..Prompt::default() };
    let mask = |folder: &Path| {
        let sam = Segmenter::load(folder).unwrap();
        let embedded = sam.embed(&image).unwrap();
        sam.masks(&embedded, &prompt, false).unwrap().remove(0).iou
    };
    assert_eq!(mask(folder.path()), mask(&fixture("sam-tiny")));
}

#[test]
fn relatives_that_are_not_read_are_named() {
    let refused = |folder: &Path, words: &[&str]| {
        let error = Embedder::load(folder).err().unwrap().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let folder = dinov2_tiny(str::to_owned);
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap().replace("\"dinov2\"", "\"dinov2_with_registers\"");
    std::fs::write(&config, text).unwrap();
    refused(folder.path(), &["config.json", "registers", "pull dinov2"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dinov2_vitb14_reg4_pretrain.pth"), b"").unwrap();
    refused(folder.path(), &["reg4", "registers"]);
    // One of DreamSim's single networks is not taken for the network below it.
    std::fs::write(folder.path().join("dinov2_vitb14_pretrain.pth"), b"").unwrap();
    std::fs::create_dir(folder.path().join("dinov2_vitb14_single_lora")).unwrap();
    refused(folder.path(), &["dinov2_vitb14_single_lora", "DreamSim", "ensemble"]);
}
