//! The steps of CLIP's tokenizer, as types of their own: whatever else a `tokenizer.json` may ask for is not part of the programs that
//! browsers load.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, Replace};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, PreTokenizedString, PreTokenizer, Result,
    SplitDelimiterBehavior, TokenizerBuilder, TokenizerImpl,
};

use super::{END, WORD_END};

/// How text falls into words: contractions, runs of letters, single digits, runs of anything else but white space.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// From text to ids and back. It has no post-processor: the start and end tokens are ours to add.
pub(super) type Pipeline = TokenizerImpl<BPE, Plain, Words, ByteLevel, ByteLevel>;

/// Composed characters in lower case, with single spaces.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    spaces: Replace,
}

impl Normalizer for Plain {
    fn normalize(&self, text: &mut NormalizedString) -> Result<()> {
        NFC.normalize(text)?;
        self.spaces.normalize(text)?;
        Lowercase.normalize(text)
    }
}

/// [`WORDS`], spelled in byte symbols.
#[derive(Debug, Clone)]
pub(super) struct Words {
    split: Split,
    bytes: ByteLevel,
}

impl PreTokenizer for Words {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> Result<()> {
        self.split.pre_tokenize(text)?;
        self.bytes.pre_tokenize(text)
    }
}

/// The pipeline of a vocabulary, its merges in their order, and the tokens that are looked for in the text itself.
pub(super) fn pipeline(
    vocab: &HashMap<String, u32>,
    merges: &[(&str, &str)],
    added: &[AddedToken],
) -> Result<Pipeline> {
    let vocab: Vocab = vocab.iter().map(|(token, id)| (token.clone(), *id)).collect();
    let merges = merges.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let model = BpeBuilder::new()
        .vocab_and_merges(vocab, merges)
        .unk_token(END.to_owned())
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix(WORD_END.to_owned())
        .build()?;
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ")?;
    let pattern = SplitPattern::Regex(WORDS.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Removed, true)?;
    let mut pipeline = TokenizerBuilder::new()
        .with_model(model)
        .with_normalizer(Some(Plain { spaces }))
        .with_pre_tokenizer(Some(Words { split, bytes: ByteLevel::new(false, true, true) }))
        .with_post_processor(None::<ByteLevel>)
        .with_decoder(Some(ByteLevel::default()))
        .build()?;
    pipeline.add_special_tokens(added);
    Ok(pipeline)
}
