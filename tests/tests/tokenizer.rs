//! The tokenizer against transformers' `CLIPTokenizer` (`fixtures/generators/tokenizers_.py`).
use std::collections::{BTreeMap, HashMap};

use mudi_diffusion::tokenizer::{Tokenizer, TokenizerError};
use mudi_domain::subject::IDENTIFIERS;
use mudi_tests::fixtures::text;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    count: usize,
    decoded: String,
}

fn load(folder: &str) -> Tokenizer {
    let file = |name: &str| text(&format!("{folder}/{name}"));
    let [vocab, merges, config] = ["vocab.json", "merges.txt", "tokenizer_config.json"].map(file);
    Tokenizer::from_json(&vocab, &merges, Some(&config)).expect("a tokenizer fixture loads")
}

#[test]
fn ids_are_those_of_transformers() {
    let golden: BTreeMap<String, Vec<Case>> = serde_json::from_str(&text("tokenizer/golden.json")).unwrap();
    assert_eq!(golden.len(), 2);
    for (name, cases) in golden {
        let tokenizer = load(&format!("sdxl-tiny/{name}"));
        for case in cases {
            let found = tokenizer.encode(&case.text).unwrap();
            assert_eq!(found.ids, case.ids, "{name}: {:?}", case.text);
            assert_eq!(found.truncated, case.count > 75, "{name}: {:?}", case.text);
            assert_eq!(tokenizer.count(&case.text).unwrap(), case.count, "{name}: {:?}", case.text);
            assert_eq!(found.ids[found.eos_position], tokenizer.end_id());
            assert!(!found.ids[..found.eos_position].contains(&tokenizer.end_id()));
            assert_eq!(tokenizer.decode(&found.ids).unwrap(), case.decoded, "{name}: {:?}", case.text);
        }
    }
}

#[test]
fn the_two_tokenizers_of_sdxl_pad_differently() {
    let (one, two) = (load("sdxl-tiny/tokenizer"), load("sdxl-tiny/tokenizer_2"));
    assert_eq!(one.pad_id(), one.end_id());
    assert_eq!(two.pad_id(), 0);
    assert_eq!((one.max_length(), one.vocab_size()), (77, two.vocab_size()));

    // The same from special_tokens_map.json alone, and end tokens where nothing is said.
    let file = |name: &str| text(&format!("sdxl-tiny/tokenizer_2/{name}"));
    let (vocab, merges) = (file("vocab.json"), file("merges.txt"));
    let map = file("special_tokens_map.json");
    let from_map = Tokenizer::from_folder_json(&vocab, &merges, None, Some(&map), None).unwrap();
    assert_eq!(from_map.pad_id(), 0);
    assert_eq!(Tokenizer::from_json(&vocab, &merges, None).unwrap().pad_id(), one.end_id());
}

/// A base that was saved with textual inversions lists their tokens beside its vocabulary, which lacks them.
#[test]
fn added_tokens_are_tokens_of_their_own() {
    let (vocab, merges) = Tokenizer::train(["a red cat"], 520).unwrap();
    let size = serde_json::from_str::<HashMap<String, u32>>(&vocab).unwrap().len();
    let new = |config: Option<&str>, added: Option<&str>| {
        Tokenizer::from_folder_json(&vocab, &merges, config, None, added).unwrap()
    };
    let plain = new(None, None);
    assert!(plain.ids("<cat-toy>").unwrap().len() > 1);
    let listed = r#"{"added_tokens_decoder": {"900": {"content": "<cat-toy>", "normalized": true}}}"#;
    let own = r#"{"<cat-toy>": 900}"#;
    for tokenizer in [new(Some(listed), None), new(None, Some(own)), new(Some("{}"), Some(own))] {
        assert_eq!(tokenizer.ids("<cat-toy>").unwrap(), [900]);
        let ids = [plain.ids("a red").unwrap(), vec![900], plain.ids("cat").unwrap()].concat();
        assert_eq!(tokenizer.ids("a red <Cat-Toy> cat").unwrap(), ids);
        assert_eq!(tokenizer.vocab_size(), size + 1);
    }
    // A configuration that lists its tokens says all of them.
    let none = new(Some(r#"{"added_tokens_decoder": {}}"#), Some(own));
    assert_eq!(none.ids("<cat-toy>").unwrap(), plain.ids("<cat-toy>").unwrap());
    let broken = Tokenizer::from_folder_json(&vocab, &merges, None, None, Some("[]"));
    assert!(matches!(broken, Err(TokenizerError::Config(_))));
}

#[test]
fn training_is_deterministic_and_equal_to_the_script() {
    let corpus = text("tokenizer/corpus.txt");
    let (vocab, merges) = Tokenizer::train(corpus.lines(), 700).unwrap();
    assert_eq!(merges, text("sdxl-tiny/tokenizer/merges.txt"));
    let parse = |text: &str| serde_json::from_str::<HashMap<String, u32>>(text).unwrap();
    assert_eq!(parse(&vocab), parse(&text("sdxl-tiny/tokenizer/vocab.json")));
    assert_eq!(Tokenizer::train(corpus.lines(), 700).unwrap(), (vocab, merges));
}

#[test]
fn a_trained_vocabulary_encodes_any_text() {
    let (vocab, merges) = Tokenizer::train(["a red bear", "a red robot"], 10_000).unwrap();
    let tokenizer = Tokenizer::from_json(&vocab, &merges, None).unwrap();
    // Every word of the captions became one token, then there was nothing left to merge.
    assert_eq!(tokenizer.count("a red bear red robot").unwrap(), 5);
    assert!(tokenizer.vocab_size() < 600);
    let unseen = "żółć 🐻 \u{7f}?";
    let encoded = tokenizer.encode(unseen).unwrap();
    assert_eq!(tokenizer.decode(&encoded.ids).unwrap(), "żółć 🐻 \u{7f}?");
}

#[test]
fn identifiers_are_single_tokens_of_every_vocabulary() {
    let clip = Tokenizer::from_merges(include_str!("../../backend/assets/clip/merges.txt"), None).unwrap();
    let pocket = include_str!("../../models/pocket/tokenizer/merges.txt");
    let pocket = Tokenizer::from_merges(pocket, None).unwrap();
    for word in IDENTIFIERS {
        assert_eq!((clip.count(word).unwrap(), pocket.count(word).unwrap()), (1, 1), "{word}");
    }
}

#[test]
fn a_vocabulary_takes_words_in_for_its_rarest_merges() {
    let (before, merges) = Tokenizer::train(text("tokenizer/corpus.txt").lines(), 700).unwrap();
    let (vocab, merges) = Tokenizer::with_words(&merges, &IDENTIFIERS).unwrap();
    let parse = |text: &str| serde_json::from_str::<HashMap<String, u32>>(text).unwrap();
    let tokenizer = Tokenizer::from_json(&vocab, &merges, None).unwrap();
    assert_eq!(tokenizer.vocab_size(), parse(&before).len());
    for word in IDENTIFIERS {
        assert_eq!(tokenizer.count(word).unwrap(), 1, "{word}");
    }
    // What stayed has its id; the rest is what was rarest, and gave its ids to the newcomers.
    let (before, after) = (parse(&before), parse(&vocab));
    let gone: Vec<u32> =
        before.iter().filter(|(token, _)| !after.contains_key(*token)).map(|(_, id)| *id).collect();
    let came: Vec<u32> =
        after.iter().filter(|(token, _)| !before.contains_key(*token)).map(|(_, id)| *id).collect();
    assert!(before.iter().all(|(token, id)| after.get(token).is_none_or(|now| now == id)));
    assert!(gone.len() == came.len() && gone.len() >= IDENTIFIERS.len());
    assert!(gone.iter().all(|id| *id >= 698 - gone.len() as u32), "{gone:?}");
    // Once more changes nothing.
    assert_eq!(Tokenizer::with_words(&merges, &IDENTIFIERS).unwrap(), (vocab, merges.clone()));
    for no_word in ["two words", "", "a-b"] {
        assert!(
            matches!(Tokenizer::with_words(&merges, &[no_word]), Err(TokenizerError::NotAWord(_))),
            "{no_word:?}"
        );
    }
}

#[test]
fn mistakes_are_named() {
    let (vocab, merges) = Tokenizer::train(["a"], 514).unwrap();
    let new = |vocab: &str, merges: &str, config: &str| {
        Tokenizer::from_json(vocab, merges, Some(config)).map(|_| ())
    };
    assert!(matches!(new("[]", &merges, "{}"), Err(TokenizerError::Vocab(_))));
    assert!(matches!(new(&vocab, &merges, "["), Err(TokenizerError::Config(_))));
    assert!(matches!(new(&vocab, "a b\nabc", "{}"), Err(TokenizerError::Merge { line: 2, .. })));
    assert!(matches!(new(&vocab, "a zz", "{}"), Err(TokenizerError::Bpe(_))));
    assert!(matches!(new(r#"{"a": 0}"#, "", "{}"), Err(TokenizerError::Missing(_))));
    assert!(matches!(new(&vocab, "", r#"{"pad_token": "pad"}"#), Err(TokenizerError::Missing(_))));
    assert!(matches!(new(&vocab, "", r#"{"model_max_length": 1}"#), Err(TokenizerError::TooShort(1))));
    assert!(matches!(
        Tokenizer::train(["a"], 513),
        Err(TokenizerError::VocabTooSmall { least: 514, found: 513 })
    ));
}
