//! What is read of a base's folder.

use super::*;

#[test]
fn only_words_of_the_vocabulary_are_kept_away() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = folder.path().join("tokenizer");
    std::fs::create_dir(&tokenizer).unwrap();
    for (name, text) in vocabulary::files(false).unwrap() {
        std::fs::write(tokenizer.join(name), text).unwrap();
    }
    let suited = |path: &Path| Source::open(path).unwrap().negative_prompt().unwrap();
    assert_eq!(suited(folder.path()), "sticker, collage.");
    assert_eq!(suited(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pocket").as_ref()), "");
}

/// As transformers 5 writes it.
#[test]
fn a_tokenizer_may_lie_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, whole] = ["plain", "whole"].map(|name| folder.path().join(name));
    for base in [&plain, &whole] {
        std::fs::create_dir_all(base.join("tokenizer")).unwrap();
    }
    let write = |base: &Path, name: &str, text: &str| {
        std::fs::write(base.join("tokenizer").join(name), text).unwrap();
    };
    let mut model = serde_json::json!({ "type": "BPE", "end_of_word_suffix": "</w>" });
    for (name, text) in vocabulary::files(true).unwrap() {
        write(&plain, name, &text);
        match name {
            "vocab.json" => model["vocab"] = serde_json::from_str(&text).unwrap(),
            "merges.txt" => {
                let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
                model["merges"] = lines.map(|line| line.split(' ').collect::<Vec<_>>()).collect();
            }
            _ => write(&whole, name, &text),
        }
    }
    write(&whole, "tokenizer.json", &serde_json::json!({ "model": model }).to_string());
    let [plain, whole] = [plain, whole].map(|base| Source::open(&base).unwrap());
    let [expected, found] = [&plain, &whole].map(|source| source.tokenizer(Component::TextEncoder).unwrap());
    for text in ["A photo of olis bear, 3 of them!", "żółć 🐻", ""] {
        assert_eq!(found.encode(text).unwrap(), expected.encode(text).unwrap(), "{text}");
    }
    assert_eq!((found.pad_id(), found.max_length()), (0, 77));
    assert_eq!(whole.negative_prompt().unwrap(), "sticker, collage.");
    let names = |source: &Source| {
        let files = source.tokenizer_files(Component::TextEncoder).unwrap();
        files.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(&whole), names(&plain), "what a merged base is written with");
    // Neither one nor the other.
    std::fs::remove_file(whole.path().join("tokenizer/tokenizer.json")).unwrap();
    let error = whole.tokenizer(Component::TextEncoder).unwrap_err().to_string();
    assert!(error.contains("vocab.json"), "{error}");
}

#[test]
fn a_base_for_inpainting_is_refused_before_it_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let pocket = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pocket/unet/config.json");
    let mut config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(pocket).unwrap()).unwrap();
    config["in_channels"] = 9.into();
    std::fs::create_dir(folder.path().join("unet")).unwrap();
    std::fs::write(folder.path().join("unet/config.json"), config.to_string()).unwrap();
    let job = crate::plan::Job::Generate {
        size: None,
        tile: None,
        count: 1,
        lora: None,
        precision: Precision::Single,
    };
    let source = Source::open(folder.path()).unwrap();
    let error = crate::plan::plan(&source, job).unwrap_err().to_string();
    for word in ["unet/config.json", "`in_channels` is 9", "inpainting"] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}
/// Folders made by hand may lack diffusers' index, or this field of it.
#[test]
fn an_empty_negative_prompt_is_zeros_for_sdxl_unless_its_index_says_otherwise() {
    for (fixture, pooled) in [("sdxl-tiny", true), ("sd15-tiny", false)] {
        let folder = tempfile::tempdir().unwrap();
        let unet = folder.path().join("unet");
        std::fs::create_dir(&unet).unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(fixture);
        std::fs::copy(fixture.join("unet/config.json"), unet.join("config.json")).unwrap();
        let zeros = || Source::open(folder.path()).unwrap().zeros_for_empty_prompt().unwrap();
        assert_eq!(zeros(), pooled);
        for (index, expected) in [
            ("{}", pooled),
            (r#"{"force_zeros_for_empty_prompt": null}"#, pooled),
            (r#"{"force_zeros_for_empty_prompt": false}"#, false),
            (r#"{"force_zeros_for_empty_prompt": true}"#, true),
        ] {
            std::fs::write(folder.path().join("model_index.json"), index).unwrap();
            assert_eq!(zeros(), expected, "{index}");
        }
    }
}

/// A base that was saved with a textual inversion, as `mudi merge` writes it again.
#[test]
fn added_tokens_stay_with_the_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = folder.path().join("tokenizer");
    std::fs::create_dir(&tokenizer).unwrap();
    for (name, text) in vocabulary::files(false).unwrap() {
        std::fs::write(tokenizer.join(name), text).unwrap();
    }
    std::fs::write(tokenizer.join("added_tokens.json"), r#"{"<cat-toy>": 49408}"#).unwrap();
    let source = Source::open(folder.path()).unwrap();
    let read = source.tokenizer(Component::TextEncoder).unwrap();
    assert_eq!(read.ids("<cat-toy>").unwrap(), [49_408]);
    let files = source.tokenizer_files(Component::TextEncoder).unwrap();
    assert!(files.iter().any(|(name, text)| *name == "added_tokens.json" && text.contains("<cat-toy>")));
}
