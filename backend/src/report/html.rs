//! Small pieces of HTML.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::{self, FilterType};
use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};

/// Pictures up to this width, in pixels, are shown at twice their size.
const SMALL: u32 = 160;
/// The widest that a picture is shown, in CSS pixels.
const WIDEST: u32 = 320;
/// The longest side, in pixels, of a picture that is there for orientation only.
const THUMBNAIL: u32 = 384;
/// The same of one of many pictures.
const SHRUNK: u32 = 192;
/// The style sheet of all pages, inside each.
const STYLE: &str = include_str!("style.css");
/// Lets nothing be loaded, whatever a text in the page may hold.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// A page in one file.
pub(crate) struct Document<'a> {
    /// Plain text.
    pub(crate) title: &'a str,
    /// CSS beside that of all pages.
    pub(crate) style: &'a str,
    /// What the link to the main part says.
    pub(crate) skip: &'a str,
    /// HTML below the heading.
    pub(crate) header: &'a str,
    /// HTML of the main part.
    pub(crate) main: &'a str,
}

impl Document<'_> {
    /// The whole page.
    pub(crate) fn html(&self) -> String {
        let Self { style, skip, header, main, .. } = self;
        let title = escape(self.title);
        format!(
            r##"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>
{STYLE}{style}</style>
</head>
<body>
<a class="skip" href="#main">{skip}</a>
<header>
<h1>{title}</h1>
{header}
</header>
<main id="main">
{main}
</main>
<footer class="quiet"><p>Made by MuDI Studio. This page is one file: it loads nothing and can be passed on as it is.</p></footer>
</body>
</html>
"##
        )
    }
}

/// The colors that tell subjects apart; the style sheet has the same.
const SUBJECT_COLORS: [[u8; 3]; 6] =
    [[201, 111, 74], [74, 127, 167], [122, 148, 72], [151, 104, 168], [196, 154, 46], [79, 150, 140]];

/// `text` as it may stand between tags and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(c),
            c if c.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

/// An `img` with the picture inside, or words in its place where it has no pixels. `alt` is plain text.
pub(crate) fn picture(image: &RgbImage, alt: &str) -> String {
    let mut png = Cursor::new(Vec::new());
    let alt = escape(alt);
    // The encoder refuses only pictures without pixels; a report should not be lost for one.
    if image.width() == 0 || image.height() == 0 || image.write_to(&mut png, ImageFormat::Png).is_err() {
        return format!("<span class=\"missing\" role=\"img\" aria-label=\"{alt}\">no picture</span>");
    }
    let (width, height) = image.dimensions();
    let shown = if width <= SMALL { 2 * width } else { width.min(WIDEST) };
    let shown_height = (u64::from(height) * u64::from(shown) / u64::from(width)).max(1);
    let class = if width <= SMALL { " class=\"pixels\"" } else { "" };
    let data = STANDARD.encode(png.into_inner());
    format!(
        "<img{class} src=\"data:image/png;base64,{data}\" alt=\"{alt}\" width=\"{shown}\" height=\"{shown_height}\">"
    )
}

/// A picture for orientation: scaled down where it is large.
pub(crate) fn thumbnail(image: &RgbImage, alt: &str) -> String {
    if image.width().max(image.height()) <= THUMBNAIL {
        return picture(image, alt);
    }
    picture(&fitted(image, THUMBNAIL), alt)
}

/// A small picture, for one of many.
pub(crate) fn shrunk(image: &RgbImage) -> RgbImage {
    if image.width().max(image.height()) <= SHRUNK { image.clone() } else { fitted(image, SHRUNK) }
}

/// `image`, which has pixels, with a longer side of `longest`.
fn fitted(image: &RgbImage, longest: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let scale = f64::from(longest) / f64::from(width.max(height));
    let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
    imageops::thumbnail(image, side(width), side(height))
}

/// `photo` with all that is outside the mask pale and gray, and the mask's edge in the subject's color.
pub(crate) fn overlay(photo: &RgbImage, mask: &GrayImage, subject: usize) -> RgbImage {
    let (width, height) = photo.dimensions();
    if width == 0 || height == 0 || mask.width() == 0 || mask.height() == 0 {
        return photo.clone();
    }
    let resized;
    let mask = if mask.dimensions() == photo.dimensions() {
        mask
    } else {
        resized = imageops::resize(mask, width, height, FilterType::Nearest);
        &resized
    };
    let inside = |x: u32, y: u32| mask.get_pixel(x, y).0[0] >= 128;
    // About a display pixel wide, whatever the photo's size.
    let reach = (width.max(height) / THUMBNAIL).max(1);
    let at_edge = |x: u32, y: u32| {
        let (left, right) = (x.saturating_sub(reach), (x + reach).min(width - 1));
        let (above, below) = (y.saturating_sub(reach), (y + reach).min(height - 1));
        !(inside(left, y) && inside(right, y) && inside(x, above) && inside(x, below))
    };
    RgbImage::from_fn(width, height, |x, y| {
        let pixel = *photo.get_pixel(x, y);
        if inside(x, y) {
            if at_edge(x, y) { Rgb(SUBJECT_COLORS[subject % SUBJECT_COLORS.len()]) } else { pixel }
        } else {
            let Luma([gray]) = image::Pixel::to_luma(&pixel);
            Rgb([170 + gray / 4; 3])
        }
    })
}

/// The CSS class of the subject's color.
pub(crate) fn subject_class(subject: usize) -> String {
    format!("s{}", subject % SUBJECT_COLORS.len())
}

/// "a", "a and b", "a, b and c".
pub(crate) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A number and its noun.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A length of time in words.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    if seconds < 0.0995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// An amount of memory in words.
pub(crate) fn memory(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes < 1024.0 * 1024.0 * 1000.0 {
        format!("{:.1} MiB", bytes / (1024.0 * 1024.0))
    } else {
        format!("{:.2} GiB", bytes / (1024.0 * 1024.0 * 1024.0))
    }
}
