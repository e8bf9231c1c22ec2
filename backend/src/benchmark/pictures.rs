//! The pictures themselves: files for whoever wants to look or to judge again, and the first of each prompt side by side.

use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::{ImageFormat, RgbImage};

use super::results::{Example, Results, Row};
use super::ways::{PLACES, Part};
use crate::files::{WriteError, write_atomically};
use crate::report::PictureScore;
use crate::report::html::{count, escape, shrunk};
use crate::report::pictures::{self, Shown};
use crate::report::sheet::sheet;

/// Pixels around each picture of a sheet.
const MARGIN: u32 = 4;

/// The file of a cell's picture, below the output folder: of the prompt with the number `prompt`, from 0, and of `seed`.
pub(super) fn file(cell: &str, prompt: usize, seed: u64) -> PathBuf {
    ["pictures", cell, &format!("{prompt}-{seed:04}.png")].iter().collect()
}

/// A row and the pixels of its examples, scaled down where they are large; none of a file that is not there, as in folders that are older than these files.
pub(super) struct Strip<'a> {
    row: &'a Row,
    pixels: Vec<Option<RgbImage>>,
}

/// The strips of a part's rows that have a picture.
pub(super) fn strips<'a>(results: &'a Results, part: Part, out: &Path) -> Vec<Strip<'a>> {
    let load = |example: &Example| Some(shrunk(&image::open(out.join(&example.file)).ok()?.into_rgb8()));
    let of_part = results.rows.iter().filter(|row| row.part == part);
    of_part
        .map(|row| Strip { row, pixels: row.examples.iter().map(load).collect() })
        .filter(|strip| strip.pixels.iter().any(Option::is_some))
        .collect()
}

impl Strip<'_> {
    /// The row on the page.
    fn shown(&self) -> pictures::Row<'_> {
        let cell = |(at, example): (usize, &Example)| {
            let place = PLACES.get(at).map_or("", |place| place.phrase());
            Some(Shown {
                image: self.pixels.get(at)?.as_ref()?,
                about: format!("{}, “{}”", self.row.title, example.picture.prompt),
                score: Some(judged(self.row, example, place)),
            })
        };
        let cells = self.row.examples.iter().enumerate().map(cell).collect();
        pictures::Row { class: "", label: escape(&self.row.title), cells }
    }
}

/// How a picture was judged.
fn judged(row: &Row, example: &Example, place: &str) -> PictureScore {
    let picture = &example.picture;
    let found = count(picture.found, "toy", "toys");
    let words = if picture.is_placed() {
        format!("{found} found")
    } else {
        format!("{found} found, not all {place}")
    };
    PictureScore { score: picture.score, right: picture.is_right(row.toys), words }
}

/// The part's examples as a table of the page, a row for each way; empty where there are no pictures.
pub(super) fn table(strips: &[Strip<'_>]) -> String {
    let columns = strips.iter().map(|strip| strip.pixels.len()).max().unwrap_or(0);
    let Some(first) = strips.first().and_then(|strip| strip.row.examples.first()) else {
        return String::new();
    };
    let prompt = escape(&first.picture.prompt);
    let rows: Vec<pictures::Row<'_>> = strips.iter().map(Strip::shown).collect();
    let places: Vec<String> = PLACES.iter().take(columns).map(|place| place.phrase().to_owned()).collect();
    let table = pictures::table("compare", "The first pictures", &places, &rows);
    format!(
        "<h3>The first pictures</h3><p class=\"quiet\">Of the first group, of each prompt, as <q>{prompt}</q>, the one with the first \
         seed. All others lie in the folder <code>pictures</code> beside this page, and <code>mudi evaluate</code> judges \
         them again.</p><div class=\"card\">{table}</div>"
    )
}

/// Writes the same pictures as one, without words: a row for each way, in the order of the table. Nothing where one is not there.
pub(super) fn write_sheet(strips: &[Strip<'_>], path: &Path) -> Result<(), WriteError> {
    let rows: Option<Vec<Vec<RgbImage>>> =
        strips.iter().map(|strip| strip.pixels.iter().cloned().collect()).collect();
    let Some(rows) = rows.filter(|rows| !rows.is_empty()) else { return Ok(()) };
    let mut webp = Cursor::new(Vec::new());
    let encoded = sheet(&rows, MARGIN).write_to(&mut webp, ImageFormat::WebP);
    encoded.map_err(|error| WriteError { path: path.to_owned(), source: io::Error::other(error) })?;
    write_atomically(path, webp.get_ref())
}
