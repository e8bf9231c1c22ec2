//! Weights in prompts, as the web interfaces of Stable Diffusion write them, and prompts of any length.
//!
//! `(word)` is worth 1.1 and `[word]` 1 / 1.1, brackets inside of brackets multiply, `(word:1.3)` is worth 1.3. A backslash
//! takes a bracket's meaning away. `BREAK` begins a new chunk. A prompt is encoded in chunks of as many tokens as an encoder
//! reads, each between start and end token.

use crate::tokenizer::{Tokenizer, TokenizerError};

/// What a pair of round brackets is worth.
const STRESS: f32 = 1.1;

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text, and what it is worth.
    Text(String, f32),
    /// A new chunk begins.
    Break,
}

/// An open bracket: where its pieces begin, and whether it is round.
struct Open {
    first: usize,
    round: bool,
}

/// Reads a prompt's weights. Brackets that are never closed count to the end, and those that were never opened are text.
///
/// ```
/// use mudi_diffusion::emphasis::{Piece, parse};
/// let text = |text: &str, weight| Piece::Text(text.to_owned(), weight);
/// assert_eq!(parse("a (red:1.5) bear"), [text("a ", 1.0), text("red", 1.5), text(" bear", 1.0)]);
/// assert_eq!(parse(r"a \(red\) bear"), [text("a (red) bear", 1.0)]);
/// ```
#[must_use]
pub fn parse(prompt: &str) -> Vec<Piece> {
    let mut pieces: Vec<(String, f32)> = vec![(String::new(), 1.0)];
    let mut open: Vec<Open> = Vec::new();
    let mut rest = prompt;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        match character {
            '\\' if after.starts_with(['(', ')', '[', ']', '\\']) => {
                let escaped = after.chars().next().unwrap_or('\\');
                push(&mut pieces, escaped);
                rest = &after[escaped.len_utf8()..];
                continue;
            }
            '(' | '[' => {
                pieces.push((String::new(), 1.0));
                open.push(Open { first: pieces.len() - 1, round: character == '(' });
            }
            ')' | ']' if open.last().is_some_and(|open| open.round == (character == ')')) => {
                close(&mut pieces, &mut open);
            }
            ':' if open.last().is_some_and(|open| open.round) => match number(after) {
                Some((weight, behind)) => {
                    if let Some(open) = open.pop() {
                        multiply(&mut pieces[open.first..], weight);
                    }
                    pieces.push((String::new(), 1.0));
                    rest = behind;
                    continue;
                }
                None => push(&mut pieces, character),
            },
            _ => push(&mut pieces, character),
        }
        rest = after;
    }
    while !open.is_empty() {
        close(&mut pieces, &mut open);
    }
    merged(pieces)
}

fn push(pieces: &mut [(String, f32)], character: char) {
    if let Some((text, _)) = pieces.last_mut() {
        text.push(character);
    }
}

fn multiply(pieces: &mut [(String, f32)], weight: f32) {
    pieces.iter_mut().for_each(|(_, own)| *own *= weight);
}

fn close(pieces: &mut Vec<(String, f32)>, open: &mut Vec<Open>) {
    if let Some(Open { first, round }) = open.pop() {
        multiply(&mut pieces[first..], if round { STRESS } else { 1.0 / STRESS });
    }
    pieces.push((String::new(), 1.0));
}

/// A number before a closing bracket, and what comes after that.
fn number(text: &str) -> Option<(f32, &str)> {
    let (number, behind) = text.split_once(')')?;
    let number = number.trim();
    let plain =
        !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '+' | '-'));
    let weight = plain.then(|| number.parse::<f32>().ok()).flatten()?;
    weight.is_finite().then_some((weight, behind))
}

/// Neighbours of one weight as one, and the word BREAK taken out.
fn merged(pieces: Vec<(String, f32)>) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for (text, weight) in pieces {
        for (index, part) in split_at_breaks(&text).into_iter().enumerate() {
            if index > 0 {
                out.push(Piece::Break);
            }
            match out.last_mut() {
                _ if part.is_empty() => {}
                Some(Piece::Text(before, own)) if *own == weight => before.push_str(part),
                _ => out.push(Piece::Text(part.to_owned(), weight)),
            }
        }
    }
    out
}

/// The parts between the words BREAK.
fn split_at_breaks(text: &str) -> Vec<&str> {
    const WORD: &str = "BREAK";
    let mut parts = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(found) = text[from..].find(WORD) {
        let (first, end) = (from + found, from + found + WORD.len());
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        let inside = text[..first].ends_with(letter) || text[end..].starts_with(letter);
        if !inside {
            parts.push(&text[start..first]);
            start = end;
        }
        from = end;
    }
    parts.push(&text[start..]);
    parts
}

/// One chunk of a prompt, for an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Start token, text, end token, padding: the tokenizer's maximum length.
    pub ids: Vec<u32>,
    /// What each is worth; those around the text are worth 1.
    pub weights: Vec<f32>,
}

impl Chunk {
    /// The tokens of a chunk's text with their weights, at most `max_length() - 2` of them.
    fn new(tokenizer: &Tokenizer, text: &[(u32, f32)]) -> Self {
        let length = tokenizer.max_length();
        let mut ids = vec![tokenizer.start_id()];
        let mut weights = vec![1.0];
        ids.extend(text.iter().map(|(id, _)| id));
        weights.extend(text.iter().map(|(_, weight)| weight));
        ids.push(tokenizer.end_id());
        ids.resize(length, tokenizer.pad_id());
        weights.resize(length, 1.0);
        Self { ids, weights }
    }

    /// The chunk of an empty text.
    #[must_use]
    pub fn empty(tokenizer: &Tokenizer) -> Self {
        Self::new(tokenizer, &[])
    }

    /// Whether nothing in it is stressed.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.weights.iter().all(|weight| *weight == 1.0)
    }
}

/// The chunks of a prompt with weights; at least one.
///
/// # Errors
/// As [`Tokenizer::encode`].
pub fn chunks(tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<Chunk>, TokenizerError> {
    let mut parts: Vec<Vec<(u32, f32)>> = vec![Vec::new()];
    for piece in parse(prompt) {
        match piece {
            Piece::Break => parts.push(Vec::new()),
            Piece::Text(text, weight) => {
                let ids = tokenizer.ids(&text)?;
                if let Some(part) = parts.last_mut() {
                    part.extend(ids.into_iter().map(|id| (id, weight)));
                }
            }
        }
    }
    Ok(parts.iter().flat_map(|part| cut(tokenizer, part)).collect())
}

/// The chunks of a text in which brackets are brackets, as captions are; at least one.
///
/// # Errors
/// As [`Tokenizer::encode`].
pub fn plain_chunks(tokenizer: &Tokenizer, text: &str) -> Result<Vec<Chunk>, TokenizerError> {
    let weighted: Vec<(u32, f32)> = tokenizer.ids(text)?.into_iter().map(|id| (id, 1.0)).collect();
    Ok(cut(tokenizer, &weighted))
}

/// Tokens in as many chunks as they need.
fn cut(tokenizer: &Tokenizer, tokens: &[(u32, f32)]) -> Vec<Chunk> {
    if tokens.is_empty() {
        return vec![Chunk::empty(tokenizer)];
    }
    let room = tokenizer.max_length().saturating_sub(2).max(1);
    tokens.chunks(room).map(|text| Chunk::new(tokenizer, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, weight: f32) -> Piece {
        Piece::Text(text.to_owned(), weight)
    }

    #[test]
    fn brackets_mean_what_they_mean_elsewhere() {
        assert_eq!(parse(""), []);
        assert_eq!(parse("plain"), [text("plain", 1.0)]);
        assert_eq!(parse("a ((b))"), [text("a ", 1.0), text("b", STRESS * STRESS)]);
        assert_eq!(parse("[a] b"), [text("a", 1.0 / STRESS), text(" b", 1.0)]);
        assert_eq!(parse("(a: 0.5 )"), [text("a", 0.5)]);
        assert_eq!(parse("(a (b:2):1.5)"), [text("a ", 1.5), text("b", 3.0)]);
        // Not closed, not opened, not a number, not the right kind.
        assert_eq!(parse("(a b"), [text("a b", STRESS)]);
        assert_eq!(parse("a) b]"), [text("a) b]", 1.0)]);
        assert_eq!(parse("(a:b)"), [text("a:b", STRESS)]);
        assert_eq!(parse("a:1.5"), [text("a:1.5", 1.0)]);
        assert_eq!(parse(r"\(a\) \\ \x"), [text(r"(a) \ \x", 1.0)]);
    }

    proptest::proptest! {
        /// Whatever brackets there are, no text is made up, none is empty, and every weight is a number.
        #[test]
        fn any_prompt_is_read(prompt in r"[ab :.0-9()\[\]\\-]{0,40}") {
            let pieces = parse(&prompt);
            let mut length = 0;
            for piece in &pieces {
                if let Piece::Text(text, weight) = piece {
                    length += text.len();
                    proptest::prop_assert!(!text.is_empty() && !weight.is_nan());
                }
            }
            proptest::prop_assert!(length <= prompt.len());
        }
    }

    #[test]
    fn break_is_a_word() {
        assert_eq!(parse("a BREAK b"), [text("a ", 1.0), Piece::Break, text(" b", 1.0)]);
        assert_eq!(parse("BREAKFAST breaks"), [text("BREAKFAST breaks", 1.0)]);
        assert_eq!(parse("(a BREAK b:2)"), [text("a ", 2.0), Piece::Break, text(" b", 2.0)]);
    }

    #[test]
    fn long_prompts_fall_into_chunks() {
        let (vocab, merges) = Tokenizer::train(["a red bear"], 600).unwrap();
        let config = r#"{"model_max_length": 7}"#;
        let tokenizer = Tokenizer::from_json(&vocab, &merges, Some(config)).unwrap();
        let chunks = |prompt: &str| super::chunks(&tokenizer, prompt).unwrap();
        assert_eq!(chunks("")[..], [Chunk::empty(&tokenizer)]);
        let plain = chunks("a red bear");
        assert_eq!(plain[0].ids, tokenizer.encode("a red bear").unwrap().ids);
        assert!(plain.len() == 1 && plain[0].is_plain());
        let long = chunks("a red bear (a red bear:2)");
        assert_eq!(long.len(), 2);
        assert_eq!(long[0].weights, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0]);
        assert_eq!(long[1].weights, [1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(long[1].ids[2..], [tokenizer.end_id(); 5]);
        assert_eq!(chunks("a BREAK bear").len(), 2);
        assert_eq!(chunks("BREAK").len(), 2);
    }
}
