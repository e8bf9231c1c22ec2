//! Shares with their intervals as an SVG picture.

use mudi_domain::statistics::Estimate;

use crate::report::html::escape;

/// Width of the picture, and where bars begin and end, in its own units.
const WIDTH: f64 = 640.0;
const BARS: [f64; 2] = [250.0, 620.0];
/// Height of a row, and of what stands below all.
const ROW: f64 = 30.0;
const AXIS: f64 = 26.0;

/// A named share.
pub(super) struct Bar {
    pub(super) name: String,
    /// 0..=1.
    pub(super) share: Option<Estimate>,
    /// That of each group.
    pub(super) groups: Vec<f64>,
}

/// A bar for each share, with a line for its 95 % interval and a dot for each group. The picture brings its own styles, so that it
/// can stand alone.
pub(super) fn bars(label: &str, rows: &[Bar]) -> String {
    const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#55524a}.share{fill:#7fae98}.interval{stroke:#2d2b27;stroke-width:1.5}\
        .group{fill:#fffefb;fill-opacity:.75;stroke:#2d2b27}\
        .grid{stroke:#ddd8cc}";
    let height = ROW * rows.len() as f64 + AXIS;
    let at = |share: f64| BARS[0] + share.clamp(0.0, 1.0) * (BARS[1] - BARS[0]);
    let bottom = height - AXIS;
    let mut body = String::new();
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let x = at(share);
        body += &format!(
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"0\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0} %</text>",
            height - 7.0,
            100.0 * share
        );
    }
    for (index, Bar { name, share, groups }) in rows.iter().enumerate() {
        let middle = ROW * (index as f64 + 0.5);
        body += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            BARS[0] - 10.0,
            middle + 4.5,
            escape(name)
        );
        let Some(share) = share else { continue };
        let length = at(share.value) - BARS[0];
        body += &format!(
            "<rect class=\"share\" x=\"{:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"16\" rx=\"3\"/>",
            BARS[0],
            middle - 8.0
        );
        if let Some((low, high)) = share.interval {
            body += &format!(
                "<line class=\"interval\" x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\"/>",
                at(low),
                at(high)
            );
        }
        for &group in groups {
            body +=
                &format!("<circle class=\"group\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"3.5\"/>", at(group));
        }
    }
    let label = escape(label);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\" \
         style=\"max-width:{WIDTH}px;width:100%;background:#fffefb\"><style>{STYLE}</style>{body}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_bar() {
        let rows = [
            Bar { name: "<a>".to_owned(), share: Estimate::rate(3, 4), groups: vec![0.5, 1.0] },
            Bar { name: "b".to_owned(), share: None, groups: Vec::new() },
        ];
        let svg = bars("Success", &rows);
        assert_eq!(svg.matches("class=\"share\"").count(), 1);
        assert_eq!(svg.matches("class=\"group\"").count(), 2);
        assert!(svg.contains("&lt;a&gt;") && svg.contains("aria-label=\"Success\""));
        // Three quarters of the way.
        assert!(svg.contains(&format!("width=\"{:.1}\"", 0.75 * (BARS[1] - BARS[0]))));
    }
}
