//! `tokenizer.json`, in which today's transformers keep a vocabulary and its merges.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{AddedToken, TokenizerError, WORD_END};

/// What is read of `tokenizer.json`; how text falls into words is CLIP's in all of its tokenizers.
#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    added_tokens: Vec<Added>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    vocab: BTreeMap<String, u32>,
    merges: Vec<Merge>,
}

/// Both tokens in one text, as before version 0.20 of the library, or each by itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

/// The texts of the `vocab.json`, `merges.txt` and `tokenizer_config.json` that say the same; `config` is the text of the
/// `tokenizer_config.json` beside it, which may name added tokens already, and `map` that of the `special_tokens_map.json`.
pub(super) fn files(
    text: &str,
    config: Option<&str>,
    map: Option<&str>,
) -> Result<[String; 3], TokenizerError> {
    let fault = |reason: String| TokenizerError::Whole(reason);
    let Whole { added_tokens, model } =
        serde_json::from_str(text).map_err(|error| fault(error.to_string()))?;
    let (kind, end) = (model.kind.as_deref().unwrap_or("BPE"), model.end_of_word_suffix.as_deref());
    if kind != "BPE" || end != Some(WORD_END) {
        return Err(fault(format!(
            "its model is `{kind}` whose words end in {:?}, and CLIP's is `BPE` with `{WORD_END}`",
            end.unwrap_or_default()
        )));
    }
    let merges = model.merges.iter().enumerate().map(|(at, merge)| {
        let (first, second) = match merge {
            Merge::Text(text) => text.split_once(' ').unwrap_or((text, "")),
            Merge::Pair(first, second) => (first.as_str(), second.as_str()),
        };
        let whole = |token: &str| !token.is_empty() && !token.contains(char::is_whitespace);
        let pair = format!("{first} {second}");
        if whole(first) && whole(second) {
            Ok(pair + "\n")
        } else {
            Err(fault(format!("merge {at} (`{pair}`) is not a pair of tokens")))
        }
    });
    let merges = merges.collect::<Result<String, _>>()?;
    let mut vocabulary = model.vocab;
    vocabulary.extend(added_tokens.iter().map(|added| (added.token.content.clone(), added.id)));
    let config = with_added(config, map, &added_tokens)?;
    let vocabulary = serde_json::to_string(&vocabulary).map_err(TokenizerError::Vocab)?;
    Ok([vocabulary, format!("#version: 0.2\n{merges}"), config])
}

/// The configuration with the added tokens, where it does not name them itself; the padding token is then the map's, if that names one.
fn with_added(config: Option<&str>, map: Option<&str>, added: &[Added]) -> Result<String, TokenizerError> {
    let read = |text: Option<&str>| -> Result<Map<String, Value>, TokenizerError> {
        text.map_or_else(|| Ok(Map::new()), serde_json::from_str).map_err(TokenizerError::Config)
    };
    let mut config = read(config)?;
    if !config.contains_key("added_tokens_decoder")
        && let Some(pad) = read(map)?.remove("pad_token").filter(|pad| !pad.is_null())
    {
        config.insert("pad_token".to_owned(), pad);
    }
    config.entry("added_tokens_decoder").or_insert_with(|| {
        let entry = |Added { id, token }: &Added| {
            let AddedToken { content, lstrip, rstrip, single_word, normalized } = token;
            let flags = json!({
                "content": content, "lstrip": lstrip, "rstrip": rstrip, "single_word": single_word,
                "normalized": normalized, "special": true,
            });
            (id.to_string(), flags)
        };
        added.iter().map(entry).collect::<Map<_, _>>().into()
    });
    Ok(Value::Object(config).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{END, START, Tokenizer};
    use super::*;

    const CAPTIONS: [&str; 3] = ["a red bear in a garden", "two bears, red and brown", "the bear's red hat"];

    /// A vocabulary, its merges, and the same as `tokenizer.json`, whose last token is no result of merging.
    fn written(pairs: bool) -> (String, String, Value) {
        let (vocabulary, merges) = Tokenizer::train(CAPTIONS, 560).unwrap();
        let known: Value = serde_json::from_str(&vocabulary).unwrap();
        let lines = merges.lines().filter(|line| !line.starts_with("#version"));
        let listed: Vec<Value> = lines
            .map(|line| if pairs { line.split(' ').collect::<Vec<_>>().into() } else { line.into() })
            .collect();
        let added = |id: &Value, content: &str| {
            json!({ "id": id, "content": content, "lstrip": false, "rstrip": false, "single_word": false,
                "normalized": false, "special": true })
        };
        let whole = json!({
            "version": "1.0",
            "added_tokens": [
                added(&known[START], START), added(&known[END], END), added(&json!(700), "<olis>"),
            ],
            "model": { "type": "BPE", "end_of_word_suffix": "</w>", "vocab": known, "merges": listed },
        });
        (vocabulary, merges, whole)
    }

    #[test]
    fn tokens_are_those_of_the_vocabulary() {
        const CONFIG: &str = r#"{"model_max_length": 32, "pad_token": "!", "backend": "tokenizers"}"#;
        for pairs in [false, true] {
            let (vocabulary, merges, whole) = written(pairs);
            let expected = Tokenizer::from_json(&vocabulary, &merges, Some(CONFIG)).unwrap();
            let [vocabulary, same_merges, config] = files(&whole.to_string(), Some(CONFIG), None).unwrap();
            assert_eq!(
                same_merges.lines().skip(1).collect::<Vec<_>>(),
                merges.lines().skip(1).collect::<Vec<_>>()
            );
            let found = Tokenizer::from_json(&vocabulary, &same_merges, Some(&config)).unwrap();
            assert_eq!((found.max_length(), found.pad_id()), (32, expected.pad_id()));
            for text in CAPTIONS.into_iter().chain(["An unseen BEAR's żółć, 42 <|endoftext|>!", ""]) {
                assert_eq!(found.encode(text).unwrap(), expected.encode(text).unwrap(), "{text}");
            }
            // What was added to the vocabulary is one token, wherever it stands.
            assert_eq!(found.ids("<olis>").unwrap(), [700]);
            assert!(expected.ids("<olis>").unwrap().len() > 1);
        }
    }

    /// As transformers reads SD 2's files, whose map names another padding token than its configuration.
    #[test]
    fn the_padding_token_is_the_maps_unless_the_configuration_lists_added_tokens() {
        let (vocabulary, merges, whole) = written(true);
        let known: Value = serde_json::from_str(&vocabulary).unwrap();
        let map = r#"{"pad_token": "!"}"#;
        for (config, pad) in [
            (r#"{"pad_token": "<|endoftext|>"}"#, "!"),
            ("{}", "!"),
            (r#"{"pad_token": "<|endoftext|>", "added_tokens_decoder": {}}"#, END),
        ] {
            let expected = known[pad].as_u64().unwrap() as u32;
            let plain =
                Tokenizer::from_folder_json(&vocabulary, &merges, Some(config), Some(map), None).unwrap();
            assert_eq!(plain.pad_id(), expected, "{config}");
            let [vocabulary, merges, made] = files(&whole.to_string(), Some(config), Some(map)).unwrap();
            let whole =
                Tokenizer::from_folder_json(&vocabulary, &merges, Some(&made), Some(map), None).unwrap();
            assert_eq!(whole.pad_id(), expected, "{config}");
        }
    }

    #[test]
    fn what_is_no_tokenizer_of_clip_says_why() {
        let refused = |change: &dyn Fn(&mut Value), word: &str| {
            let (_, _, mut whole) = written(true);
            change(&mut whole);
            let error = files(&whole.to_string(), None, None).unwrap_err().to_string();
            assert!(error.contains("tokenizer.json") && error.contains(word), "{word}: {error}");
        };
        refused(&|whole| whole["model"]["type"] = "Unigram".into(), "Unigram");
        refused(&|whole| whole["model"]["end_of_word_suffix"] = Value::Null, "</w>");
        refused(&|whole| whole["model"]["merges"][1] = json!("one"), "merge 1 (`one `)");
        refused(&|whole| whole["model"]["merges"][0] = json!(["a b", "c"]), "merge 0");
        refused(&|whole| whole["model"] = Value::Null, "invalid type");
    }
}
