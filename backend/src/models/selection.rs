//! Which files of a repository are needed.

use std::collections::BTreeMap;

use super::hub::RemoteFile;

/// The folders that a model in diffusers' layout is made of.
const FOLDERS: [&str; 7] =
    ["unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"];

/// Those of `files` that are needed: configurations, vocabularies, and weights as safetensors; with `half`, those in half
/// precision where a folder has both. Of a repository in diffusers' layout only the folders of its networks count.
pub(super) fn needed<'a>(files: &'a [RemoteFile], without: &[&str], half: bool) -> Vec<&'a RemoteFile> {
    let in_folders = files.iter().any(|file| file.path == "model_index.json");
    let mut folders: BTreeMap<&str, Vec<&RemoteFile>> = BTreeMap::new();
    for file in files {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let wanted = match folder {
            "" => !in_folders || name == "model_index.json",
            folder => in_folders && FOLDERS.contains(&folder) && !without.contains(&folder),
        };
        let readable =
            [".json", ".txt", ".safetensors"].iter().any(|end| name.ends_with(end)) && !name.starts_with('.');
        if wanted && readable {
            folders.entry(folder).or_default().push(file);
        }
    }
    folders.into_values().flat_map(|files| one_precision(&files, half)).collect()
}

/// Whether a name is of weights, or of the index of their shards.
fn is_weights(path: &str) -> bool {
    path.ends_with(".safetensors") || path.contains(".safetensors.index.")
}

/// Whether weights have a name under which a network looks for them.
fn is_usual(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    ["diffusion_pytorch_model", "model"]
        .iter()
        .any(|stem| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['.', '-'])))
}

/// The files of a folder, with weights in one precision; of a network's folder not what lies there for other programs.
fn one_precision<'a>(files: &[&'a RemoteFile], half: bool) -> Vec<&'a RemoteFile> {
    let is_half = |file: &RemoteFile| file.path.contains(".fp16.") || file.path.contains(".fp16-");
    // Other variants (`.non_ema.`, `openvino_`, `flax_`) are nobody's.
    let is_network = files.iter().any(|file| file.path.rsplit('/').next() == Some("config.json"))
        && files.iter().any(|file| is_weights(&file.path) && is_usual(&file.path));
    let other = |path: &str| {
        ["non_ema", "openvino", "flax", "onnx"].iter().any(|word| path.contains(word))
            || (is_network && !is_usual(path))
    };
    let weights = |wanted: bool| {
        files.iter().any(|file| is_weights(&file.path) && is_half(file) == wanted && !other(&file.path))
    };
    let take_half = if half { weights(true) } else { !weights(false) };
    let wanted =
        |file: &&RemoteFile| !is_weights(&file.path) || (is_half(file) == take_half && !other(&file.path));
    files.iter().copied().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<RemoteFile> {
        let file =
            |path: &&str| RemoteFile { path: (*path).to_owned(), url: String::new(), size: 1, sha256: None };
        paths.iter().map(file).collect()
    }

    fn chosen(paths: &[&str], without: &[&str], half: bool) -> Vec<String> {
        needed(&files(paths), without, half).iter().map(|file| file.path.clone()).collect()
    }

    #[test]
    fn a_model_in_folders() {
        let paths = [
            "README.md",
            "model_index.json",
            "sd_xl_base_1.0.safetensors",
            "scheduler/scheduler_config.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.bin",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/openvino_model.safetensors",
            "tokenizer/merges.txt",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
            "safety_checker/model.safetensors",
        ];
        let common = [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "tokenizer/merges.txt",
            "unet/config.json",
        ];
        let half = chosen(&paths, &["vae"], true);
        assert_eq!(half, [&common[..], &["unet/diffusion_pytorch_model.fp16.safetensors"]].concat());
        let single = chosen(&paths, &[], false);
        let vae = ["vae/config.json", "vae/diffusion_pytorch_model.safetensors"];
        assert_eq!(single, [&common[..], &["unet/diffusion_pytorch_model.safetensors"], &vae].concat());
    }

    #[test]
    fn a_network_in_one_folder() {
        let paths =
            ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", ".gitattributes"];
        assert_eq!(chosen(&paths, &[], true), ["config.json", "model.safetensors"]);
        // As that of SDXL's mended autoencoder, which holds it for other programs, too.
        let paths = [
            "config.json",
            "diffusion_pytorch_model.safetensors",
            "sdxl.vae.safetensors",
            "sdxl_vae.safetensors",
        ];
        assert_eq!(chosen(&paths, &[], true), paths[..2]);
        let shards = ["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"];
        assert_eq!(chosen(&shards, &[], false), shards);
        let foreign = ["config.json", "model.safetensors", "other.fp16.safetensors"];
        assert_eq!(chosen(&foreign, &[], true), foreign[..2]);
        // Of checkpoint files nobody knows which is wanted.
        let files = ["one.safetensors", "two.safetensors"];
        assert_eq!(chosen(&files, &[], true), files);
    }
}
