//! Which way keeps the subjects apart: the judged pictures, counted.

use mudi_domain::statistics::Estimate;

use super::html::{count, escape};
use super::{Grid, MethodSection, PictureScore, Report};

/// All judged pictures of one way to make them.
fn judged(grid: &Grid) -> Vec<&PictureScore> {
    grid.rows.iter().flat_map(|row| &row.scores).collect()
}

/// The section, or nothing where no picture was judged.
pub(super) fn section(report: &Report) -> String {
    let ways: Vec<(&MethodSection, &Grid, Vec<&PictureScore>)> = report
        .methods
        .iter()
        .flat_map(|method| method.grids.iter().map(move |grid| (method, grid, judged(grid))))
        .filter(|(_, _, scores)| !scores.is_empty())
        .collect();
    if ways.is_empty() {
        return String::new();
    }
    let rows: String = ways.iter().map(|(method, grid, scores)| row(method, grid, scores)).collect();
    let explanation = escape(&report.judging);
    let verdict = escape(&words(&ways));
    format!(
        r#"<section id="verdict" aria-labelledby="verdict-title"><h2 id="verdict-title">The verdict</h2>
<p class="lead">{verdict}</p>
<p>{explanation}</p>
<table class="times"><thead><tr><th scope="col">Way</th><th scope="col">Right</th><th scope="col">Mean score</th><td class="share" aria-hidden="true"></td></tr></thead>
<tbody>{rows}</tbody></table></section>"#
    )
}

fn name(method: &MethodSection, grid: &Grid) -> String {
    match grid.gamma {
        None => method.name.clone(),
        Some(gamma) => format!("{}, γ = {gamma}", method.name),
    }
}

fn right(scores: &[&PictureScore]) -> usize {
    scores.iter().filter(|score| score.right).count()
}

fn row(method: &MethodSection, grid: &Grid, scores: &[&PictureScore]) -> String {
    let (name, right, all) = (escape(&name(method, grid)), right(scores), scores.len());
    let mean = scores.iter().map(|score| score.score).sum::<f64>() / all as f64;
    let interval = Estimate::rate(right, all).and_then(|rate| rate.interval);
    let interval = interval.map_or(String::new(), |(low, high)| {
        format!(" <small class=\"quiet\">{:.0}–{:.0} %</small>", 100.0 * low, 100.0 * high)
    });
    let share = 100.0 * right as f64 / all as f64;
    format!(
        "<tr><th scope=\"row\">{name}</th><td>{right} of {all}{interval}</td><td>{mean:.2}</td><td class=\"share\" \
         aria-hidden=\"true\"><span class=\"bar\" style=\"width:{share:.1}%\"></span></td></tr>"
    )
}

/// The best way of each method, in words.
fn words(ways: &[(&MethodSection, &Grid, Vec<&PictureScore>)]) -> String {
    let mut best: Vec<(&str, usize, usize)> = Vec::new();
    for (method, _, scores) in ways {
        let (right, all) = (right(scores), scores.len());
        match best.iter_mut().find(|(name, ..)| *name == method.name) {
            Some(known) if right * known.2 > known.1 * all => (known.1, known.2) = (right, all),
            Some(_) => {}
            None => best.push((&method.name, right, all)),
        }
    }
    best.sort_by(|a, b| (b.1 * a.2).cmp(&(a.1 * b.2)));
    let parts: Vec<String> = best
        .iter()
        .map(|(name, right, all)| format!("{name}: {right} of {}", count(*all, "picture", "pictures")))
        .collect();
    format!(
        "Pictures that show each subject once and unmixed, each method at its best: {}.",
        parts.join("; ")
    )
}
