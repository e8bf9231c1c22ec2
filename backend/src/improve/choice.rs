//! Which pictures are learnt from.

use std::path::Path;

use indexmap::IndexMap;
use mudi_diffusion::emphasis::{Piece, parse};

use crate::evaluate::{Evaluation, Judged};
use crate::train::{KEPT_FILE, KeptPicture};

/// The best pictures of an evaluation, the best first, at most `most`: only such as show as many subjects as there are, and of each prompt
/// as many as of another where there are so many: wordings and places at which the run is bad are to be learnt, too.
pub(super) fn best(evaluation: &Evaluation, most: usize) -> Vec<KeptPicture> {
    let mut by_prompt: IndexMap<&str, Vec<&Judged>> = IndexMap::new();
    for image in &evaluation.images {
        if image.found.len() == evaluation.subjects.len() {
            by_prompt.entry(image.prompt.as_deref().unwrap_or_default()).or_default().push(image);
        }
    }
    let mut ranked: Vec<(usize, &Judged)> = Vec::new();
    for images in by_prompt.values_mut() {
        images.sort_by(|a, b| b.score().total_cmp(&a.score()));
        ranked.extend(images.iter().copied().enumerate());
    }
    ranked.sort_by(|(a, one), (b, other)| a.cmp(b).then(other.score().total_cmp(&one.score())));
    let mut kept: Vec<KeptPicture> = ranked
        .into_iter()
        .take(most)
        .map(|(_, image)| KeptPicture {
            file_name: image.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            text: plain(image.prompt.as_deref().unwrap_or_default()),
            score: image.score(),
        })
        .collect();
    kept.sort_by(|a, b| b.score.total_cmp(&a.score));
    kept
}

/// A prompt without its weights: in a caption brackets are brackets.
fn plain(prompt: &str) -> String {
    let texts = parse(prompt).into_iter().filter_map(|piece| match piece {
        Piece::Text(text, _) => Some(text),
        Piece::Break => None,
    });
    texts.collect()
}

/// The list in the folder `pictures`, where there is one; a list that cannot be read is none, and is made again.
pub(super) fn read(pictures: &Path) -> Option<Vec<KeptPicture>> {
    let text = std::fs::read_to_string(pictures.join(KEPT_FILE)).ok()?;
    let kept: Vec<KeptPicture> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mudi_domain::compare::{Embedding, Norm, References};

    use super::*;
    use crate::evaluate::{Found, Options, Verdict};
    use crate::vision::EmbedderKind;

    /// An image of so many subjects, the first of them `mixed` with the other, 0..=1.
    fn image(name: &str, prompt: &str, found: usize, mixed: f64) -> Judged {
        let embedding = |angle: f64| Embedding::new(&[angle.cos() as f32, angle.sin() as f32]).unwrap();
        let right = std::f64::consts::FRAC_PI_2;
        let references = References::new(vec![vec![embedding(0.0)], vec![embedding(right)]]).unwrap();
        let shown: Vec<Embedding> =
            [mixed * right, right, 0.0].into_iter().take(found).map(embedding).collect();
        let comparison = references.compare_surest(&shown, found, Norm::default()).unwrap();
        let bounds = mudi_domain::geometry::UnitBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };
        Judged {
            file: PathBuf::from(format!("pictures/{name}.png")),
            prompt: Some(prompt.to_owned()),
            found: vec![Found { bounds, query: String::new(), score: 1.0 }; found],
            verdicts: vec![Verdict {
                embedder: EmbedderKind::Dinov2,
                comparison,
                explanation: String::new(),
                multi_subject_similarity: 0.0,
            }],
        }
    }

    fn kept(images: Vec<Judged>, most: usize) -> Vec<String> {
        let evaluation = Evaluation {
            options: Options::default(),
            subjects: vec!["a x".to_owned(), "b y".to_owned()],
            notes: Vec::new(),
            all_found: None,
            summaries: Vec::new(),
            images,
        };
        let best = best(&evaluation, most);
        assert!(best.is_sorted_by(|one, other| one.score >= other.score));
        best.into_iter().map(|picture| picture.file_name).collect()
    }

    #[test]
    fn what_is_learnt_is_what_was_asked_for_without_its_weights() {
        for (prompt, text) in [
            ("A photo of a olis bear and a hta bear.", "A photo of a olis bear and a hta bear."),
            (r"(olis bear:1.3) BREAK [hta] \(red\)", "olis bear  hta (red)"),
            ("", ""),
        ] {
            assert_eq!(plain(prompt), text);
        }
    }

    #[test]
    fn each_prompt_has_its_share() {
        let images = || {
            vec![
                image("0", "easy", 2, 0.0),
                image("1", "easy", 2, 0.1),
                image("2", "easy", 2, 0.2),
                image("3", "hard", 2, 0.6),
                image("4", "hard", 2, 0.5),
                image("5", "hard", 1, 0.0),
                image("6", "hard", 3, 0.0),
            ]
        };
        assert_eq!(kept(images(), 2), ["0.png", "4.png"]);
        assert_eq!(kept(images(), 4), ["0.png", "1.png", "4.png", "3.png"]);
        // Pictures that lack somebody, or have one too many, are never taken.
        assert_eq!(kept(images(), 9), ["0.png", "1.png", "2.png", "4.png", "3.png"]);
        assert_eq!(kept(vec![image("7", "hard", 1, 0.0)], 9), [""; 0]);
    }
}
