//! Tables of pictures, judged or not.

use image::RgbImage;
use mudi_domain::compare::score_text;

use super::PictureScore;
use super::html::{escape, picture};

/// A picture in a table.
pub(crate) struct Shown<'a> {
    /// Its pixels.
    pub(crate) image: &'a RgbImage,
    /// What it shows, as plain text.
    pub(crate) about: String,
    /// How it was judged, where it was.
    pub(crate) score: Option<PictureScore>,
}

/// A row of a table of pictures.
pub(crate) struct Row<'a> {
    /// Its CSS class, may be empty.
    pub(crate) class: &'static str,
    /// HTML.
    pub(crate) label: String,
    /// The picture of each column; none where there is none.
    pub(crate) cells: Vec<Option<Shown<'a>>>,
}

/// What stands below a judged picture.
fn score(score: &PictureScore) -> String {
    let (class, mark) = if score.right { ("right", "✓") } else { ("wrong", "✗") };
    let words = escape(&score.words);
    format!(
        "<small class=\"score {class}\" title=\"{words}\">{mark} {}<span> {words}</span></small>",
        score_text(score.score)
    )
}

/// Rows of pictures under the headings `columns`; `name` is what readers of the screen hear.
///
/// The roles repeat what the elements mean because narrow screens lay the table out as a grid, which would hide it.
pub(crate) fn table(class: &str, name: &str, columns: &[String], rows: &[Row<'_>]) -> String {
    if columns.is_empty() {
        return "<p class=\"quiet\">No pictures.</p>".to_owned();
    }
    let head: String = columns
        .iter()
        .map(|column| format!("<th role=\"columnheader\" scope=\"col\">{}</th>", escape(column)))
        .collect();
    let mut body = String::new();
    for row in rows {
        let cell = |cell: &Option<Shown<'_>>| {
            let shown = cell.as_ref().map_or_else(
                || "<span class=\"missing\">none</span>".to_owned(),
                |shown| {
                    picture(shown.image, &shown.about) + &shown.score.as_ref().map_or_else(String::new, score)
                },
            );
            format!("<td role=\"cell\">{shown}</td>")
        };
        let cells: String = row.cells.iter().map(cell).collect();
        body += &format!(
            "<tr role=\"row\" class=\"{}\"><th role=\"rowheader\" scope=\"row\">{}</th>{cells}</tr>\n",
            row.class, row.label
        );
    }
    let (number, name) = (columns.len(), escape(name));
    format!(
        r#"<div class="wide" role="region" aria-label="{name}" tabindex="0">
<table class="pictures {class}" role="table" aria-label="{name}" style="--n:{number}">
<thead role="rowgroup"><tr role="row"><td class="corner" role="cell"></td>{head}</tr></thead>
<tbody role="rowgroup">{body}</tbody>
</table></div>"#
    )
}
