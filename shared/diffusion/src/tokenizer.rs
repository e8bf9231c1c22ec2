//! CLIP's tokenizer: lower-cased, byte-level byte-pair encoding whose words end in `</w>`.
//!
//! It is built from the files of a diffusers `tokenizer/` folder and gives the ids of transformers'
//! `CLIPTokenizer`. [`Tokenizer::train`] learns a vocabulary of the same kind from captions.
mod pipeline;
mod train;
mod whole;

use std::collections::HashMap;

use serde::Deserialize;
use thiserror::Error;

/// The token before every text.
pub const START: &str = "<|startoftext|>";
/// The token after every text; its state is the pooled embedding.
pub const END: &str = "<|endoftext|>";
/// What CLIP's text encoders take: 75 tokens of text between the start and end tokens.
pub const MAX_LENGTH: usize = 77;

/// What ends a word in the vocabulary.
const WORD_END: &str = "</w>";
/// A length above this in a config is transformers' way to say that there is none.
const NO_LENGTH: f64 = 1e6;

/// An error of the tokenizer.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// `vocab.json` is not an object from tokens to ids.
    #[error("vocab.json cannot be read: {0}")]
    Vocab(serde_json::Error),
    /// A config is not JSON or a field has the wrong kind.
    #[error("the tokenizer's config cannot be read: {0}")]
    Config(serde_json::Error),
    /// `tokenizer.json` is not one of CLIP's.
    #[error("tokenizer.json cannot be read: {0}")]
    Whole(String),
    /// A line of `merges.txt` is not two tokens with a space between.
    #[error("merges.txt, line {line}: `{text}` is not a pair of tokens")]
    Merge {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A special token is not in the vocabulary.
    #[error("the vocabulary lacks the token `{0}`")]
    Missing(String),
    /// No room for the start and end tokens.
    #[error("a maximum length of {0} has no room for the start and end tokens")]
    TooShort(usize),
    /// A vocabulary too small to encode any text.
    #[error("a vocabulary needs at least {least} tokens (bytes, word ends, start, end), not {found}")]
    VocabTooSmall {
        /// The smallest size.
        least: usize,
        /// The size asked for.
        found: usize,
    },
    /// Asked to be one token, but it is no single word, or there is no room for it.
    #[error("`{0}` cannot be one token of this vocabulary")]
    NotAWord(String),
    /// The vocabulary and merges do not fit together, or a text could not be encoded.
    #[error("byte-pair encoding: {0}")]
    Bpe(#[from] tokenizers::Error),
}

/// A token that is looked for in the text itself, before it is split into words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct AddedToken {
    content: String,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
    /// Look for it in the lower-cased text.
    #[serde(default)]
    normalized: bool,
}

/// A special token in a config: its text, or an object with its text.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenText {
    Plain(String),
    Object { content: String },
}

impl TokenText {
    fn into_content(self) -> String {
        match self {
            Self::Plain(content) | Self::Object { content } => content,
        }
    }
}

/// The fields of `tokenizer_config.json` and `special_tokens_map.json` that matter here.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    pad_token: Option<TokenText>,
    model_max_length: Option<f64>,
    /// By id. Files of today have it, if only empty; it outweighs what other files say.
    added_tokens_decoder: Option<HashMap<String, AddedToken>>,
}

/// A text's token ids, ready for a text encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Start token, text, end token, padding: always the tokenizer's maximum length.
    pub ids: Vec<u32>,
    /// Whether the text was too long and lost its end.
    pub truncated: bool,
    /// Index in `ids` of the first end token, whose state is the pooled embedding.
    pub eos_position: usize,
}

/// CLIP's tokenizer.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: pipeline::Pipeline,
    start: u32,
    end: u32,
    pad: u32,
    max_length: usize,
}

impl Tokenizer {
    /// Builds the tokenizer from the texts of `vocab.json`, `merges.txt` and, where there is one,
    /// `tokenizer_config.json`, which names the padding token and the maximum length (else `<|endoftext|>` and 77).
    ///
    /// Folders that name the padding token only in `special_tokens_map.json`: see [`Tokenizer::from_folder_json`].
    ///
    /// # Errors
    /// [`TokenizerError`], by what is wrong with which file.
    pub fn from_json(vocab: &str, merges: &str, config: Option<&str>) -> Result<Self, TokenizerError> {
        Self::from_folder_json(vocab, merges, config, None, None)
    }

    /// As [`Tokenizer::from_json`], with the texts of `special_tokens_map.json` and `added_tokens.json`. As for transformers, a config
    /// that lists added tokens outweighs both; otherwise the map's padding token counts before the config's, and added tokens are those of the
    /// other file.
    ///
    /// # Errors
    /// [`TokenizerError`], by what is wrong with which file.
    pub fn from_folder_json(
        vocab: &str,
        merges: &str,
        config: Option<&str>,
        special_tokens_map: Option<&str>,
        added_tokens: Option<&str>,
    ) -> Result<Self, TokenizerError> {
        let mut vocab: HashMap<String, u32> = serde_json::from_str(vocab).map_err(TokenizerError::Vocab)?;
        let read = |text: Option<&str>| {
            text.map_or(Ok(Config::default()), |text| {
                serde_json::from_str(text).map_err(TokenizerError::Config)
            })
        };
        let (mut config, map) = (read(config)?, read(special_tokens_map)?);
        if let Some(added) = &config.added_tokens_decoder {
            config.pad_token = config.pad_token.or(map.pad_token);
            for (id, token) in added {
                if let Ok(id) = id.parse() {
                    vocab.entry(token.content.clone()).or_insert(id);
                }
            }
        } else {
            config.pad_token = map.pad_token.or(config.pad_token);
            if let Some(text) = added_tokens {
                let added: HashMap<String, u32> =
                    serde_json::from_str(text).map_err(TokenizerError::Config)?;
                config.added_tokens_decoder = Some(listed(&added));
                for (token, id) in added {
                    vocab.entry(token).or_insert(id);
                }
            }
        }
        Self::build(&vocab, &parse_merges(merges)?, config)
    }

    /// Builds the tokenizer from the text of `merges.txt` alone: a vocabulary in CLIP's order follows from its merges.
    /// `pad` is the padding token, else the end token.
    ///
    /// # Errors
    /// [`TokenizerError`], by what is wrong.
    pub fn from_merges(merges: &str, pad: Option<&str>) -> Result<Self, TokenizerError> {
        let merges = parse_merges(merges)?;
        let vocab = train::tokens_of(&merges).into_iter().zip(0..).collect();
        let pad_token = pad.map(|pad| TokenText::Plain(pad.to_owned()));
        Self::build(&vocab, &merges, Config { pad_token, ..Config::default() })
    }

    /// The text of the `vocab.json` that follows from that of a `merges.txt`.
    ///
    /// # Errors
    /// [`TokenizerError::Merge`].
    pub fn vocabulary(merges: &str) -> Result<String, TokenizerError> {
        Ok(train::vocab_json(&train::tokens_of(&parse_merges(merges)?)))
    }

    /// The texts of the `vocab.json`, `merges.txt` and `tokenizer_config.json` that say the same as that of a `tokenizer.json`, which is
    /// all that today's transformers write, with the texts of the `tokenizer_config.json` and the `special_tokens_map.json` beside it.
    ///
    /// # Errors
    /// [`TokenizerError::Whole`], [`TokenizerError::Config`].
    pub fn files_of(
        whole: &str,
        config: Option<&str>,
        special_tokens_map: Option<&str>,
    ) -> Result<[String; 3], TokenizerError> {
        whole::files(whole, config, special_tokens_map)
    }

    fn build(
        vocab: &HashMap<String, u32>,
        merges: &[(&str, &str)],
        config: Config,
    ) -> Result<Self, TokenizerError> {
        let id = |token: &str| vocab.get(token).copied().ok_or(TokenizerError::Missing(token.to_owned()));
        let pad_token = config.pad_token.map_or_else(|| END.to_owned(), TokenText::into_content);
        let (start, end, pad) = (id(START)?, id(END)?, id(&pad_token)?);
        let max_length = match config.model_max_length {
            Some(length) if length < NO_LENGTH => length as usize,
            _ => MAX_LENGTH,
        };
        if max_length < 2 {
            return Err(TokenizerError::TooShort(max_length));
        }

        // A padding token such as tokenizer_2's `!` is found in the text like the other two, whatever surrounds it.
        let mut added: Vec<AddedToken> =
            config.added_tokens_decoder.unwrap_or_default().into_values().collect();
        for token in [START, END, &pad_token] {
            if added.iter().all(|known| known.content != token) {
                added.push(AddedToken {
                    content: token.to_owned(),
                    lstrip: false,
                    rstrip: false,
                    single_word: false,
                    normalized: false,
                });
            }
        }
        let mut added: Vec<(u32, AddedToken)> = added
            .into_iter()
            .map(|token| Ok((id(&token.content)?, token)))
            .collect::<Result<_, TokenizerError>>()?;
        added.sort_by_key(|(id, _)| *id);
        let added: Vec<tokenizers::AddedToken> = added.into_iter().map(|(_, token)| token.into()).collect();
        let inner = pipeline::pipeline(vocab, merges, &added)?;
        Ok(Self { inner, start, end, pad, max_length })
    }

    /// Learns a vocabulary of `vocab_size` tokens (at least 514) from captions; returns the texts of `vocab.json` and
    /// `merges.txt`.
    ///
    /// Ids are in CLIP's order: 256 bytes, 256 bytes that end a word, merges in the order learnt,
    /// `<|startoftext|>`, `<|endoftext|>`; so any text can be encoded. The most frequent pair is merged first, among
    /// equals the one of the smallest ids: the same captions give the same files. There are fewer tokens than
    /// asked for if every word of the captions is one.
    ///
    /// # Errors
    /// [`TokenizerError::VocabTooSmall`].
    pub fn train<I>(captions: I, vocab_size: usize) -> Result<(String, String), TokenizerError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        train::train(captions, vocab_size)
    }

    /// The texts of `vocab.json` and `merges.txt` of a vocabulary that has each of `words` as a token of its own.
    ///
    /// It has as many tokens as that of `merges`: the last merges, the rarest, give way, and their ids go to what takes their place. All other ids stay. A
    /// vocabulary that has the words comes back as it was.
    ///
    /// # Errors
    /// [`TokenizerError::NotAWord`] for what can be no token; [`TokenizerError::Merge`].
    pub fn with_words(merges: &str, words: &[&str]) -> Result<(String, String), TokenizerError> {
        train::with_words(merges, words)
    }

    /// Encodes a text between start and end token, cut or padded to [`Tokenizer::max_length`].
    ///
    /// # Errors
    /// [`TokenizerError::Bpe`]; with a complete vocabulary there is no text that cannot be encoded.
    pub fn encode(&self, text: &str) -> Result<Encoded, TokenizerError> {
        let encoding = self.inner.encode_fast(text, false)?;
        let room = self.max_length - 2;
        let found = encoding.get_ids();
        let mut ids = Vec::with_capacity(self.max_length);
        ids.push(self.start);
        ids.extend(found.iter().take(room));
        ids.push(self.end);
        // A text may hold the end token itself.
        let eos_position = ids.iter().position(|id| *id == self.end).unwrap_or(ids.len() - 1);
        ids.resize(self.max_length, self.pad);
        Ok(Encoded { ids, truncated: found.len() > room, eos_position })
    }

    /// The tokens of a text, without start and end, however many there are.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.inner.encode_fast(text, false)?.get_ids().to_vec())
    }

    /// The number of tokens of a text, without start and end; up to `max_length() - 2` are not cut.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn count(&self, text: &str) -> Result<usize, TokenizerError> {
        Ok(self.inner.encode_fast(text, false)?.len())
    }

    /// The text of ids, without a leading start token and without all from the first end token on. Case and odd
    /// white space do not come back; ids that are not in the vocabulary are passed over.
    ///
    /// # Errors
    /// [`TokenizerError::Bpe`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let ids = ids.strip_prefix(&[self.start]).unwrap_or(ids);
        let end = ids.iter().position(|id| *id == self.end).unwrap_or(ids.len());
        Ok(self.inner.decode(&ids[..end], false)?.replace(WORD_END, " ").trim().to_owned())
    }

    /// Length of every encoded text, start and end token included: 77 for CLIP.
    #[must_use]
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Number of tokens in the vocabulary.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Id of `<|startoftext|>`.
    #[must_use]
    pub fn start_id(&self) -> u32 {
        self.start
    }

    /// Id of `<|endoftext|>`.
    #[must_use]
    pub fn end_id(&self) -> u32 {
        self.end
    }

    /// Id of the padding token.
    #[must_use]
    pub fn pad_id(&self) -> u32 {
        self.pad
    }

    /// Id of a token as it stands in `vocab.json`, such as `bear</w>`.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
}

impl From<AddedToken> for tokenizers::AddedToken {
    fn from(token: AddedToken) -> Self {
        Self::from(token.content, true)
            .lstrip(token.lstrip)
            .rstrip(token.rstrip)
            .single_word(token.single_word)
            .normalized(token.normalized)
    }
}

/// The tokens of an `added_tokens.json`, by their ids. They are looked for in the lower-cased text, except for the start and the end.
fn listed(added: &HashMap<String, u32>) -> HashMap<String, AddedToken> {
    let token = |(content, id): (&String, &u32)| {
        let normalized = content != START && content != END;
        let content = content.clone();
        (id.to_string(), AddedToken { content, lstrip: false, rstrip: false, single_word: false, normalized })
    };
    added.iter().map(token).collect()
}

/// The pairs of `merges.txt`, after its version line.
fn parse_merges(text: &str) -> Result<Vec<(&str, &str)>, TokenizerError> {
    text.lines()
        .enumerate()
        .skip_while(|(i, line)| *i == 0 && line.starts_with("#version"))
        .filter(|(_, line)| !line.is_empty())
        .map(|(i, line)| match line.split_once(' ') {
            Some((a, b)) if !a.is_empty() && !b.is_empty() && !b.contains(' ') => Ok((a, b)),
            _ => Err(TokenizerError::Merge { line: i + 1, text: line.to_owned() }),
        })
        .collect()
}
