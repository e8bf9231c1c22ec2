//! The page.

use mudi_domain::statistics::Estimate;

use super::Options;
use super::chart::{Bar, bars};
use super::pictures::{self, Strip};
use super::results::{Results, Row};
use super::ways::{GAMMA, Part};
use crate::evaluate::right_from;
use crate::report::html::{Document, count, escape};

/// What the page adds to the style of reports: these tables have many columns.
const STYLE: &str = ".ways{max-width:none;overflow-wrap:normal}.ways tbody th{min-width:12rem}\n";

/// Heading and words of a part.
fn words(part: Part) -> [&'static str; 2] {
    match part {
        Part::Methods => [
            "Three methods",
            "Pairs of similar toys, one LoRA for both, pictures of both together: by three methods, named by an identifier and the \
             descriptive class, which says their colour, and then by three methods with their kind alone.",
        ],
        Part::Ablations => ["What each part does", "MuDI with a part taken away."],
        Part::Gamma => ["How strongly the layout counts", "γ = 0 is plain noise."],
        Part::Subjects => [
            "More toys at once",
            "All toys of one kind, described, taught together; layouts of three toys count with γ = 2, of more with γ = 3.",
        ],
    }
}

/// The SVG picture of a part, as a file of its own.
pub(super) fn chart(results: &Results, part: Part) -> Option<String> {
    let bar = |row: &Row| Bar {
        name: short(&row.title).to_owned(),
        share: row.success,
        groups: row.groups.clone(),
    };
    let rows: Vec<Bar> = results.rows.iter().filter(|row| row.part == part).map(bar).collect();
    (!rows.is_empty()).then(|| bars(&format!("{}: share of right pictures", words(part)[0]), &rows))
}

/// A title without what stands in brackets.
fn short(title: &str) -> &str {
    title.split(" (").next().unwrap_or(title)
}

pub(super) fn page(results: &Results, options: &Options, strips: &[Vec<Strip<'_>>]) -> String {
    let parts: String =
        Part::ALL.iter().zip(strips).map(|(part, strips)| section(results, *part, strips)).collect();
    let groups: String = results.groups.iter().map(|(size, groups)| list(*size, groups)).collect();
    let pairs_alone = results.groups.keys().all(|size| *size == 2);
    let [group, of_these] = if pairs_alone { ["pair", "pairs"] } else { ["group", "groups"] };
    let header = format!(
        "<p class=\"lead\">{} of similar toys that neither the base model nor the judging networks were trained on, {}, {} each, {} \
         training steps a method.</p>",
        count(options.pairs as usize, group, of_these),
        count(options.prompts, "prompt", "prompts"),
        count(options.seeds as usize, "picture", "pictures"),
        options.steps
    );
    let command = escape(&results.command);
    let main = format!(
        "{parts}<section><h2>How it was measured</h2><p>Each picture was judged by Detect-and-Compare with the networks that ship. \
         It counts as right from a score of {} on ({} for three toys, {} for \
         four, {} for five), which was decided on rendered scenes whose truth is known (<code>mudi probe \
         metric</code>), not on these pictures. Detect-and-Compare looks at toys alone; where a picture is set is read by a classifier \
         that was trained on renders, from each half by itself, so that two places side by side do not count (<code>mudi probe \
         place</code>). Intervals hold the share that other groups would have with 95 % confidence: \
         pictures of one group resemble each other, so how groups differ decides, and no interval is narrower than if pictures were independent. Of \
         fewer than {} groups they are those of independent pictures. The dots are the groups. \
         The last column holds each group against itself in the other way, in points of a hundred. Where nothing else is said, layouts of two toys count with γ = {GAMMA}, and toys \
         are named by an identifier, their colour and their kind: the descriptive class.</p>{groups}<h3>How to repeat it</h3><pre tabindex=\"0\"><code>{command}</code></pre>\
         </section>",
        right_from(2),
        right_from(3),
        right_from(4),
        right_from(5),
        Estimate::FEW_GROUPS
    );
    let title = "Do the subjects stay themselves?";
    Document { title, style: STYLE, skip: "Skip to the tables", header: &header, main: &main }.html()
}

/// The groups of so many toys.
fn list(size: usize, groups: &[Vec<String>]) -> String {
    let toys: String = groups.iter().map(|toys| format!("<li>{}</li>", escape(&toys.join("; ")))).collect();
    let title = if size == 2 { "The pairs".to_owned() } else { format!("The groups of {size}") };
    format!("<h3>{title}</h3><ol>{toys}</ol>")
}

fn section(results: &Results, part: Part, strips: &[Strip<'_>]) -> String {
    let Some(chart) = chart(results, part) else { return String::new() };
    let [title, explanation] = words(part);
    let of_part = || results.rows.iter().filter(|row| row.part == part);
    let rows: String = of_part().map(|made| row(made, results.difference(made))).collect();
    let measure = of_part().find_map(|row| results.measure(row)).map_or("", |measure| short(&measure.title));
    // Of more toys each number has its own.
    let measure = escape(if part == Part::Subjects { "MuDI" } else { measure });
    format!(
        "<section><h2>{title}</h2><p>{explanation}</p>{chart}<div class=\"wide\" role=\"region\" aria-label=\"{title}, in numbers\" tabindex=\"0\"><table class=\"times ways\"><thead><tr><th scope=\"col\">Way</th>\
         <th scope=\"col\">Right</th><th scope=\"col\">In the place asked for</th><th scope=\"col\">Both</th>\
         <th scope=\"col\">Right number of toys</th><th scope=\"col\">Mean score</th><th scope=\"col\">Right, beside {measure}</th></tr></thead>\
         <tbody>{rows}</tbody></table></div>{}</section>",
        pictures::table(strips)
    )
}

/// Points of a hundred, with their sign.
fn points(share: f64) -> String {
    // Nought has no sign of its own.
    format!("{:+.0}", (100.0 * share).round() + 0.0).replace('-', "−")
}

fn row(row: &Row, difference: Option<Estimate>) -> String {
    let percent = |share: Option<Estimate>| {
        share.map_or("–".to_owned(), |share| {
            let interval = share.interval.map_or(String::new(), |(low, high)| {
                format!(" <small class=\"quiet\">{:.0}–{:.0} %</small>", 100.0 * low, 100.0 * high)
            });
            format!("{:.0} %{interval}", 100.0 * share.value)
        })
    };
    let score = row.score.map_or("–".to_owned(), |score| format!("{:.2}", score.value));
    let difference = difference.map_or("–".to_owned(), |difference| {
        let interval = difference.interval.map_or(String::new(), |(low, high)| {
            format!(" <small class=\"quiet\">{} to {}</small>", points(low), points(high))
        });
        format!("{}{interval}", points(difference.value))
    });
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{score}</td><td>{difference}</td></tr>",
        escape(&row.title),
        percent(row.success),
        percent(row.placed),
        percent(row.whole),
        percent(row.counted)
    )
}
