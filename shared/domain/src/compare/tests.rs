//! Matrices that were worked out by hand. Cosines are products of unit vectors, so embeddings are chosen for them.

use super::*;

fn embed(values: &[f32]) -> Embedding {
    Embedding::new(values).unwrap()
}

/// Embeddings come as `f32`, in which 0.6 is off by 2e-8.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

fn assert_matrix(found: &Similarities, expected: &[&[f64]]) {
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(f, e)| f.len() == e.len() && f.iter().zip(*e).all(|(f, e)| close(*f, *e)));
    assert!(same, "{found:?} is not {expected:?}");
}

/// The scores by the three norms, in the order of [`Norm::ALL`].
fn scores(references: &References, detections: &[Embedding]) -> [f64; 3] {
    Norm::ALL.map(|norm| references.compare(detections, norm).unwrap().score)
}

fn assert_scores(references: &References, detections: &[Embedding], expected: [f64; 3]) {
    let found = scores(references, detections);
    assert!(found.iter().zip(expected).all(|(f, e)| close(*f, e)), "{found:?} is not {expected:?}");
}

/// Two subjects with a cosine of 0.6.
fn pair() -> References {
    References::new(vec![vec![embed(&[1.0, 0.0])], vec![embed(&[0.6, 0.8])]]).unwrap()
}

/// Three subjects at right angles.
fn trio() -> References {
    let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    References::new(axes.map(|axis| vec![embed(&axis)]).to_vec()).unwrap()
}

#[test]
fn scores_are_shown_rounded_down() {
    assert_eq!(
        [0.6498, 0.65, 0.29, 1.0, 0.0, -0.333].map(score_text),
        ["0.64", "0.65", "0.29", "1.00", "0.00", "-0.34"]
    );
}

#[test]
fn two_subjects_right() {
    let references = pair();
    assert_matrix(references.similarities(), &[&[1.0, 0.6], &[0.6, 1.0]]);
    assert_scores(&references, &[embed(&[1.0, 0.0]), embed(&[0.6, 0.8])], [1.0; 3]);
    let swapped = references.compare(&[embed(&[0.6, 0.8]), embed(&[1.0, 0.0])], Norm::Frobenius).unwrap();
    assert!(close(swapped.score, 1.0));
    assert!(matches!(swapped.outcome, Outcome::Matched { detection_of, .. } if detection_of == [1, 0]));
}

#[test]
fn two_subjects_mixed() {
    // (0.8, 0.6) has cosines 0.8 and 0.48 + 0.48 = 0.96: both toys are a mixture.
    let mixed = [embed(&[0.8, 0.6]), embed(&[0.8, 0.6])];
    let found = pair().compare(&mixed, Norm::Frobenius).unwrap();
    assert_matrix(&found.detections, &[&[0.8, 0.96], &[0.8, 0.96]]);
    // The difference is [[-0.2, 0.36], [0.2, -0.04]]; its squares 0.04, 0.1296, 0.04, 0.0016.
    let squares: f64 = 0.2112;
    // A^T A = [[0.08, -0.08], [-0.08, 0.1312]]: trace 0.2112, determinant 0.010496 - 0.0064 = 0.004096.
    let largest = 0.1056 + (0.1056_f64.powi(2) - 0.004_096).sqrt();
    assert_scores(&pair(), &mixed, [1.0 - squares.sqrt(), 1.0 - squares, 1.0 - largest.sqrt()]);
}

#[test]
fn the_same_subject_twice() {
    let twice = [embed(&[1.0, 0.0]), embed(&[1.0, 0.0])];
    // The difference is [[0, 0], [0.4, -0.4]], of rank 1.
    let distance = 0.32_f64.sqrt();
    assert_scores(&pair(), &twice, [1.0 - distance, 1.0 - 0.32, 1.0 - distance]);
}

#[test]
fn a_wrong_number_of_subjects_scores_zero_and_says_why() {
    let one = pair().compare(&[embed(&[1.0, 0.0])], Norm::Squared).unwrap();
    assert_eq!((one.score, one.norm), (0.0, Norm::Squared));
    assert_eq!(one.outcome, Outcome::Count { subjects: 2, detected: 1 });
    assert_eq!(one.outcome.to_string(), "the number of detections is 1, that of subjects 2");
    assert_matrix(&one.detections, &[&[1.0, 0.6]]);
    let none = pair().compare(&[], Norm::Frobenius).unwrap();
    assert_eq!(none.score, 0.0);
    assert_eq!(none.outcome.to_string(), "nothing was detected, but there are 2 subjects");
    assert_scores(&pair(), &vec![embed(&[1.0, 0.0]); 3], [0.0; 3]);
}

#[test]
fn three_subjects() {
    let axes = |order: [usize; 3]| order.map(|at| trio().subjects[at][0].clone());
    assert_scores(&trio(), &axes([2, 0, 1]), [1.0; 3]);
    // Twice the first, no second: the difference has one row, (1, -1, 0).
    let root = 2.0_f64.sqrt();
    assert_scores(&trio(), &axes([0, 2, 0]), [1.0 - root, 1.0 - 2.0, 1.0 - root]);
    assert_scores(&trio(), &axes([0, 1, 2])[..2], [0.0; 3]);
    // The first two are mixed half and half, (0.6, 0.8) and (0.8, 0.6); the third is right.
    let mixed = [embed(&[0.6, 0.8, 0.0]), embed(&[0.8, 0.6, 0.0]), embed(&[0.0, 0.0, 1.0])];
    // Column 1 takes (0.8, 0.6), so the difference is [[-0.2, 0.6], [0.6, -0.2]] beside zeros: squares 0.8, singular values
    // 0.8 and 0.4.
    assert_scores(&trio(), &mixed, [1.0 - 0.8_f64.sqrt(), 0.2, 0.2]);
}

#[test]
fn several_references_count_by_their_mean() {
    // Photos at (1, 0) and (0.6, 0.8): pairs 1, 0.6, 0.6, 1.
    let references = References::new(vec![vec![embed(&[1.0, 0.0]), embed(&[0.6, 0.8])]]).unwrap();
    assert_matrix(references.similarities(), &[&[0.8]]);
    let found = references.compare(&[embed(&[1.0, 0.0])], Norm::Frobenius).unwrap();
    assert_matrix(&found.detections, &[&[0.8]]);
    assert!(close(found.score, 1.0));
}

#[test]
fn the_plain_similarity_is_blind_to_what_is_missing() {
    let whole = pair().multi_subject_similarity(&embed(&[1.0, 0.0])).unwrap();
    assert!(close(whole, 0.8), "mean of 1 and 0.6, though the second subject is not there");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    assert_eq!(References::new(Vec::new()).unwrap_err(), CompareError::NoSubject);
    let lonely = References::new(vec![vec![embed(&[1.0])], Vec::new()]).unwrap_err();
    assert_eq!(lonely.to_string(), "subject 2 of 2 has no reference; give each at least one photo");
    let width = CompareError::Width { expected: 2, found: 1 };
    assert_eq!(pair().compare(&[embed(&[1.0])], Norm::Frobenius), Err(width.clone()));
    assert_eq!(pair().multi_subject_similarity(&embed(&[1.0])), Err(width));
    assert_eq!(Embedding::new(&[0.0, 0.0]), Err(EmbeddingError::Zero));
    assert_eq!(Embedding::new(&[]), Err(EmbeddingError::Zero));
    assert_eq!(Embedding::new(&[1.0, f32::NAN]), Err(EmbeddingError::NotANumber { index: 1 }));
    assert!(Embedding::new(&[f32::MAX; 9]).is_ok() && Embedding::new(&[1e-45]).is_ok());
}
