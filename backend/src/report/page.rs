//! The page.

use std::iter;

use image::RgbImage;

use super::chart::loss_chart;
use super::html::{Document, count, duration, escape, list, memory, overlay, subject_class, thumbnail};
use super::pictures::{self, Shown};
use super::{Grid, MethodSection, PictureScore, Report, SubjectCard, verdict};

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let methods: String =
        report.methods.iter().enumerate().map(|(index, method)| method_section(index, method)).collect();
    let main = [
        comparison(report),
        verdict::section(report),
        subjects(report),
        methods,
        prompts(report),
        costs(report),
        repeat(report),
    ]
    .join("\n");
    let header = hero(report);
    Document { title: &report.title, style: "", skip: "Skip to the comparison", header: &header, main: &main }
        .html()
}

/// Who is who, what to look for, and where things are on the page.
fn hero(report: &Report) -> String {
    let names: Vec<String> =
        report.subjects.iter().map(|subject| format!("<strong>{}</strong>", escape(&subject.name))).collect();
    let methods: Vec<String> = report.methods.iter().map(|method| escape(&method.name)).collect();
    let cast: String =
        report.subjects.iter().enumerate().map(|(index, subject)| cast_member(index, subject)).collect();
    let who = if names.is_empty() { String::new() } else { format!(" the same photos of {}", list(&names)) };
    let lead = match methods.len() {
        0 => format!("Nothing has been trained on{who} yet."),
        1 => format!("{} has taught a model{who}.", methods[0]),
        ways => format!(
            "The same model has learned {ways} times from{who}: with {}. Down a column of the comparison only the \
             method changes, so what differs is the method's doing.",
            list(&methods)
        ),
    };
    let links: String = iter::once(("compare".to_owned(), "Comparison".to_owned()))
        .chain((!report.judging.is_empty()).then(|| ("verdict".to_owned(), "Verdict".to_owned())))
        .chain(iter::once(("subjects".to_owned(), "Subjects".to_owned())))
        .chain(methods.iter().enumerate().map(|(index, name)| (method_id(index), name.clone())))
        .chain(iter::once(("costs".to_owned(), "Time and memory".to_owned())))
        .chain(iter::once(("repeat".to_owned(), "How to repeat it".to_owned())))
        .map(|(id, words)| format!("<li><a href=\"#{id}\">{words}</a></li>"))
        .collect();
    format!(
        r##"<ul class="cast">{cast}</ul>
<p class="lead">{lead}</p>
<ul class="look">
<li><strong>Is everyone there?</strong> Each subject that the prompt names, once.</li>
<li><strong>Is everyone themselves?</strong> The colors, markings and belongings of the photos above, none borrowed from another.</li>
<li><strong>Is it the scene?</strong> The place and the action that the prompt asks for.</li>
</ul>
<nav aria-label="On this page"><ul>{links}</ul></nav>"##
    )
}

/// A subject's first photo with its name.
fn cast_member(index: usize, subject: &SubjectCard) -> String {
    let class = subject_class(index);
    let name = escape(&subject.name);
    let photo = subject.photos.first().map(|photo| thumbnail(photo, &format!("A photo of {}", subject.name)));
    let photo = photo.unwrap_or_default();
    format!(
        "<li class=\"{class}\"><a href=\"#subject-{index}\">{photo}<strong class=\"name\">{name}</strong></a></li>"
    )
}

/// The first prompt's pictures: a row for each way to make them, a column for each seed.
fn comparison(report: &Report) -> String {
    let ways: Vec<(&MethodSection, &Grid)> = report
        .methods
        .iter()
        .flat_map(|method| method.grids.iter().map(move |grid| (method, grid)))
        .collect();
    let first_row = || ways.iter().find_map(|(_, grid)| grid.rows.first());
    let Some(prompt) = report.prompts.first().or_else(|| first_row().map(|row| &row.prompt)) else {
        return "<section id=\"compare\"><h2>Side by side</h2><p>No pictures were generated.</p></section>"
            .to_owned();
    };
    let rows: Vec<PictureRow<'_>> = ways
        .iter()
        .filter_map(|(method, grid)| {
            let row = grid.rows.iter().find(|row| row.prompt == *prompt)?;
            let label = format!("{}<small>{}</small>", escape(&method.name), noise(grid.gamma));
            let about = format!("{}, {}, “{prompt}”", method.name, noise(grid.gamma));
            Some(PictureRow {
                class: "",
                label,
                about,
                seeds: &row.seeds,
                pictures: &row.images,
                scores: &row.scores,
            })
        })
        .collect();
    let table = by_seed("compare", "Side by side", &rows);
    let prompt = escape(prompt);
    format!(
        r#"<section id="compare" aria-labelledby="compare-title">
<h2 id="compare-title">Side by side</h2>
<blockquote>{prompt}</blockquote>
<div class="card">{table}</div>
</section>"#
    )
}

/// How the first noise was made.
fn noise(gamma: Option<f32>) -> String {
    gamma.map_or_else(|| "plain noise".to_owned(), |gamma| format!("shifted noise, γ = {gamma}"))
}

/// A row of a table of pictures.
struct PictureRow<'a> {
    class: &'static str,
    /// HTML.
    label: String,
    /// What all the pictures show, as plain text; the seed is added.
    about: String,
    seeds: &'a [u64],
    pictures: &'a [RgbImage],
    /// How they were judged; empty where they were not.
    scores: &'a [PictureScore],
}

impl<'a> PictureRow<'a> {
    /// Its pictures in the columns of `seeds`.
    fn under(&self, seeds: &[u64]) -> pictures::Row<'a> {
        let cell = |seed: &u64| {
            let index = self.seeds.iter().position(|other| other == seed)?;
            let (image, score) = (self.pictures.get(index)?, self.scores.get(index).cloned());
            Some(Shown { image, about: format!("{}, seed {seed}", self.about), score })
        };
        pictures::Row {
            class: self.class,
            label: self.label.clone(),
            cells: seeds.iter().map(cell).collect(),
        }
    }
}

/// Rows of pictures with a column for each seed that any of them has.
fn by_seed(class: &str, name: &str, rows: &[PictureRow<'_>]) -> String {
    let mut seeds: Vec<u64> = Vec::new();
    for &seed in rows.iter().flat_map(|row| row.seeds) {
        if !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    let rows: Vec<pictures::Row<'_>> = rows.iter().map(|row| row.under(&seeds)).collect();
    let columns: Vec<String> = seeds.iter().map(|seed| format!("seed {seed}")).collect();
    pictures::table(class, name, &columns, &rows)
}

/// Every subject with its photos and masks.
fn subjects(report: &Report) -> String {
    let cards: String =
        report.subjects.iter().enumerate().map(|(index, subject)| subject_card(index, subject)).collect();
    let masks = escape(&report.masks);
    format!(
        r#"<section id="subjects" aria-labelledby="subjects-title">
<h2 id="subjects-title">The subjects</h2>
<p class="quiet">Each photo, and beside it what its mask keeps: the outline is the mask's edge, the gray part is left out. {masks}</p>
{cards}
</section>"#
    )
}

fn subject_card(index: usize, subject: &SubjectCard) -> String {
    let mut photos = String::new();
    for (number, photo) in (1..).zip(&subject.photos) {
        let about = format!("Photo {number} of {}", subject.name);
        let mask = subject.masks.get(number - 1).map_or_else(String::new, |mask| {
            thumbnail(&overlay(photo, mask, index), &format!("{about}, all outside its mask grayed out"))
        });
        photos += &format!("<li class=\"pair\">{}{mask}</li>", thumbnail(photo, &about));
    }
    let (class, name, id) = (subject_class(index), escape(&subject.name), escape(&subject.id));
    let number = count(subject.photos.len(), "photo", "photos");
    format!(
        r#"<article class="card {class}" id="subject-{index}"><h3 class="name" style="margin-top:0">{name}</h3>
<p class="quiet">{number}, “{id}” in the data set</p>
<ul class="strip">{photos}</ul></article>"#
    )
}

fn method_id(index: usize) -> String {
    format!("method-{index}")
}

/// What a method does, saw, lost and made.
fn method_section(index: usize, method: &MethodSection) -> String {
    let (id, name, explanation) = (method_id(index), escape(&method.name), escape(&method.explanation));
    let mut seen = String::new();
    for (image, caption) in &method.seen_in_training {
        let image = thumbnail(image, &format!("Training picture: {caption}"));
        seen += &format!("<li><figure>{image}<figcaption>{}</figcaption></figure></li>", escape(caption));
    }
    if !seen.is_empty() {
        seen = format!("<h3>What the model saw</h3><ul class=\"strip seen\">{seen}</ul>");
    }
    let trained = format!(
        "{} in {}",
        count(method.losses.len(), "training step", "training steps"),
        duration(method.training_seconds)
    );
    let chart = loss_chart(&method.losses);
    let grids: String = method.grids.iter().map(|grid| grid_part(method, grid)).collect();
    format!(
        r#"<section class="card" id="{id}" aria-labelledby="{id}-title">
<h2 id="{id}-title">{name}</h2>
<p class="lead">{explanation}</p>
{seen}
<h3>How training went</h3>
<p class="quiet">{trained}. The thick line is the smoothed loss, the faint one the loss of each step.</p>
{chart}
{grids}
</section>"#
    )
}

/// A grid of generated pictures, its layouts above.
fn grid_part(method: &MethodSection, grid: &Grid) -> String {
    let noise = noise(grid.gamma);
    let seeds = grid.rows.first().map(|row| row.seeds.as_slice()).unwrap_or_default();
    let mut rows = Vec::new();
    if !grid.layouts.is_empty() {
        rows.push(PictureRow {
            class: "layouts",
            label: "Layout<small>where the first noise places whom</small>".to_owned(),
            about: "Layout".to_owned(),
            seeds,
            pictures: &grid.layouts,
            scores: &[],
        });
    }
    rows.extend(grid.rows.iter().map(|row| PictureRow {
        class: "",
        label: escape(&row.prompt),
        about: format!("{}, {noise}, “{}”", method.name, row.prompt),
        seeds: &row.seeds,
        pictures: &row.images,
        scores: &row.scores,
    }));
    let number = grid.rows.iter().map(|row| row.images.len()).sum();
    let made = format!("{} in {}", count(number, "picture", "pictures"), duration(grid.seconds));
    let table = by_seed("", &format!("{}: pictures from {noise}", method.name), &rows);
    format!("<h3>Pictures from {noise}</h3><p class=\"quiet\">{made}</p>{table}")
}

/// The prompts.
fn prompts(report: &Report) -> String {
    let items: String = report.prompts.iter().map(|prompt| format!("<li>{}</li>", escape(prompt))).collect();
    let negative = if report.negative_prompt.is_empty() {
        String::new()
    } else {
        format!("<p>Steered away from: <q>{}</q></p>", escape(&report.negative_prompt))
    };
    format!(
        "<section id=\"prompts\"><h2>The prompts</h2><ol class=\"prompts\">{items}</ol>{negative}</section>"
    )
}

/// Times and memory.
fn costs(report: &Report) -> String {
    let longest = report.times.iter().map(|row| row.seconds).filter(|t| t.is_finite()).fold(0.0, f64::max);
    let mut rows = String::new();
    for row in &report.times {
        let share = if longest > 0.0 { (row.seconds / longest).clamp(0.0, 1.0) * 100.0 } else { 0.0 };
        let share = if share.is_finite() { share } else { 0.0 };
        rows += &format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"share\" aria-hidden=\"true\"><span class=\"bar\" style=\"width:{share:.1}%\"></span></td></tr>",
            escape(&row.what),
            duration(row.seconds)
        );
    }
    let most = report.peak_memory_bytes.map_or_else(String::new, |bytes| {
        format!("<p>At most <strong>{}</strong> of memory at once.</p>", memory(bytes))
    });
    format!(
        r#"<section id="costs" aria-labelledby="costs-title"><h2 id="costs-title">Time and memory</h2>
<table class="times"><thead><tr><th scope="col">What</th><th scope="col">Time</th><td class="share" aria-hidden="true"></td></tr></thead>
<tbody>{rows}</tbody></table>{most}</section>"#
    )
}

/// How to make the report again.
fn repeat(report: &Report) -> String {
    let (base, seed, command) = (escape(&report.base), report.seed, escape(&report.command));
    format!(
        r#"<section id="repeat" aria-labelledby="repeat-title"><h2 id="repeat-title">How to repeat it</h2>
<p>Base model <strong>{base}</strong>, seed <strong>{seed}</strong>.</p>
<pre tabindex="0"><code>{command}</code></pre></section>"#
    )
}
