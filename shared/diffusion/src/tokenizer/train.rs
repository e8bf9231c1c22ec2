//! Learning a byte-pair vocabulary.
//!
//! The trainer of the `tokenizers` crate breaks ties by the order of a hash map and leaves out bytes that its texts
//! lack, so this is our own.
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use tokenizers::{
    NormalizedString, Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
};

use super::{Config, END, START, Tokenizer, TokenizerError, WORD_END, parse_merges};

/// Bytes, bytes that end a word, start, end.
const LEAST: usize = 256 + 256 + 2;

/// See [`Tokenizer::train`].
pub(super) fn train<I>(captions: I, vocab_size: usize) -> Result<(String, String), TokenizerError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    if vocab_size < LEAST {
        return Err(TokenizerError::VocabTooSmall { least: LEAST, found: vocab_size });
    }
    let mut tokens: Vec<String> = byte_symbols().map(String::from).collect();
    tokens.extend(byte_symbols().map(|symbol| format!("{symbol}{WORD_END}")));
    let mut ids: HashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();

    let mut words: Vec<(Vec<u32>, u64)> = count_words(captions, &tokens)?
        .into_iter()
        .map(|(word, count)| (symbols_of(&word, &ids), count))
        .collect();
    let mut merges = String::from("#version: 0.2\n");
    while tokens.len() + 2 < vocab_size {
        let Some((a, b)) = most_frequent_pair(&words) else { break };
        let (left, right) = (&tokens[a as usize], &tokens[b as usize]);
        // Writing to a string cannot fail.
        let _ = writeln!(merges, "{left} {right}");
        let merged = format!("{left}{right}");
        // Two different pairs can spell the same token.
        let id = *ids.entry(merged.clone()).or_insert_with(|| {
            tokens.push(merged);
            tokens.len() as u32 - 1
        });
        for (word, _) in &mut words {
            join(word, (a, b), id);
        }
    }
    tokens.extend([START.to_owned(), END.to_owned()]);
    Ok((vocab_json(&tokens), merges))
}

/// See [`Tokenizer::with_words`].
pub(super) fn with_words(merges: &str, words: &[&str]) -> Result<(String, String), TokenizerError> {
    let all = parse_merges(merges)?;
    let size = tokens_of(&all).len();
    for kept in (0..=all.len()).rev() {
        let mut merges: Vec<(String, String)> =
            all[..kept].iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        for word in words {
            join_into_one(&mut merges, word)?;
        }
        let pairs: Vec<(&str, &str)> = merges.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let tokens = tokens_of(&pairs);
        if tokens.len() <= size {
            let lines: String = pairs.iter().map(|(a, b)| format!("{a} {b}\n")).collect();
            return Ok((vocab_json(&tokens), format!("#version: 0.2\n{lines}")));
        }
    }
    Err(TokenizerError::NotAWord(words.join(" ")))
}

/// Adds the merges that make one token of `word`, from its end. Later ones never part it again: merges apply in their order.
fn join_into_one(merges: &mut Vec<(String, String)>, word: &str) -> Result<(), TokenizerError> {
    let mut before = usize::MAX;
    loop {
        let pairs: Vec<(&str, &str)> = merges.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let vocab = tokens_of(&pairs).into_iter().zip(0..).collect();
        let pieces = Tokenizer::build(&vocab, &pairs, Config::default())?.inner.encode(word, false)?;
        match pieces.get_tokens() {
            [_] => return Ok(()),
            [.., left, right] if pieces.len() < before => {
                before = pieces.len();
                merges.push((left.clone(), right.clone()));
            }
            _ => return Err(TokenizerError::NotAWord(word.to_owned())),
        }
    }
}

/// The tokens that follow from merges, in CLIP's order; where two merges spell the same token it counts once.
pub(super) fn tokens_of(merges: &[(&str, &str)]) -> Vec<String> {
    let mut tokens: Vec<String> = byte_symbols().map(String::from).collect();
    tokens.extend(byte_symbols().map(|symbol| format!("{symbol}{WORD_END}")));
    let mut known: HashSet<String> = tokens.iter().cloned().collect();
    for (a, b) in merges {
        let merged = format!("{a}{b}");
        if known.insert(merged.clone()) {
            tokens.push(merged);
        }
    }
    tokens.extend([START.to_owned(), END.to_owned()]);
    tokens
}

/// The 256 printable characters that stand for bytes, in CLIP's order: first the bytes that are printable themselves.
fn byte_symbols() -> impl Iterator<Item = char> {
    let printable = || ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ');
    let others = 256 - printable().count() as u32;
    printable().chain((0..others).filter_map(|i| char::from_u32(256 + i)))
}

/// How often each word, spelled in byte symbols, occurs; split as the tokenizer itself splits.
fn count_words<I>(captions: I, tokens: &[String]) -> Result<BTreeMap<String, u64>, TokenizerError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let with_specials = tokens.iter().map(String::as_str).chain([START, END]);
    let vocab = with_specials.map(str::to_owned).zip(0..).collect();
    let splitter = Tokenizer::build(&vocab, &[], Config::default())?.inner;
    let mut counts = BTreeMap::new();
    for caption in captions {
        let mut text = NormalizedString::from(caption.as_ref());
        if let Some(normalizer) = splitter.get_normalizer() {
            normalizer.normalize(&mut text)?;
        }
        let mut pieces = PreTokenizedString::from(text);
        if let Some(pre_tokenizer) = splitter.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        for (word, _, _) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            *counts.entry(word.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

/// A word's bytes, the last of them as one that ends a word.
fn symbols_of(word: &str, ids: &HashMap<String, u32>) -> Vec<u32> {
    let last = word.chars().count().saturating_sub(1);
    word.chars()
        .enumerate()
        .filter_map(|(i, symbol)| {
            let end = if i == last { WORD_END } else { "" };
            ids.get(&format!("{symbol}{end}")).copied()
        })
        .collect()
}

/// The pair that occurs most; among equals the one of the smallest ids.
fn most_frequent_pair(words: &[(Vec<u32>, u64)]) -> Option<(u32, u32)> {
    let mut counts: HashMap<(u32, u32), u64> = HashMap::new();
    for (word, count) in words {
        for pair in word.windows(2) {
            *counts.entry((pair[0], pair[1])).or_insert(0) += count;
        }
    }
    counts.into_iter().max_by_key(|(pair, count)| (*count, Reverse(*pair))).map(|(pair, _)| pair)
}

/// Replaces every occurrence of the pair by the merged token, from the left.
fn join(word: &mut Vec<u32>, pair: (u32, u32), merged: u32) {
    let mut kept = 0;
    let mut next = 0;
    while next < word.len() {
        let found = word[next] == pair.0 && word.get(next + 1) == Some(&pair.1);
        word[kept] = if found { merged } else { word[next] };
        next += if found { 2 } else { 1 };
        kept += 1;
    }
    word.truncate(kept);
}

/// The vocabulary in the order of its ids.
pub(super) fn vocab_json(tokens: &[String]) -> String {
    let entries: Vec<String> =
        tokens.iter().enumerate().map(|(id, token)| format!("{}: {id}", serde_json::json!(token))).collect();
    format!("{{{}}}", entries.join(", "))
}
