//! Matrices of similarities as tables whose cells are the deeper in color the more alike.

use mudi_domain::compare::Similarities;

use crate::report::html::{escape, subject_class};

/// A row's heading.
pub(super) struct Row {
    /// HTML.
    pub(super) label: String,
    /// The subject in whose color it stands, where it is one's.
    pub(super) subject: Option<usize>,
}

/// A table of `values`, with a column for each subject. With `expected` each cell also tells how far it is from there; the
/// rows are then in the order of subjects.
pub(super) fn table(
    caption: &str,
    rows: &[Row],
    subjects: &[String],
    values: &Similarities,
    expected: Option<&Similarities>,
) -> String {
    let head: String = subjects
        .iter()
        .enumerate()
        .map(|(index, name)| {
            format!(
                "<th scope=\"col\" class=\"{}\"><span class=\"name\">{}</span></th>",
                subject_class(index),
                escape(name)
            )
        })
        .collect();
    let mut body = String::new();
    for (index, (row, values)) in rows.iter().zip(values).enumerate() {
        let class = row.subject.map(subject_class).unwrap_or_default();
        let cells: String = values
            .iter()
            .enumerate()
            .map(|(column, &value)| {
                cell(value, expected.and_then(|all| all.get(index)?.get(column).copied()))
            })
            .collect();
        body += &format!("<tr><th scope=\"row\" class=\"{class}\">{}</th>{cells}</tr>\n", row.label);
    }
    format!(
        "<div class=\"wide\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\"><table class=\"heat\"><caption>{caption}</caption>\
         <thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>",
        caption = escape(caption)
    )
}

fn cell(value: f64, expected: Option<f64>) -> String {
    let depth = value.clamp(0.0, 1.0);
    let off = expected.map(|expected| value - expected).map_or_else(String::new, |off| {
        let sign = if off <= -HALF_STEP { "−" } else { "+" };
        format!("<small>{sign}{:.2}</small>", off.abs())
    });
    // A minus sign is as wide as a digit, a hyphen is not.
    let sign = if value <= -HALF_STEP { "−" } else { "" };
    format!("<td style=\"--v:{depth:.3}\">{sign}{:.2}{off}</td>", value.abs())
}

/// What is below rounds to nothing, which has no sign.
const HALF_STEP: f64 = 0.005;
