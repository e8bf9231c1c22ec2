//! The page of an evaluation.

use image::RgbImage;
use mudi_domain::compare::Outcome;
use mudi_domain::geometry::UnitBox;
use mudi_domain::statistics::Estimate;

use super::matrix::{Row, table};
use super::{Cast, Evaluation, Found, Judged, Verdict, crops};
use crate::report::html::{Document, count, escape, list, picture, shrunk, subject_class, thumbnail};

/// At most so many of the best and of the worst images are shown.
const SHOWN: usize = 6;
/// What the page adds to the style of reports.
const STYLE: &str = include_str!("style.css");

/// The whole page; `picture` reads an image again.
pub(super) fn page(
    evaluation: &Evaluation,
    cast: &[Cast],
    picture: impl Fn(&Judged) -> Option<RgbImage>,
) -> String {
    let main = [
        means(evaluation),
        references(evaluation, cast),
        images(evaluation, &picture),
        all(evaluation),
        method(evaluation),
    ]
    .concat();
    let header = hero(evaluation, cast);
    Document {
        title: "Are these my subjects?",
        style: STYLE,
        skip: "Skip to the scores",
        header: &header,
        main: &main,
    }
    .html()
}

/// Who should be on the images.
fn hero(evaluation: &Evaluation, cast: &[Cast]) -> String {
    let members: String = cast
        .iter()
        .enumerate()
        .map(|(index, subject)| {
            let photo =
                subject.crops.first().map(|crop| picture(crop, &format!("A photo of {}", subject.name)));
            format!(
                "<li class=\"{}\">{}<strong class=\"name\">{}</strong></li>",
                subject_class(index),
                photo.unwrap_or_default(),
                escape(&subject.name)
            )
        })
        .collect();
    let names: Vec<String> =
        evaluation.subjects.iter().map(|name| format!("<strong>{}</strong>", escape(name))).collect();
    let number = count(evaluation.images.len(), "image", "images");
    let notes: String = evaluation
        .notes
        .iter()
        .map(|note| format!("<p class=\"note\" role=\"note\">{}</p>", escape(note)))
        .collect();
    format!(
        "<ul class=\"cast\">{members}</ul>\n<p class=\"lead\">{number}, each asked whether it shows {}: all of them, each once, \
         none with the traits of another. 1 is right.</p>{notes}",
        list(&names)
    )
}

/// A number and its interval.
fn estimate(estimate: Option<Estimate>) -> String {
    match estimate {
        None => "–".to_owned(),
        Some(Estimate { value, interval: None, .. }) => format!("<b>{value:.3}</b>"),
        Some(Estimate { value, interval: Some((low, high)), .. }) => {
            format!("<b>{value:.3}</b><small>{low:.3} to {high:.3}</small>")
        }
    }
}

fn means(evaluation: &Evaluation) -> String {
    let mut items = String::new();
    let mut item = |what: &str, value: Option<Estimate>| {
        items += &format!("<div><dt>{what}</dt><dd>{}</dd></div>", estimate(value));
    };
    for summary in &evaluation.summaries {
        item(&format!("Detect-and-Compare, by {}", summary.embedder), summary.score);
    }
    item("images with the right number of subjects", evaluation.all_found);
    for summary in &evaluation.summaries {
        item(
            &format!("plain multi-subject similarity, by {}", summary.embedder),
            summary.multi_subject_similarity,
        );
    }
    format!(
        "<section id=\"means\" aria-labelledby=\"means-title\"><h2 id=\"means-title\">Means</h2><dl class=\"means\">{items}</dl>\
         <p class=\"quiet\">Below each mean lies its 95 % confidence interval: Student’s for scores, Wilson’s for the share.</p></section>"
    )
}

/// How alike the subjects are to begin with.
fn references(evaluation: &Evaluation, cast: &[Cast]) -> String {
    let rows: Vec<Row> = evaluation
        .subjects
        .iter()
        .enumerate()
        .map(|(index, name)| Row {
            label: format!("<span class=\"name\">{}</span>", escape(name)),
            subject: Some(index),
        })
        .collect();
    let tables: String = evaluation
        .summaries
        .iter()
        .map(|summary| {
            let caption = format!("Mean similarity of the photos, by {}", summary.embedder);
            table(&caption, &rows, &evaluation.subjects, &summary.references, None)
        })
        .collect();
    let photos: String = cast
        .iter()
        .enumerate()
        .map(|(index, subject)| {
            let crops: String = (1..)
                .zip(&subject.crops)
                .map(|(number, crop)| {
                    format!("<li>{}</li>", picture(crop, &format!("Photo {number} of {}", subject.name)))
                })
                .collect();
            format!("<ul class=\"strip crops {}\">{crops}</ul>", subject_class(index))
        })
        .collect();
    format!(
        "<section id=\"references\" aria-labelledby=\"references-title\"><h2 id=\"references-title\">The references</h2>\
         <p>What an image is held against: the photos, cropped to their masks’ boxes. On the diagonal a photo also meets itself.</p>\
         {photos}{tables}</section>"
    )
}

/// The images worth a look, with their crops and matrices.
fn images(evaluation: &Evaluation, picture: &impl Fn(&Judged) -> Option<RgbImage>) -> String {
    let ordered = best_first(evaluation);
    let cards = |images: &[&Judged]| -> String {
        images.iter().map(|image| card(evaluation, image, picture(image).as_ref())).collect()
    };
    let section = |id: &str, title: &str, images: &[&Judged]| {
        format!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\"><h2 id=\"{id}-title\">{title}</h2>{}</section>",
            cards(images)
        )
    };
    if ordered.len() <= 2 * SHOWN {
        return section("images", "The images, best first", &ordered);
    }
    let worst: Vec<&Judged> = ordered.iter().rev().take(SHOWN).copied().collect();
    section("best", "The best images", &ordered[..SHOWN]) + &section("worst", "The worst images", &worst)
}

fn best_first(evaluation: &Evaluation) -> Vec<&Judged> {
    let mut ordered: Vec<&Judged> = evaluation.images.iter().collect();
    ordered.sort_by(|a, b| b.score().total_cmp(&a.score()));
    ordered
}

fn file_name(image: &Judged) -> String {
    escape(&image.file.file_name().unwrap_or_default().to_string_lossy())
}

fn card(evaluation: &Evaluation, image: &Judged, pixels: Option<&RgbImage>) -> String {
    let subjects = &evaluation.subjects;
    let first = image.verdicts.first();
    let whose: Vec<Option<usize>> =
        (0..image.found.len()).map(|index| first.and_then(|verdict| subject_of(verdict, index))).collect();
    let shown = pixels.map_or_else(
        || "<span class=\"missing\">The file is no longer there.</span>".to_owned(),
        |pixels| thumbnail(pixels, &format!("The image, {}", image.file.display())),
    );
    // Those that were embedded; of a hundred boxes nobody sees any.
    let compared = first.map_or(0, |verdict| verdict.comparison.detections.len());
    let boxes: String = image
        .found
        .iter()
        .zip(&whose)
        .take(compared)
        .enumerate()
        .map(|(index, (found, subject))| frame(index, &found.bounds, *subject))
        .collect();
    let verdicts: String =
        image.verdicts.iter().map(|verdict| verdict_part(verdict, image, subjects, pixels)).collect();
    let prompt = image.prompt.as_ref().map(|prompt| format!("<p class=\"quiet\">“{}”</p>", escape(prompt)));
    format!(
        "<article class=\"card judged\"><div><div class=\"boxes\">{shown}{boxes}</div></div><div><h3>{}</h3>{}{verdicts}</div></article>\n",
        file_name(image),
        prompt.unwrap_or_default()
    )
}

/// The subject that a detection was taken for.
fn subject_of(verdict: &Verdict, detection: usize) -> Option<usize> {
    match &verdict.comparison.outcome {
        Outcome::Matched { detection_of, .. } => detection_of.iter().position(|&of| of == detection),
        Outcome::Count { .. } => None,
    }
}

/// A detection's box over the image.
fn frame(index: usize, bounds: &UnitBox, subject: Option<usize>) -> String {
    let [left, top] = [bounds.x, bounds.y].map(|start| start.clamp(0.0, 1.0));
    let width = (bounds.x + bounds.width).clamp(0.0, 1.0) - left;
    let height = (bounds.y + bounds.height).clamp(0.0, 1.0) - top;
    let [left, top, width, height] = [left, top, width, height].map(|share| 100.0 * share);
    let class = subject.map(subject_class).unwrap_or_default();
    format!(
        "<span class=\"box {class}\" aria-hidden=\"true\" style=\"left:{left:.1}%;top:{top:.1}%;width:{width:.1}%;height:{height:.1}%\">\
         <b>{}</b></span>",
        index + 1
    )
}

/// Score, outcome and matrix by one embedder.
fn verdict_part(verdict: &Verdict, image: &Judged, subjects: &[String], pixels: Option<&RgbImage>) -> String {
    let comparison = &verdict.comparison;
    let (order, expected): (Vec<usize>, _) = match &comparison.outcome {
        Outcome::Matched { detection_of, .. } => (detection_of.clone(), Some(&comparison.references)),
        Outcome::Count { .. } => ((0..comparison.detections.len()).collect(), None),
    };
    let rows: Vec<Row> = order
        .iter()
        .enumerate()
        .filter_map(|(place, &index)| {
            let subject = expected.map(|_| place);
            let taken = subject.and_then(|subject| subjects.get(subject));
            Some(Row { label: detection(index, image.found.get(index)?, taken, pixels), subject })
        })
        .collect();
    let (score, by) = (comparison.score, verdict.embedder);
    let left = image.found.len().saturating_sub(rows.len());
    let left = match left {
        0 => String::new(),
        left => format!(" Only the surest are shown; {left} more were found."),
    };
    let matrix = if rows.is_empty() {
        String::new()
    } else {
        let file = image.file.file_name().unwrap_or_default().to_string_lossy();
        let caption = format!("Similarity of each crop of {file} to each subject’s photos, by {by}");
        table(&caption, &rows, subjects, &comparison.detections, expected)
    };
    let mut explanation = escape(&verdict.explanation);
    if let Some(first) = explanation.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!(
        "<p><strong class=\"score\">{score:.3}</strong> by {by}. {explanation}.{left} The plain similarity is {:.3}.</p>{matrix}",
        verdict.multi_subject_similarity
    )
}

/// What stands before a detection's row.
fn detection(index: usize, found: &Found, taken: Option<&String>, pixels: Option<&RgbImage>) -> String {
    let crop = pixels.and_then(|pixels| {
        let rect = crops::inside(pixels, &found.bounds)?;
        Some(picture(&shrunk(&crops::on_square(pixels, rect)), &format!("Crop {}", index + 1)))
    });
    let taken = taken.map(|name| format!("taken for <span class=\"name\">{}</span>", escape(name)));
    format!(
        "{}<span><b>{}</b> {} <small>{}, {:.2}</small></span>",
        crop.unwrap_or_default(),
        index + 1,
        taken.unwrap_or_default(),
        escape(&found.query),
        found.score
    )
}

/// Every image's scores.
fn all(evaluation: &Evaluation) -> String {
    let head: String = evaluation
        .summaries
        .iter()
        .map(|summary| format!("<th scope=\"col\">{}</th>", summary.embedder))
        .collect();
    let rows: String = best_first(evaluation)
        .into_iter()
        .map(|image| {
            let scores: String = image
                .verdicts
                .iter()
                .map(|verdict| format!("<td>{:.3}</td>", verdict.comparison.score))
                .collect();
            let why = image.verdicts.first().map(|verdict| escape(&verdict.explanation)).unwrap_or_default();
            format!(
                "<tr><th scope=\"row\">{}</th>{scores}<td class=\"why\">{why}</td></tr>\n",
                file_name(image)
            )
        })
        .collect();
    format!(
        "<section id=\"all\" aria-labelledby=\"all-title\"><h2 id=\"all-title\">Every image</h2><div class=\"wide\" role=\"region\" \
         aria-label=\"Every image\" tabindex=\"0\"><table class=\"times scores\"><thead><tr><th scope=\"col\">File</th>{head}\
         <th scope=\"col\">What was found</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )
}

/// How the numbers came about.
fn method(evaluation: &Evaluation) -> String {
    let options = &evaluation.options;
    let queries: Vec<String> =
        options.queries.iter().map(|query| format!("<q>{}</q>", escape(query))).collect();
    let overlap = if options.overlap < 1.0 {
        format!(" Of two boxes that overlap by more than {:.2} the surer one counts.", options.overlap)
    } else {
        String::new()
    };
    format!(
        "<section id=\"method\" aria-labelledby=\"method-title\"><h2 id=\"method-title\">How it was judged</h2>\
         <p>A detector looked for {} and counted what it found with a score above {:.2}.{overlap} Each box was cropped, put on a white \
         square and embedded; its row is its mean similarity to each subject’s photos. Rows were matched to subjects one subject after the \
         other, the most similar row first. The score is 1 minus the {} of the difference from the references’ own matrix; the small numbers \
         in the cells are that difference. Where there are not as many boxes as subjects, the score is 0.</p>\
         <p>The plain similarity is that of the whole image to each subject’s photos, on average. It does not see who is missing or mixed.</p></section>",
        list(&queries),
        options.threshold,
        match options.norm {
            mudi_domain::compare::Norm::Frobenius => "Frobenius norm",
            mudi_domain::compare::Norm::Squared => "squared Frobenius norm",
            mudi_domain::compare::Norm::Spectral => "spectral norm",
        }
    )
}
