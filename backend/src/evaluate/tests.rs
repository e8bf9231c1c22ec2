//! The page and what stands on it.

use mudi_domain::compare::{Embedding, References};
use mudi_domain::subject::{Subject, SubjectId};

use super::*;
use crate::evaluate::{folder, page};

const NASTY: &str = "<script>alert('x')</script> & \"ears\"";

fn judged(name: &str, detections: &[[f32; 2]], prompt: Option<&str>) -> Judged {
    let embed = |values: &[f32; 2]| Embedding::new(values).unwrap();
    let references = References::new(vec![vec![embed(&[1.0, 0.0])], vec![embed(&[0.6, 0.8])]]).unwrap();
    let detections: Vec<Embedding> = detections.iter().map(embed).collect();
    let comparison = references.compare(&detections, Norm::Frobenius).unwrap();
    let found = (0..detections.len() as u8).map(|index| Found {
        bounds: UnitBox { x: f64::from(index) * 0.5, y: 0.25, width: 0.5, height: 0.5 },
        query: NASTY.to_owned(),
        score: 0.9,
    });
    Judged {
        file: format!("{name}<script>.png").into(),
        prompt: prompt.map(str::to_owned),
        found: found.collect(),
        verdicts: vec![Verdict {
            embedder: EmbedderKind::Dinov2,
            explanation: comparison.outcome.to_string(),
            comparison,
            multi_subject_similarity: 0.5,
        }],
    }
}

fn evaluation(images: Vec<Judged>) -> Evaluation {
    let scores: Vec<f64> = images.iter().map(Judged::score).collect();
    Evaluation {
        options: Options { queries: vec![NASTY.to_owned()], ..Options::default() },
        subjects: vec!["olis bear".to_owned(), NASTY.to_owned()],
        notes: vec![NASTY.to_owned()],
        all_found: Estimate::rate(1, images.len()),
        summaries: vec![Summary {
            embedder: EmbedderKind::Dinov2,
            references: vec![vec![1.0, 0.6], vec![0.6, 1.0]],
            score: Estimate::mean(&scores),
            multi_subject_similarity: Estimate::mean(&scores),
        }],
        images,
    }
}

fn html(evaluation: &Evaluation) -> String {
    let cast: Vec<Cast> = evaluation
        .subjects
        .iter()
        .map(|name| Cast { name: name.clone(), crops: vec![RgbImage::new(8, 8)] })
        .collect();
    page::page(evaluation, &cast, |image| image.prompt.is_some().then(|| RgbImage::new(20, 10)))
}

#[test]
fn more_subjects_need_a_lower_score() {
    assert!((0..7).all(|subjects| right_from(subjects) >= right_from(subjects + 1)));
    let right = judged("right", &RIGHT, None);
    assert!(right.is_right() && right.subjects() == 2);
    let one = judged("one", &RIGHT[..1], None);
    assert!(!one.is_right() && one.subjects() == 2);
    // The same score of two and of four subjects.
    let mut between = judged("between", &RIGHT, None);
    between.verdicts[0].comparison.score = f64::midpoint(right_from(2), right_from(4));
    assert!(!between.is_right());
    between.verdicts[0].comparison.outcome =
        Outcome::Matched { detection_of: vec![0, 1, 2, 3], distance: 0.45 };
    assert!(between.is_right() && between.subjects() == 4);
}

const RIGHT: [[f32; 2]; 2] = [[0.6, 0.8], [1.0, 0.0]];

#[test]
fn nothing_from_outside_gets_into_the_page_unescaped() {
    let page = html(&evaluation(vec![judged("a", &RIGHT, Some(NASTY)), judged("b", &[], None)]));
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"));
    assert!(!page.contains("NaN") && !page.contains("inf"), "no number that is none");
    assert!(page.contains("Nothing was detected, but there are 2 subjects"));
    assert!(page.contains("The file is no longer there"));
    assert_eq!(page.matches("class=\"box ").count(), 2);
    assert_eq!(page.matches("<article").count(), page.matches("</article>").count());
}

#[test]
fn the_best_come_first_and_of_many_only_the_ends_are_shown() {
    let mut images: Vec<Judged> =
        (0..13).map(|index| judged(&format!("m{index:02}"), &[[1.0, 0.0]; 2], None)).collect();
    images.push(judged("best", &RIGHT, None));
    images.push(judged("worst", &[[-1.0, 0.0]; 2], None));
    let page = html(&evaluation(images));
    assert_eq!(page.matches("<article").count(), 12);
    let section = |id: &str| {
        let start = page.find(&format!("id=\"{id}\"")).unwrap();
        page[start..].split("<article").nth(1).unwrap().to_owned()
    };
    assert!(section("best").contains("<h3>best") && section("worst").contains("<h3>worst"));
    assert_eq!(page.matches("<th scope=\"row\">m").count(), 13, "the table has them all");
}

#[test]
fn of_a_hundred_boxes_those_that_were_compared_are_shown() {
    let mut crowd = judged("crowd", &[[1.0, 0.0]; 3], Some("a crowd"));
    crowd.found = vec![crowd.found[0].clone(); 100];
    let page = html(&evaluation(vec![crowd]));
    assert_eq!(page.matches("class=\"box ").count(), 3);
    assert!(page.contains("97 more were found"), "{page}");
}

#[test]
fn prompts_of_another_project_are_noticed() {
    let subjects = [("a", "olis bear"), ("b", "hta robot")]
        .map(|(id, name)| Subject::new(SubjectId::new(id).unwrap(), name).unwrap());
    let note = |prompts: &[Option<&str>]| {
        let images: Vec<Judged> = prompts.iter().map(|prompt| judged("x", &[], *prompt)).collect();
        folder::foreign(&subjects, &images)
    };
    assert_eq!(note(&[None, None]), None, "nothing is known of images without prompts");
    assert_eq!(note(&[Some("A photo of hta robot."), Some("a cat")]), None);
    assert_eq!(note(&[Some("a OLIS bear")]), None);
    assert!(note(&[Some("a olis-2 bear")]).is_some());
    let foreign = note(&[Some("polish robots"), None]).unwrap();
    assert!(foreign.contains("polish robots") && foreign.contains("olis bear, hta robot"));
}

#[test]
#[cfg(unix)]
fn a_name_that_is_no_text_costs_no_evaluation() {
    use std::os::unix::ffi::OsStringExt;
    let file = PathBuf::from(std::ffi::OsString::from_vec(b"a\xff.png".to_vec()));
    let image = Judged { file, ..judged("a", &[], None) };
    let text = serde_json::to_string(&evaluation(vec![image])).unwrap();
    assert!(text.contains("\"file\":\"a\u{fffd}.png\""), "{text}");
}
