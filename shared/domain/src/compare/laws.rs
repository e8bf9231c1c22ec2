//! What holds of every comparison.

use proptest::prelude::*;

use super::*;

fn embedding() -> impl Strategy<Value = Embedding> {
    // Few values, so that ties happen.
    let value = prop_oneof![Just(0.0_f32), Just(1.0), Just(-1.0), -2.0_f32..2.0];
    prop::collection::vec(value, 4).prop_filter_map("no direction", |values| Embedding::new(&values).ok())
}

fn subjects() -> impl Strategy<Value = Vec<Vec<Embedding>>> {
    prop::collection::vec(prop::collection::vec(embedding(), 1..4), 1..5)
}

proptest! {
    #[test]
    fn a_score_is_a_number_of_at_most_one(
        subjects in subjects(),
        detections in prop::collection::vec(embedding(), 0..5),
    ) {
        let references = References::new(subjects).unwrap();
        for norm in Norm::ALL {
            let found = references.compare(&detections, norm).unwrap();
            prop_assert!(found.score.is_finite() && found.score <= 1.0);
        }
    }

    #[test]
    fn the_order_of_detections_does_not_count(
        (subjects, detections, shuffled) in subjects().prop_flat_map(|subjects| {
            let detections = prop::collection::vec(embedding(), subjects.len());
            (Just(subjects), detections)
        }).prop_flat_map(|(subjects, detections)| {
            (Just(subjects), Just(detections.clone()), Just(detections).prop_shuffle())
        }),
    ) {
        let references = References::new(subjects).unwrap();
        for norm in Norm::ALL {
            let [a, b] = [&detections, &shuffled].map(|d| references.compare(d, norm).unwrap());
            prop_assert_eq!(a.score, b.score);
            prop_assert_eq!(a.detections, b.detections);
        }
    }

    #[test]
    fn the_references_themselves_are_right(single in prop::collection::vec(embedding(), 1..5)) {
        let references = References::new(single.iter().cloned().map(|one| vec![one]).collect()).unwrap();
        for norm in Norm::ALL {
            let found = references.compare(&single, norm).unwrap();
            prop_assert!((found.score - 1.0).abs() < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn norms_are_ordered(subjects in subjects(), seed in prop::collection::vec(embedding(), 5)) {
        let detections = &seed[..subjects.len()];
        let references = References::new(subjects).unwrap();
        let [frobenius, squared, spectral] =
            Norm::ALL.map(|norm| 1.0 - references.compare(detections, norm).unwrap().score);
        prop_assert!(spectral <= frobenius + 1e-9);
        prop_assert!((frobenius * frobenius - squared).abs() < 1e-9);
    }
}
