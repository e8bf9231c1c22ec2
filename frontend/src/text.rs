//! Numbers, times and shapes as people read them.

use mudi_domain::aspect::Aspect;

/// A length of time: `12 s`, `3 min`, `2 h 5 min`, `4 days`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    // Each unit is rounded before it is chosen: no hour has 60 minutes.
    let seconds = seconds.max(0.0).round() as u64;
    let minutes = (seconds + 30) / 60;
    match (seconds, minutes) {
        (0..60, _) => format!("{seconds} s"),
        (_, 0..60) => format!("{minutes} min"),
        (_, 60..2880) => match (minutes / 60, minutes % 60) {
            (hours, 0) => format!("{hours} h"),
            (hours, minutes) => format!("{hours} h {minutes} min"),
        },
        _ => format!("{} days", (minutes + 720) / 1440),
    }
}

/// How long ago something was: `just now`, `3 min ago`.
#[must_use]
pub fn ago(milliseconds: i64) -> String {
    match milliseconds {
        ..45_000 => "just now".to_owned(),
        _ => format!("{} ago", duration(milliseconds as f64 / 1000.0)),
    }
}

/// A number of bytes: `640 kB`, `2.4 MB`.
#[must_use]
pub fn bytes(count: f64) -> String {
    match count {
        ..1000.0 => format!("{count:.0} B"),
        ..1e6 => format!("{:.0} kB", count / 1e3),
        ..1e9 => format!("{:.1} MB", count / 1e6),
        _ => format!("{:.1} GB", count / 1e9),
    }
}

/// How much of a file is sent after so many seconds, and how long the rest takes: `35 %`, `35 %, 2 min left`.
#[must_use]
pub fn sent(share: f64, seconds: f64) -> String {
    let percent = share * 100.0;
    match seconds * (1.0 - share) / share {
        _ if share >= 1.0 => "Being looked at…".to_owned(),
        left if seconds >= 1.0 && left.is_finite() => format!("{percent:.0} %, {} left", duration(left)),
        _ => format!("{percent:.0} %"),
    }
}

/// So many of something: `1 photo`, `3 photos`.
#[must_use]
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// What pictures of these proportions are called: `Square 1:1`, `Landscape 3:2`.
#[must_use]
pub fn shape(aspect: Aspect) -> String {
    let name = match aspect.ratio() {
        ..1.0 => "Portrait",
        ..=1.0 => "Square",
        ..=2.0 => "Landscape",
        _ => "Panorama",
    };
    format!("{name} {aspect}")
}

/// A file's name as the server takes names: of at most `most` characters, the last of which are its kind, and none of them a line break
/// or another control character.
#[must_use]
pub fn file_name(name: &str, most: usize) -> String {
    let plain = name.replace(char::is_control, " ");
    let plain = plain.trim();
    if plain.chars().count() <= most {
        return plain.to_owned();
    }
    let kind = plain.rsplit_once('.').map(|(_, kind)| kind).filter(|kind| kind.chars().count() < 10);
    let kind = kind.map(|kind| format!(".{kind}")).unwrap_or_default();
    let kept: String = plain.chars().take(most.saturating_sub(kind.chars().count())).collect();
    kept.trim_end().to_owned() + &kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_people_use() {
        for (seconds, text) in [
            (-1.0, "0 s"),
            (59.4, "59 s"),
            (59.6, "1 min"),
            (90.0, "2 min"),
            (3569.0, "59 min"),
            (3570.0, "1 h"),
            (3600.0, "1 h"),
            (7199.0, "2 h"),
            (7500.0, "2 h 5 min"),
            (172_700.0, "47 h 58 min"),
            (172_799.0, "2 days"),
            (2e5, "2 days"),
            (30.0 * 86_400.0 - 1.0, "30 days"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!((ago(10_000).as_str(), ago(180_000).as_str()), ("just now", "3 min ago"));
    }

    #[test]
    fn long_names_keep_what_kind_of_file_it_is() {
        assert_eq!(file_name("a bear.jpg", 200), "a bear.jpg");
        assert_eq!(file_name(" a\nbear.jpg", 200), "a bear.jpg");
        assert_eq!(file_name("äöü bear.jpeg", 9), "äöü.jpeg");
        let long = file_name(&format!("{}.jpeg", "ä".repeat(300)), 200);
        assert!(long.ends_with("ä.jpeg") && long.chars().count() == 200, "{long}");
        assert_eq!(file_name(&"x.".repeat(300), 5), "x.x..");
        assert_eq!(file_name("no kind at all", 7), "no kind");
    }

    #[test]
    fn what_is_sent_says_when_the_rest_will_be() {
        for (share, seconds, text) in [
            (0.0, 0.0, "0 %"),
            (0.0, 9.0, "0 %"),
            (0.5, 0.9, "50 %"),
            (0.25, 40.0, "25 %, 2 min left"),
            (0.996, 500.0, "100 %, 2 s left"),
            (1.0, 500.0, "Being looked at…"),
        ] {
            assert_eq!(sent(share, seconds), text);
        }
    }

    #[test]
    fn shapes_have_names() {
        use Aspect::{Landscape, Panorama, Phone, Square, Wide};
        let names = [Square, Landscape, Wide, Panorama, Phone].map(shape);
        assert_eq!(names, ["Square 1:1", "Landscape 4:3", "Landscape 2:1", "Panorama 5:2", "Portrait 9:16"]);
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!([bytes(12.0), bytes(640_000.0), bytes(2.44e6)], ["12 B", "640 kB", "2.4 MB"]);
        assert_eq!([count(1, "photo"), count(0, "photo")], ["1 photo", "0 photos"]);
    }
}
