//! CLIP's own vocabulary, for checkpoints that come without a tokenizer.

use mudi_diffusion::tokenizer::{END, MAX_LENGTH, START, Tokenizer, TokenizerError};

/// The merges that OpenAI published (`assets/clip/README.md`).
const MERGES: &str = include_str!("../../../assets/clip/merges.txt");

/// Tokens of the vocabulary.
pub(super) const TOKENS: usize = 49_408;

/// `!`, the token 0.
const ZERO: &str = "!";

/// CLIP's tokenizer; OpenCLIP's encoders were trained on texts padded with the token 0.
pub(super) fn clip(pads_with_zero: bool) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::from_merges(MERGES, pads_with_zero.then_some(ZERO))
}

/// The same as the files of a `tokenizer` folder, by name.
pub(super) fn files(pads_with_zero: bool) -> Result<Vec<(&'static str, String)>, TokenizerError> {
    let pad = if pads_with_zero { ZERO } else { END };
    let config = serde_json::json!({
        "tokenizer_class": "CLIPTokenizer", "model_max_length": MAX_LENGTH, "do_lower_case": true,
        "bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad,
    });
    Ok(vec![
        ("vocab.json", Tokenizer::vocabulary(MERGES)?),
        ("merges.txt", MERGES.to_owned()),
        ("tokenizer_config.json", config.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids that CLIP's users know by heart.
    #[test]
    fn the_vocabulary_is_clips() {
        let tokenizer = clip(false).unwrap();
        assert_eq!(tokenizer.vocab_size(), TOKENS);
        assert_eq!((tokenizer.start_id(), tokenizer.end_id(), tokenizer.pad_id()), (49_406, 49_407, 49_407));
        let ids = tokenizer.encode("A photo of a cat").unwrap().ids;
        assert_eq!(ids[..7], [49_406, 320, 1_125, 539, 320, 2_368, 49_407]);
        assert_eq!(clip(true).unwrap().pad_id(), 0);
    }
}
